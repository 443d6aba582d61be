"""Finds the message that records in protobuf are: in files of descriptors, as compilers and registries write them.

    protoc --include_imports --descriptor_set_out=payment.desc payment.proto

A registry gives one file as base64, without the name by which others import it, and the files to which it refers.
"""

import base64
import binascii
from collections.abc import Sequence

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError

from stream_app.pipeline.formats.outcomes import SchemaError

ROOT = "the schema of the records"
KNOWN = (  # files that the library brings, those that others import before them
    *(descriptor_pb2, any_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2),
)
HOW = "protoc --include_imports --descriptor_set_out=FILE"


def message_at(text: str, referred: Sequence[tuple[str, str]], place: Sequence[int]) -> Descriptor:
    """The message at a place in a registry's file.

    Args:
        text: The file, base64.
        referred: Name and file of those that it imports, each after those that it imports itself.
        place: Number of the message in the file, then of that inside it, and so on.

    Raises:
        SchemaError: it is no such file, or there is no message at that place.
    """
    files = [_file(content, name) for name, content in (*referred, (ROOT, text))]
    pool = _pool(files)
    messages = pool.FindFileByName(ROOT).message_types_by_name.values()
    found: Descriptor | None = None
    for number in place:
        inner = list(messages if found is None else found.nested_types)
        if not 0 <= number < len(inner):
            raise SchemaError(f"it has no message at {list(place)}")
        found = inner[number]
    if found is None:
        raise SchemaError("it is not said which of its messages the record is")
    return found


def message_named(text: str, name: str) -> Descriptor:
    """A message of a file of descriptors.

    Args:
        text: The file, base64.
        name: Full name of the message; empty: the only one of the last file in it.

    Raises:
        SchemaError: it is no such file, or has no such message.
    """
    try:
        files = list(FileDescriptorSet.FromString(_bytes(text)).file)
    except DecodeError:
        files = []
    if not files:
        raise SchemaError(f"it is no file of descriptors: {HOW} makes one")
    pool = _pool(files)
    names = [f"{file.package}.{m.name}".lstrip(".") for file in files for m in file.message_type]
    last = [f"{files[-1].package}.{m.name}".lstrip(".") for m in files[-1].message_type]
    if not name and len(last) == 1:
        name = last[0]
    try:
        found: Descriptor = pool.FindMessageTypeByName(name)
    except KeyError:
        which = f"has no message {name}" if name else "has more messages than one: message under [event] says which"
        raise SchemaError(f"it {which}; there are {', '.join(names[-20:]) or 'none'}") from None
    return found


def _pool(files: Sequence[FileDescriptorProto]) -> DescriptorPool:
    """All messages of these files. Imports that nobody has are left out: as a rule they are of options alone."""
    pool = DescriptorPool()
    names = set()
    for content in (*(FileDescriptorProto.FromString(known.DESCRIPTOR.serialized_pb) for known in KNOWN), *files):
        if content.name in names:
            continue
        missing = [name for name in content.dependency if name not in names]
        if missing:
            there = [name for name in content.dependency if name in names]
            content.ClearField("public_dependency")
            content.ClearField("weak_dependency")
            content.ClearField("dependency")
            content.dependency.extend(there)
        try:
            pool.AddSerializedFile(content.SerializeToString())
            pool.FindFileByName(content.name)
        except (TypeError, KeyError) as error:
            lacks = f"it imports {', '.join(missing)}, which is not there" if missing else str(error)
            raise SchemaError(f"{content.name}: {lacks}") from error
        names.add(content.name)
    return pool


def _file(text: str, name: str) -> FileDescriptorProto:
    try:
        content = FileDescriptorProto.FromString(_bytes(text))
    except DecodeError as error:
        raise SchemaError(NO_DESCRIPTOR) from error
    content.name = name
    return content


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SchemaError(NO_DESCRIPTOR) from error


NO_DESCRIPTOR = (
    "the registry does not give it as a descriptor (format=serialized): name a file in the definition, schema under "
    f"[event]; {HOW} makes one"
)
