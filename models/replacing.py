"""Files that appear whole or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def require_place(path: Path) -> None:
    """Return if a file can be written there: asked before the work that it is to hold.

    Raises:
        OSError: the folder may not be written, or the file is a folder.
    """
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, f"{folder} cannot be written", str(path))


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
