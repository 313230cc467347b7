"""Ranker loss: a network that has learnt to rank 16 numbers, between the scores and their error. Engilberge et al., "SoDeep: a
Sorting Deep net to learn ranking loss surrogates" (CVPR 2019).

Channels, kernels, training vectors and the squared error of ranks are those of an entry in "NTIRE 2021 Challenge on Perceptual
Image Quality Assessment" (CVPR workshops 2021), which speaks of sorting but regresses ranks, as here. Unknown and chosen:
zeros keep the length at 16; Adam with one rise and fall of the rate, 64 vectors a step.
"""

from __future__ import annotations

import functools

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pqa.nn.losses.checks import check_positive, check_vectors

__all__ = ["LENGTH", "Ranker", "rank_error", "ranker", "train_ranker"]

LENGTH = 16
CHANNELS = (8, 16, 32, 64, 96, 128, 256)
KERNELS = (2, 3, 5, 7, 10, 7, 7)
WITHOUT_NORM = (1, 5)
BATCH = 64
RATE = 6e-3


class Ranker(nn.Module):
    """Maps (N, 16) numbers to (N, 16) ranks, 1 for the smallest. 461,279 parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for number, (channels, kernel) in enumerate(zip(CHANNELS, KERNELS, strict=True), start=1):
            layers += [nn.ConstantPad1d(((kernel - 1) // 2, kernel // 2), 0.0), nn.Conv1d(width, channels, kernel)]
            if number not in WITHOUT_NORM:
                layers.append(nn.BatchNorm1d(channels))
            layers.append(nn.PReLU())
            width = channels
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * LENGTH, LENGTH))

    def forward(self, values: Float[Tensor, "n 16"]) -> Float[Tensor, "n 16"]:
        ranks: Tensor = self.layers(values[:, None])
        return ranks


def _draw(count: int, generator: torch.Generator) -> Float[Tensor, "n 16"]:
    """Half from N(0, 2), the other half from U(-10, 10)."""
    normal = 2.0 * torch.randn(count // 2, LENGTH, generator=generator)
    uniform = 20.0 * torch.rand(count - count // 2, LENGTH, generator=generator) - 10.0
    return torch.cat([normal, uniform])


def _ranks(values: Float[Tensor, "n 16"]) -> Float[Tensor, "n 16"]:
    return values.argsort(dim=1).argsort(dim=1) + 1.0


def train_ranker(seed: int = 0, steps: int = 800) -> Ranker:
    """A frozen ranker in evaluation mode, fitted on the CPU to the mean absolute error of ranks.

    The same for the same arguments on one machine; the global random state is left as it was.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        network = Ranker()
        optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
        for _ in range(steps):
            values = _draw(BATCH, generator)
            error = (network(values) - _ranks(values)).abs().mean()
            optimiser.zero_grad()
            error.backward()
            optimiser.step()
            schedule.step()
    return network.requires_grad_(False).eval()


def rank_error(network: Ranker, seed: int = 1, count: int = 4096) -> float:
    """Mean absolute error, in ranks, on new vectors of the kind it learnt from."""
    values = _draw(count, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return float((network(values) - _ranks(values)).abs().mean())


@functools.lru_cache(maxsize=4)
def _trained(seed: int, steps: int, device: torch.device, dtype: torch.dtype) -> Ranker:
    # A first call without gradients must leave a network that later ones can pass gradients through.
    with torch.inference_mode(False):
        return train_ranker(seed, steps).to(device, dtype)


def ranker(
    prediction: Float[Tensor, n], label: Float[Tensor, n], *, seed: int = 0, steps: int = 800
) -> Float[Tensor, ""]:
    """Mean of (R(y) - R(q))^2 over groups of 16 pictures in their order, R a frozen `train_ranker(seed, steps)`.

    From 0 up, of the order of 40 for unrelated scores: published with a weight of .01 to .1 beside a regression. Has no exact
    invariance; R ranks within -10 to 10 with a spread of a few units, so scores and labels of another scale are brought there
    first (JOD is there). Constants and ties have finite gradients. What remains after whole groups of 16 takes no part; fewer
    than 16 pictures raise ValueError. The first call in a process trains R: under a minute of one core, to
    0.6 ranks of mean error (`rank_error`; `pytest -m slow tests/nn/test_losses_ranking.py` holds it below 0.7).
    """
    check_vectors(prediction, label, LENGTH)
    check_positive("steps", steps)
    network = _trained(seed, steps, prediction.device, prediction.dtype)
    whole = len(label) // LENGTH * LENGTH
    predicted, wanted = (network(values[:whole].reshape(-1, LENGTH)) for values in (prediction, label))
    loss: Tensor = (wanted - predicted).square().mean()
    return loss
