"""The file of a model: one zip archive with the manifest inside, identified by the sha256 of its bytes.

Reading it runs nothing from the file, and needs no torch: `models.artefact` loads the graph.
"""

import hashlib
import io
import stat
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from models.definition import complaints
from models.manifest import Manifest
from schemas.errors import UserError
from schemas.scoring import ModelRef

MANIFEST = "manifest.json"
LARGEST_BYTES = 512 * 1024 * 1024  # of the file, and of all that is in it once unpacked; a usual model has 100 kB
MOST_ENTRIES = 10_000


class ArtefactError(UserError):
    """The file is not a model that may serve; the message says why, and what to do."""


@dataclass(frozen=True)
class Archive:
    """An artefact in memory: read once, so that its digest, its manifest and its graph are of the same bytes.

    Attributes:
        where: Its path or URI, for messages.
        content: The bytes of the file.
    """

    where: str
    content: bytes

    @cached_property
    def sha256(self) -> str:
        """Its digest, in lower-case hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest inside.

        Raises:
            ArtefactError: the file is no artefact.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
                _check_entries(archive, self.where)
                entry = next(name for name in archive.namelist() if name.endswith(f"/extra/{MANIFEST}"))
                return _checked(Manifest.decode(archive.read(entry)), self.where)
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, StopIteration) as error:
            raise ArtefactError(f"{self.where} is not a model artefact: train one with `stream-app train`") from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ArtefactError(
                f"the manifest in {self.where} cannot be read ({error}): another version made it, or it is damaged; "
                "train it again"
            ) from error

    @cached_property
    def graph_sha256(self) -> str:
        """Of all that is in it but the manifest: of two models that differ in the manifest alone it is the same."""
        self.manifest  # noqa: B018 - checks what unpacking it takes
        digest = hashlib.sha256()
        with zipfile.ZipFile(io.BytesIO(self.content)) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith(f"/extra/{MANIFEST}"):
                    digest.update(f"{name}\0{len(content := archive.read(name))}\0".encode() + content)
        return digest.hexdigest()

    def described_by(self, manifest: Manifest) -> "Archive":
        """The same file with another manifest."""
        self.manifest  # noqa: B018 - checks what unpacking it takes
        buffer = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(self.content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as new:
            for entry in old.infolist():
                is_manifest = entry.filename.endswith(f"/extra/{MANIFEST}")
                content = manifest.encode() if is_manifest else old.read(entry)
                new.writestr(zipfile.ZipInfo(entry.filename, entry.date_time), content)
        return Archive(self.where, buffer.getvalue())

    @property
    def ref(self) -> ModelRef:
        """The model's identity, as records name it."""
        return ModelRef(self.manifest.name, self.manifest.version, self.sha256)


def read(path: Path) -> Archive:
    """The file, in one reading.

    Raises:
        ArtefactError: it cannot be read, or is larger than any model.
    """
    try:
        if not stat.S_ISREG((found := path.stat()).st_mode):  # from a pipe one would wait for ever
            raise ArtefactError(f"{path} is no file, but {_kind(found.st_mode)}: a model is one file")
        if (size := found.st_size) > LARGEST_BYTES:
            raise ArtefactError(f"{path} has {size:,} bytes, a model has at most {LARGEST_BYTES:,}")
        return Archive(str(path), path.read_bytes())
    except OSError as error:
        raise ArtefactError(f"cannot read model {path}: {error.strerror}") from error


def _kind(mode: int) -> str:
    return "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"


def _checked(manifest: Manifest, where: str) -> Manifest:
    """What is decoded from an artefact is compiled to a decoder, so it is as right as a file that somebody writes."""
    wrong = [*complaints(manifest.definition)]
    categories = (entry.name for entry in manifest.inputs if entry.kind == "category")
    wrong += [f"input {name} is a category without values" for name in categories if name not in manifest.categories]
    if wrong:
        raise ArtefactError(f"the definition in {where} is wrong: {'; '.join(wrong)}")
    return manifest


def _check_entries(archive: zipfile.ZipFile, where: str) -> None:
    """Before anything is unpacked: what it would take, by its own directory, which no reader goes beyond.

    Two entries of one name could be read as one manifest here and as another by torch.
    """
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > LARGEST_BYTES:
        raise ArtefactError(f"{where} would unpack to more than {LARGEST_BYTES:,} bytes or {MOST_ENTRIES:,} files")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ArtefactError(f"{where} holds two files of one name: train the model again")
