"""One finding of `doctor`."""

from msgspec import Struct


class Diagnosis(Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        check: What was looked at, in a word or two.
        ok: Whether it may stay as it is.
        says: What was found.
        advice: What to change; empty where nothing.
    """

    check: str
    ok: bool
    says: str
    advice: str = ""
