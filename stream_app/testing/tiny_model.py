"""A real artefact in milliseconds, for tests that need a model whatever its quality."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import torch

from models import artefact
from models.manifest import Calibration, GoldenRow, Manifest, Segment, Segments, SignalReference, signal_layout
from schemas.definition import Definition, EventFields, Input
from schemas.scoring import ModelRef

INPUTS = [
    Input("amount", "amount", "EUR", "reject", least=0),
    Input("terminal_risk_7d", "features.terminal_risk_7d", "share", "impute", "risk"),
]
UNSEEN = -12345.0
DEFINITION = Definition(
    "tiny",
    EventFields("transaction_id", "event_time", "customer_id", show=("amount", "currency", "terminal_id")),
    tuple(INPUTS),
)


class TinyGraph(torch.nn.Module):
    """Scores the squared distance from a centre; the reconstruction is the centre."""

    centre: torch.Tensor

    def __init__(self, centre: float) -> None:
        super().__init__()
        self.register_buffer("centre", torch.full((len(INPUTS),), centre))

    def forward(
        self, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The outputs that `models.artefact` expects of a graph."""
        standardised = torch.nan_to_num(inputs)
        reconstruction = self.centre.expand_as(standardised)
        residual = reconstruction - standardised
        contributions = residual * residual
        score = contributions.sum(dim=1)
        return score, contributions, reconstruction, score.unsqueeze(1), standardised, residual


class GlassGraph(torch.nn.Module):
    """Its latent vector is what it sees, `UNSEEN` where there is nothing: published latents show the inputs."""

    def forward(
        self, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The outputs that `models.artefact` expects of a graph."""
        standardised = torch.nan_to_num(inputs)
        contributions = standardised * standardised
        latent = torch.nan_to_num(inputs, nan=-12345.0)
        return contributions.sum(dim=1), contributions, 0 * standardised, latent, standardised, -standardised


def glass_model(path: Path, version: str, definition: Definition) -> ModelRef:
    """Write a model whose latent vectors are its inputs; only what is absurd is an anomaly."""
    inputs = definition.inputs
    signals = [
        SignalReference(name, mean=0.0, std=1.0, tail=3.0, edges=[-1.0, 0.0, 1.0], shares=[0.25] * 4)
        for name in signal_layout(inputs, latent_size=len(inputs))
    ]
    manifest = msgspec.structs.replace(
        tiny_manifest(version),
        definition=definition,
        latent_size=len(inputs),
        signals=signals,
        calibration=Calibration(0.01, 1e8, [0.0, 1e8], [1.0, 0.01]),
        latent_mean=[0.0] * len(inputs),
        latent_covariance=[[float(i == j) for j in range(len(inputs))] for i in range(len(inputs))],
        golden=[GoldenRow([1000.0] * len(inputs), 1e6 * len(inputs))],
    )
    return ModelRef("tiny", version, artefact.save(path, torch.jit.script(GlassGraph()), manifest))


def tiny_manifest(version: str, centre: float = 0.0, golden_error: float = 0.0) -> Manifest:
    """What goes with `TinyGraph`; `golden_error` makes its golden row wrong."""
    signals = [
        SignalReference(name, mean=0.0, std=1.0, tail=3.0, edges=[-1.0, 0.0, 1.0], shares=[0.25] * 4)
        for name in signal_layout(INPUTS, latent_size=1)
    ]
    return Manifest(
        name="tiny",
        version=version,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        definition=DEFINITION,
        latent_size=1,
        trained_from="2026-01-01",
        trained_until="2026-01-02",
        rows=1,
        data_sha256="0" * 64,
        seed=0,
        code_version="test",
        libraries={},
        training={},
        metrics={},
        calibration=Calibration(0.01, 10.0, [0.0, 10.0, 20.0], [1.0, 0.01, 0.001]),
        signals=signals,
        latent_mean=[0.0],
        latent_covariance=[[1.0]],
        golden=[GoldenRow([3.0, 4.0], (3.0 - centre) ** 2 + (4.0 - centre) ** 2 + golden_error)],
    )


def tiny_model(path: Path, version: str, centre: float = 0.0, golden_error: float = 0.0) -> ModelRef:
    """Write a model whose scores depend on `centre`."""
    manifest = tiny_manifest(version, centre, golden_error)
    sha256 = artefact.save(path, torch.jit.script(TinyGraph(centre)), manifest)
    return ModelRef("tiny", version, sha256)


def segments_of(field: str, *values: str, groups: int = 0) -> Segments:
    """Segments with these values and no reference distributions."""
    return Segments(field, groups, [Segment(value, 1000, 0.1, *([] for _ in range(11))) for value in values])
