"""Files that appear whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new name beside `path` to write to; the file there takes the place of `path` when the block ends.

    The name is unique, so that several processes may write the same file. After an exception nothing is left of it.
    """
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk names none, and nobody knows the partial one
        raise
    finally:
        partial.unlink(missing_ok=True)
