"""Strategies that build any valid record of a struct from its own declaration, so a new field is under test at once."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct, inspect

INT_64 = 2**63
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))


@cache
def records(struct: type[Struct]) -> st.SearchStrategy[Any]:
    """Any valid record of the struct."""
    return _values(inspect.type_info(struct))


def _values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    match kind:
        case inspect.StructType(cls=cls, fields=fields):
            return st.builds(cls, **{field.name: _values(field.type) for field in fields})
        case inspect.Metadata(type=inner):
            return _values(inner)
        case inspect.UnionType(types=types):
            return st.one_of(*map(_values, types))
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return st.lists(_values(item), min_size=least or 0, max_size=most or 3)
        case inspect.TupleType(item_types=items):
            return st.tuples(*map(_values, items))
        case inspect.DictType(key_type=key, value_type=value):
            return st.dictionaries(_values(key), _values(value), max_size=3)
        case inspect.EnumType(cls=cls):
            return st.sampled_from(list(cls))
        case inspect.StrType(pattern=str(pattern)):
            return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
        case inspect.StrType(min_length=length):
            return TEXT.filter(lambda text: len(text) >= (length or 0))
        case inspect.FloatType(ge=low, gt=above, le=high):
            numbers = st.floats(
                min_value=above if low is None else low, max_value=high, allow_nan=False, allow_infinity=False
            )
            return numbers if above is None else numbers.filter(lambda number: number > above)
        case inspect.IntType(ge=low, le=high):
            return st.integers(-INT_64 if low is None else low, INT_64 - 1 if high is None else high)
        case inspect.DateTimeType():
            return MOMENTS
        case inspect.BytesType():
            return st.binary(max_size=8)
        case inspect.BoolType():
            return st.booleans()
        case inspect.AnyType():
            return st.one_of(TEXT, st.booleans(), st.integers(-INT_64, INT_64 - 1))
        case inspect.NoneType():
            return st.none()
    raise NotImplementedError(f"no strategy for {kind}")
