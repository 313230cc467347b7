"""Codebooks of patches: against the paper's formulas written plainly, what changes them and what does not, the regression."""

import numpy as np
import pytest
import torch

from pqa import nn
from pqa.nn.codebook import CONTRAST, LUMA, NEAREST, PATCH, POWER, SHARPNESS, SMOOTH, Codebook, CodebookRegression

STD = (0.2, 0.3, 0.25)
AREA = PATCH * PATCH


def filled(words=8, seed=0):
    rng = torch.Generator().manual_seed(seed)
    book = Codebook(words, STD)
    moments = torch.stack([torch.randn(words, AREA, generator=rng) for _ in range(3)])
    moments[1] = moments[1].abs() + 0.1
    book.fill(
        torch.randn(AREA, generator=rng) / 10, torch.eye(AREA) + 0.05 * torch.randn(AREA, AREA, generator=rng), moments
    )
    return book


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 29, 37, generator=torch.Generator().manual_seed(1))


def plain(book, picture):
    """The same, patch by patch and word by word."""
    picture, centre, whitening, moments = (
        each.double().numpy() for each in (picture, book.centre, book.whitening, book.moments)
    )
    grey = 255 * sum(share * std * plane for share, std, plane in zip(LUMA, STD, picture, strict=True))
    found = []
    for top in range(0, grey.shape[0] - PATCH + 1, book.stride):
        for left in range(0, grey.shape[1] - PATCH + 1, book.stride):
            patch = grey[top : top + PATCH, left : left + PATCH].ravel()
            found.append(((patch - patch.mean()) / (patch.std() + CONTRAST) - centre) @ whitening)
    words = moments.shape[1]
    shares = np.zeros((len(found), words))
    for row, patch in zip(shares, found, strict=True):
        distance = ((patch - moments[0]) ** 2).sum(axis=1)
        nearest = np.argsort(distance)[:NEAREST]
        row[nearest] = np.exp(-SHARPNESS * distance[nearest])
        row /= row.sum()
    differences = np.zeros((3, words, AREA))
    for word in range(words):
        count = shares[:, word].sum()
        mean, square, cube = (
            sum(share * patch**power for share, patch in zip(shares[:, word], found, strict=True)) / (count + 1e-3)
            for power in (1, 2, 3)
        )
        variance = np.maximum(square - mean**2, 1e-4)
        skewness = (cube - 3 * mean * square + 2 * mean**3) / variance**1.5
        differences[:, word] = (np.stack([mean, variance, skewness]) - moments[:, word]) * count / (count + 1)
    powers = differences * (np.abs(differences) + SMOOTH) ** (POWER - 1)
    return np.concatenate([moment.ravel() / np.linalg.norm(moment) for moment in powers])


def test_it_is_the_plain_formula(pixels):
    book = filled()
    got = book(pixels)
    assert got.shape == (2, 3 * 8 * AREA)
    np.testing.assert_allclose(got, np.stack([plain(book, picture) for picture in pixels]), atol=2e-4)


def test_light_changes_nothing_and_company_little_beyond_the_last_bit(pixels):
    book = filled()
    torch.testing.assert_close(book(pixels + 0.7), book(pixels), atol=2e-4, rtol=0)
    torch.testing.assert_close(book(pixels[1:]), book(pixels)[1:], atol=1e-6, rtol=0)


def test_a_flat_picture_is_described_too():
    assert torch.isfinite(filled()(torch.zeros(1, 3, 20, 20))).all()


def test_regression_is_ridge_regression_on_centred_features():
    rng = np.random.default_rng(0)
    regression = CodebookRegression(2, 1, STD)
    features = rng.normal(1.0, 2.0, (12, len(regression.weights)))
    ratings, importance = rng.uniform(0, 1, 12), rng.uniform(0.3, 2.0, 12)
    regression.fit(*(torch.from_numpy(each).float() for each in (features, ratings, importance)), ridge=0.4)
    about = features - features.mean(axis=0)
    unit = (about**2).sum(axis=1).mean()
    offset = np.average(ratings, weights=importance)
    # The primal form: minimise sum_i w_i (x_i b - y_i)^2 + ridge unit |b|^2.
    weighted = about.T * importance
    primal = np.linalg.solve(weighted @ about + 0.4 * unit * np.eye(about.shape[1]), weighted @ (ratings - offset))
    got = torch.from_numpy(features).float() @ regression.weights + regression.offset
    np.testing.assert_allclose(got, about @ primal + offset, atol=1e-4)


def test_in_scene_gate_it_is_one_of_the_fitted_opinions(pixels):
    torch.manual_seed(0)
    model = nn.build("scene_gate", "tiny", statistics=5, anchors=8, words=6).eval()
    views = [torch.randn(3, *shape) for shape in ((3, 56, 56), (3, 64, 64), (3,), (5,), (5,), (3, 56, 56))]
    model.remember(torch.randn(8, 13), torch.linspace(0, 1, 8), torch.ones(8))
    model.codebook.fit(torch.randn(8, len(model.codebook.weights)), torch.linspace(0, 1, 8), torch.ones(8))
    outputs = dict(zip(model.outputs, model(*views), strict=True))
    likeness, _ = model.kernel(torch.cat([views[3], views[4], views[2]], dim=1))
    wanted = (likeness + model.codebook(views[:2])) / 2.0
    torch.testing.assert_close(outputs["branches"][:, 2], wanted)
