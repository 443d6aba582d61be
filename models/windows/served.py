"""Which windows the stream computes, and what they need before the first event."""

from models.windows.plan import WindowsError
from schemas.definition import LABEL, Definition


def prepare(definition: Definition) -> None:
    """Have the windows of a definition compiled, before a batch waits for it.

    Raises:
        WindowsError: they are not computed in the stream.
    """
    refuse_unserved(definition)
    if definition.windows:
        from models.windows.warm import warm_up

        warm_up()


def refuse_unserved(definition: Definition) -> None:
    """Refuse windows that only training computes.

    Raises:
        WindowsError: there are such.
    """
    unserved = [
        entry.name
        for entry in definition.windows
        if entry.window is not None and (entry.window.entity != definition.event.entity or entry.window.of == LABEL)
    ]
    if unserved:
        raise WindowsError(
            f"windows of other entities than {definition.event.entity} and of labels are not computed in the stream "
            f"yet: leave {', '.join(unserved)} out of the definition, and train again"
        )
