"""A loaded artefact that scores batches.

The same code for evaluation, replay and the stream, so the same log gives the same decisions.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from models.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Scored:
    """The graph's outputs on n events (all float32).

    Attributes:
        score: [n], not negative, in nats; higher is stranger.
        contributions: [n, inputs], each input's part of the score; rows sum to `score`.
        reconstruction: [n, inputs], in the inputs' own units.
        latent: [n, latents].
        standardised: [n, inputs], each input by itself (transformed, scaled, imputed): drift watches these.
        residual: [n, inputs], what is expected minus what is there, in standard deviations of what the network sees of
            the input.
    """

    score: np.ndarray
    contributions: np.ndarray
    reconstruction: np.ndarray
    latent: np.ndarray
    standardised: np.ndarray
    residual: np.ndarray

    def take(self, rows: np.ndarray) -> "Scored":
        """The outputs of some of the rows: int64 [k], or bool [n]."""
        columns = (self.score, self.contributions, self.reconstruction, self.latent, self.standardised, self.residual)
        return Scored(*(column[rows] for column in columns))


@dataclass(frozen=True, slots=True)
class Runtime:
    """One model in memory, ready to score. Scoring changes nothing in it, so two threads may do it at once.

    TorchScript stands behind this interface alone, so that a `torch.export` runtime can take its place.

    Attributes:
        manifest: Of its artefact.
        sha256: Of its artefact.
        graph: What scores.
        graph_sha256: Of all that is in the artefact but the manifest; empty where it is of none.
    """

    manifest: Manifest
    sha256: str
    graph: torch.jit.ScriptModule
    graph_sha256: str = ""

    def differs_in_calibration_alone(self, other: "Runtime") -> bool:
        """Whether both give every event the same score: the files hold the same graph and read the same inputs."""
        is_same = bool(self.graph_sha256) and self.graph_sha256 == other.graph_sha256
        return is_same and self.manifest.reads_as(other.manifest)

    def score(self, inputs: np.ndarray) -> Scored:
        """Score a batch.

        Args:
            inputs: float32 [n, inputs], raw values in the order of `manifest.inputs`, NaN where missing.
        """
        return run(self.graph, inputs)


def run(graph: torch.jit.ScriptModule, inputs: np.ndarray) -> Scored:
    """Score a batch with a graph that has no manifest yet; the arguments of `Runtime.score`."""
    with torch.inference_mode():
        outputs = graph(torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32)))
    return Scored(*(output.numpy() for output in outputs))


@contextmanager
def torchscript() -> Iterator[None]:
    """Silence torch's notice that TorchScript is to be replaced; a user cannot act on it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.jit")
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch and numpy on one thread inside: sums keep their order on every machine.

    The network is too small for more. Left alone, numpy's matrix products take every core from a certain size on (64
    inputs, or micro-batches of 4,096), and wait for each other in busy loops.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(threads)
