"""What the windows of a model need before the first event."""

from schemas.definition import Definition


def prepare(definition: Definition) -> None:
    """Have the windows of a definition compiled, before a batch waits for it."""
    if definition.windows:
        from models.windows.warm import warm_up

        warm_up()
