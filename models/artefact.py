"""The artefact: one TorchScript archive with its manifest inside, identified by the sha256 of the file.

Nothing loads before its digest holds.

`torch.jit.load` runs code from the file, so the digest is checked on the very bytes that are loaded (a file can change
between two reads), and the golden rows must reproduce before the model may serve.
"""

import hashlib
import io
import zipfile
import zlib
from pathlib import Path

import msgspec
import numpy as np
import torch

from models.manifest import Manifest, signal_layout
from models.runtime import Runtime, torchscript

MANIFEST = "manifest.json"
GOLDEN_TOLERANCE = 1e-4
WARM_UP_SIZES = (1, 64, 1024)
LARGEST_BYTES = 512 * 1024 * 1024  # of the file, and of all that is in it once unpacked; a usual model has 100 kB
MOST_ENTRIES = 10_000


class ArtefactError(Exception):
    """The file is not a model that may serve; the message says why, and what to do."""


def save(path: Path, graph: torch.jit.ScriptModule, manifest: Manifest) -> str:
    """Write the artefact, atomically.

    Returns:
        The sha256 of the file, lower-case hexadecimal.
    """
    buffer = io.BytesIO()
    with torchscript():
        torch.jit.save(graph, buffer, _extra_files={MANIFEST: manifest.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(buffer.getbuffer())
    partial.replace(path)
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def digest(path: Path) -> str:
    """The sha256 of a file, lower-case hexadecimal.

    Raises:
        ArtefactError: it cannot be read.
    """
    return hashlib.sha256(_read(path)).hexdigest()


def read_manifest(path: Path) -> Manifest:
    """The manifest alone. Runs nothing from the file.

    Raises:
        ArtefactError: not a readable artefact.
    """
    return _manifest(_read(path), str(path))


def load(path: Path, expected_sha256: str | None = None) -> Runtime:
    """Read, check, load and warm up.

    Args:
        path: The artefact file.
        expected_sha256: The digest that was announced for it. None trusts the file as it is: for one's own fresh file
            only.

    Raises:
        ArtefactError: unreadable, another digest than announced, not TorchScript, or golden rows that do not reproduce.
    """
    data = _read(path)
    sha256 = hashlib.sha256(data).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise ArtefactError(
            f"{path} has sha256 {sha256[:12]}…, announced was {expected_sha256[:12]}…: "
            "the file is damaged or not the one meant"
        )
    manifest = _manifest(data, str(path))
    try:
        with torchscript():
            graph = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]
            runtime = Runtime(manifest, sha256, torch.jit.freeze(graph))
        _check_shapes(runtime)
        check_golden(runtime)
        _warm_up(runtime)
    except ArtefactError:
        raise
    except Exception as error:  # whatever a foreign graph raises means the same: it may not serve
        raise ArtefactError(f"{path} does not run: {_last_line(error)}") from error
    return runtime


def check_golden(runtime: Runtime) -> None:
    """The golden rows must give their expected scores.

    Raises:
        ArtefactError: naming the row that differs most.
    """
    golden = runtime.manifest.golden
    if not golden:
        raise ArtefactError(
            f"model {runtime.manifest.name} {runtime.manifest.version} has no golden rows: train it again"
        )
    inputs = np.array([row.inputs for row in golden], dtype=np.float32)
    expected = np.array([row.score for row in golden])
    got = runtime.score(inputs).score
    error = np.abs(got - expected) / np.maximum(np.abs(expected), 1.0)
    worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
    if not error[worst] <= GOLDEN_TOLERANCE:
        raise ArtefactError(
            f"golden row {worst} gives {got[worst]:.6g} and not {expected[worst]:.6g}: "
            "the graph computes something else here than where it was trained"
        )


def _check_shapes(runtime: Runtime) -> None:
    """The graph must return what the manifest says: the stages after it take columns by the manifest's order."""
    manifest = runtime.manifest
    rows, inputs, latents = 2, len(manifest.inputs), manifest.latent_size
    scored = runtime.score(np.ones((rows, inputs), dtype=np.float32))
    got = [getattr(scored, name).shape for name in type(scored).__slots__]
    wide = (rows, inputs)
    if got != [(rows,), wide, wide, (rows, latents), wide, wide]:
        raise ArtefactError(
            f"the graph of model {manifest.name} {manifest.version} does not return what its manifest says"
        )
    if manifest.signal_names != signal_layout(manifest.inputs, latents):
        raise ArtefactError(f"model {manifest.name} {manifest.version} does not describe the signals of its inputs")


def _read(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST_BYTES:
            raise ArtefactError(f"{path} has {size:,} bytes, a model has at most {LARGEST_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(f"cannot read model {path}: {error.strerror}") from error


def _manifest(data: bytes, where: str) -> Manifest:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_archive(archive, where)
            entry = next(name for name in archive.namelist() if name.endswith(f"/extra/{MANIFEST}"))
            return Manifest.decode(archive.read(entry))
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError, StopIteration) as error:
        raise ArtefactError(f"{where} is not a model artefact: train one with `stream-app train`") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ArtefactError(f"the manifest in {where} cannot be read: {error}") from error


def _check_archive(archive: zipfile.ZipFile, where: str) -> None:
    """Before anything is unpacked: what it would take, by its own directory, which no reader goes beyond.

    Two entries of one name could be read as one manifest here and as another by torch.
    """
    entries = archive.infolist()
    if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > LARGEST_BYTES:
        raise ArtefactError(f"{where} would unpack to more than {LARGEST_BYTES:,} bytes or {MOST_ENTRIES:,} files")
    if len({entry.filename for entry in entries}) < len(entries):
        raise ArtefactError(f"{where} holds two files of one name: train the model again")


def _warm_up(runtime: Runtime) -> None:
    """Run every batch size that the profiling executor specialises for, so that a swap costs nothing in the stream."""
    row = np.array([runtime.manifest.golden[0].inputs], dtype=np.float32)
    for size in WARM_UP_SIZES:
        for _ in range(3):
            runtime.score(np.repeat(row, size, axis=0))


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
