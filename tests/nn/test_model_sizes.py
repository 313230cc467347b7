"""Parameters at full size, counted without allocating them."""

import pytest
import torch

from pqa import nn

PUBLISHED = [
    ("hyperiqa", "full", {}, 128_165_289),
    ("sem_hyperiqa", "full", {}, 145_266_841),
    ("sem_hyperiqa", "full_so", {}, 145_266_841),
    ("sem_hyperiqa", "full_co", {}, 145_266_841 - 46 * (672 * 500 + 501 + 100)),
    ("fhiqa", "full", {}, 145_266_841),
    ("pqe", "full", {}, 174_082_929),
    ("rq_net", "full", {}, 86_597_096),
    ("monet", "full", {}, 407_414_284),
    ("liqe", "full", {}, 87_849_216 + 495 * 512),
]
"""Published or, for rq_net and monet, true counts of the published networks (their papers print 57.6 M, as a counter that
skips attention weights gives, and 408 M); of liqe, which prints none, CLIP ViT-B/32's image tower and 495 sentences.
`full_co` names 4 conditions in place of 50 scenes: 46 columns fewer in the scene network's first layer, 46 rows and biases in
its last, 46 columns in the rescaler's first."""


@pytest.mark.parametrize(("name", "size", "changes", "expected"), PUBLISHED)
def test_trainable_parameters_are_the_published_ones(name, size, changes, expected):
    with torch.device("meta"):
        model = nn.build(name, size, **changes)
    assert sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad) == expected


@pytest.mark.parametrize("name", sorted(nn.MODELS))
def test_tiny_is_small(name):
    assert sum(parameter.numel() for parameter in nn.build(name, "tiny").parameters()) < 4_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(nn.MODELS))
def test_full_size_runs_once(name):
    torch.manual_seed(0)
    model = nn.build(name).eval()
    views = [
        torch.randn(
            1, *(view.size if len(view.size) == 1 else (*([view.crops] if view.crops > 1 else []), 3, *view.size))
        )
        for view in model.views
    ]
    with torch.no_grad():
        outputs = model(*views)
    assert outputs[0].shape == (1, len(model.config.attributes))
    assert all(torch.isfinite(output).all() for output in outputs)
