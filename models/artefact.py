"""Artefacts as models that run: a graph saved with its manifest, and loaded once its digest holds.

`torch.jit.load` runs code from the file, so the digest is checked on the very bytes that are loaded (a file can change
between two reads), and the golden rows must reproduce before the model may serve.
"""

import hashlib
import io
from pathlib import Path

import numpy as np
import torch

from models.archive import MANIFEST, Archive, ArtefactError, read
from models.manifest import Manifest, signal_layout
from models.replacing import replacing
from models.runtime import Runtime, torchscript

GOLDEN_TOLERANCE = 1e-4
WARM_UP_SIZES = (1, 64, 1024)


def save(path: Path, graph: torch.jit.ScriptModule, manifest: Manifest) -> str:
    """Write the artefact, atomically.

    Returns:
        The sha256 of the file, lower-case hexadecimal.
    """
    buffer = io.BytesIO()
    with torchscript():
        torch.jit.save(graph, buffer, _extra_files={MANIFEST: manifest.encode()})
    with replacing(path) as partial:
        partial.write_bytes(buffer.getbuffer())
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def load(path: Path, expected_sha256: str | None = None) -> Runtime:
    """Read, check, load and warm up.

    Args:
        path: The artefact file.
        expected_sha256: The digest that was announced for it. None trusts the file as it is: for one's own fresh file
            only.

    Raises:
        ArtefactError: unreadable, another digest than announced, not TorchScript, or golden rows that do not reproduce.
    """
    archive = read(path)
    if expected_sha256 is not None and archive.sha256 != expected_sha256:
        raise ArtefactError(
            f"{path} has sha256 {archive.sha256[:12]}…, announced was {expected_sha256[:12]}…: "
            "the file is damaged or not the one meant"
        )
    return run(archive)


def run(archive: Archive) -> Runtime:
    """Load the graph of an artefact that is in memory already, check it and warm it up.

    Raises:
        ArtefactError: not TorchScript, or golden rows that do not reproduce.
    """
    manifest = archive.manifest  # before torch unpacks anything: it checks what is in the archive
    try:
        with torchscript():
            graph = torch.jit.load(io.BytesIO(archive.content), map_location="cpu").eval()  # type: ignore[no-untyped-call]
            runtime = Runtime(manifest, archive.sha256, torch.jit.freeze(graph), archive.graph_sha256)
        _check_shapes(runtime)
        check_golden(runtime)
        _warm_up(runtime)
    except ArtefactError:
        raise
    except Exception as error:  # whatever a foreign graph raises means the same: it may not serve
        raise ArtefactError(f"{archive.where} does not run: {_last_line(error)}") from error
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


def _warm_up(runtime: Runtime) -> None:
    """Run every batch size that the profiling executor specialises for, so that a swap costs nothing in the stream."""
    row = np.array([runtime.manifest.golden[0].inputs], dtype=np.float32)
    for size in WARM_UP_SIZES:
        for _ in range(3):
            runtime.score(np.repeat(row, size, axis=0))


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__
