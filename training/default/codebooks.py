"""Learns the codebooks of `scene_gate` from a cache, and describes its rows by them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor
from torch.utils.data import DataLoader

from pqa.nn.codebook import Codebook, CodebookRegression
from pqa.spec import ViewSpec
from training.default.cache import Cache
from training.default.data import PlainDataset

__all__ = ["features", "learn"]

PICTURES, PATCHES = 600, 150
"""Pictures that a codebook is learned from, and patches of each."""

FLOOR = 0.1
"""Added to the variances that patches are whitened by."""

BATCH = 4
"""Small: what lies between pixels and features stays in a processor's cache."""


def learn(regression: CodebookRegression, cache: Cache, views: tuple[ViewSpec, ...], seed: int) -> None:
    """Fill the codebook of each of `views` by k-means over patches of untouched pictures of the train part."""
    rng = np.random.default_rng(seed)
    untouched = [row for row, sample in enumerate(cache.samples) if sample.part == "train" and row == sample.base]
    rows = rng.permutation(untouched)[:PICTURES]
    for number, book in enumerate(regression.books):
        loader = DataLoader(PlainDataset(cache, views[number : number + 1], rows.tolist()), batch_size=BATCH)
        found = [book.patches(pixels) for (pixels,), _ in loader]
        chosen = [picture[torch.from_numpy(rng.permutation(len(picture))[:PATCHES])] for picture in torch.cat(found)]
        _fill(book, torch.cat(chosen).numpy().astype(np.float64), rng)


def _fill(book: Codebook, patches: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    centre = patches.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(patches, rowvar=False))
    whitening = (vectors / np.sqrt(values + FLOOR)) @ vectors.T
    white = (patches - centre) @ whitening
    words = book.moments.shape[1]
    _, nearest = kmeans2(white, words, minit="++", iter=30, rng=rng)
    moments = np.zeros((3, words, white.shape[1]))
    for word in range(words):
        mine = white[nearest == word]
        if len(mine) > 1:
            mean, variance = mine.mean(axis=0), mine.var(axis=0).clip(min=1e-4)
            moments[:, word] = mean, variance, ((mine - mean) ** 3).mean(axis=0) / variance**1.5
    book.fill(*(torch.from_numpy(each) for each in (centre, whitening, moments)))


def features(
    regression: CodebookRegression, cache: Cache, views: tuple[ViewSpec, ...], rows: npt.NDArray[np.intp]
) -> Iterator[Tensor]:
    """Features (at most `BATCH`, D) of rows of the cache, batch after batch."""
    with torch.no_grad():
        for pixels, _ in DataLoader(PlainDataset(cache, views, rows.tolist()), batch_size=BATCH):
            yield regression.features(pixels)
