"""How loops are compiled: by numba, without the interpreter's lock, and the same bits on every machine.

Imported by nothing that computes no windows and reads no Avro: numba takes 70 MB and most of a second.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

# Strictly by IEEE 754: no operation is moved, merged or left out. Arrays are not counted (_nrt): all are Python's, and
# counting the references to them took half of the time.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compiled when it is first called."""
    done: Function = njit(**OPTIONS)(function)
    return done


def inlined(function: Function) -> Function:
    """As `compiled`, without a call: it would pass on dozens of numbers, five and more for each array."""
    done: Function = njit(**OPTIONS, forceinline=True)(function)
    return done


def cached(function: Function) -> Function:
    """Compiled, and kept for the next process where there is a place to keep it."""
    try:
        done: Function = njit(**OPTIONS, cache=True)(function)
    except RuntimeError:  # neither this folder nor the user's cache can be written
        done = compiled(function)
    return done
