"""The networks of a model and the graph that holds them: raw inputs in, a score with its reasons out.

Three views of an event, added up because each sees what the others miss: how rare its values are (`models.tails`), how
badly a denoising autoencoder reconstructs it, and what a head makes of that reconstruction which has learnt to tell
events from rows that never happened (`models.pseudo`; Hendrycks et al. 2019, Deep anomaly detection with outlier
exposure).

The score is a pure function of the record, and finite for every float32 input: features are clipped at `LIMIT`, the
networks see them clipped at `FAR`, and beyond that the tails go on growing. What is expected of an event comes from the
same autoencoder on features clipped to `SEEN`, so that it does not follow an outlier.

An input that was constant in training says nothing of how far is far. The networks do not see it, and when it moves it
adds a bounded part: drift reports the input, not every event.
"""

from typing import Final

import torch
from torch import Tensor, nn

from models.preprocessing import Preprocessing
from models.tails import Tails

SEEN = 2.0
FAR = 50.0
SMALLEST_SPREAD = 0.05  # of a residual, in standard deviations of its feature
HEAD, RECONSTRUCTION, TAILS = 2.0, 5.0, 3.0  # weights in the score; of the rarest value 1
MOST_OF_CONSTANT = 1.0  # nats
WHOLE = 1e-6  # every input that is there has at least this weight among the reasons


class Layer(nn.Linear):
    """A linear layer between tables that have one row for each unit."""

    def forward(self, units: Tensor) -> Tensor:
        """From float32 [units, n] to float32 [units of the next, n]."""
        return torch.addmm(self.bias.unsqueeze(1), self.weight, units)


class Autoencoder(nn.Module):
    """Encoder and decoder, each with one hidden layer of rectified units.

    Args:
        features: Rows.
        hidden: Units of each hidden layer.
        latent: Units of the bottleneck.
    """

    def __init__(self, features: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(Layer(features, hidden), nn.ReLU(), Layer(hidden, latent))
        self.decoder = nn.Sequential(Layer(latent, hidden), nn.ReLU(), Layer(hidden, features))

    def forward(self, standardised: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction [features, n] and latent [latents, n] of standardised features [features, n]."""
        latent = self.encoder(standardised)
        return self.decoder(latent), latent


class Networks(nn.Module):
    """Autoencoder and head, as they are trained.

    Args:
        features: Rows.
        hidden: Units of each hidden layer of the autoencoder; the head has half as many.
        latent: Units of the bottleneck.
    """

    def __init__(self, features: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.autoencoder = Autoencoder(features, hidden, latent)
        width = max(hidden // 2, 1)
        self.head = nn.Sequential(Layer(features + latent, width), nn.ReLU(), Layer(width, 1))

    def forward(self, residual: Tensor, latent: Tensor) -> Tensor:
        """Log odds that an event never happened, [n], from its residual [features, n] and latent [latents, n]."""
        compressed = residual.sign() * residual.abs().log1p()
        odds: Tensor = self.head(torch.cat([compressed, latent]))
        return odds.squeeze(0)

    @torch.jit.unused
    def loss(self, rows: Tensor, made: Tensor, noise: float) -> Tensor:
        """Denoising error (Vincent et al. 2010) plus cross-entropy of the head, for rows and made rows [features, k].

        The random numbers are the global generator's.
        """
        denoised, _ = self.autoencoder(rows + noise * torch.randn_like(rows))
        denoising = (denoised - rows).square().mean()
        total: Tensor = denoising + self._logit(rows, 1.0).mean() + self._logit(made, -1.0).mean()
        return total

    def _logit(self, rows: Tensor, sign: float) -> Tensor:
        expected, latent = self.autoencoder(rows)
        return nn.functional.softplus(sign * self.forward(expected - rows, latent))


class ScoringGraph(nn.Module):
    """What an artefact holds.

    Args:
        preprocessing: Fitted.
        networks: Trained.
        tails: Fitted.
        judged: Number of features that are judged by themselves.
        residuals: float32 [features, rows], residuals of the training rows: what spreads widely counts for less.
    """

    far: Final[float] = FAR
    seen: Final[float] = SEEN
    weights: Final[tuple[float, float, float]] = (HEAD, RECONSTRUCTION, TAILS)
    whole: Final[float] = WHOLE
    most: Tensor
    precision: Tensor
    besides: Tensor

    def __init__(
        self, preprocessing: Preprocessing, networks: Networks, tails: Tails, judged: int, residuals: Tensor
    ) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.networks = networks
        self.tails = tails
        self.judged: Final[int] = judged
        spread = residuals.std(dim=1, keepdim=True).clamp_min(SMALLEST_SPREAD)
        self.register_buffer("precision", preprocessing.varies / spread.square())
        self.register_buffer("most", torch.where(preprocessing.varies > 0, torch.inf, MOST_OF_CONSTANT))
        self.register_buffer("besides", preprocessing.source[preprocessing.inputs :])

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Score a batch; the outputs are those of `models.runtime.Scored`, in that order.

        A missing input has no residual and no surprise, and contributes nothing. Contributions share the score out by
        surprise and residual.

        Args:
            raw: float32 [n, inputs], NaN where missing.
        """
        standardised, beside, present, alone = self.preprocessing(raw)
        inputs = self.preprocessing.inputs
        varying = standardised * self.preprocessing.varies
        expected, latent = self.networks.autoencoder(varying.clamp(-self.seen, self.seen))
        expected = expected * self.preprocessing.varies
        residual = (expected - standardised) * present
        far = varying.clamp(-self.far, self.far)
        reconstructed, hidden = self.networks.autoencoder(far)
        followed = (reconstructed - far) * present
        surprise = torch.minimum(self.tails(standardised), self.most) * present
        misfit = (followed.square() * self.precision).mean(dim=0).log1p()
        head, reconstruction, tails = self.weights
        total = head * self.networks(followed, hidden) + reconstruction * misfit
        total = total + tails / self.judged * surprise.sum(dim=0) + surprise.amax(dim=0)
        score = nn.functional.softplus(total) * present.amax(dim=0)
        parts = (residual.square() * self.precision).clamp_max(1e12)
        parts = parts * (reconstruction * misfit / (parts.sum(dim=0) + self.whole))
        parts = parts + surprise * (1 + tails / self.judged) + self.whole * present
        parts = parts[:inputs].index_add(0, self.besides, parts[inputs:])
        contributions = parts * (score / parts.sum(dim=0).clamp_min(1e-30))
        return (
            score,
            contributions.t().contiguous(),
            self.preprocessing.invert(expected, beside)[:inputs].t().contiguous(),
            latent.t().contiguous(),
            alone.t().contiguous(),
            residual[:inputs].t().contiguous(),
        )
