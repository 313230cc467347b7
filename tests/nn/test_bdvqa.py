"""BDVQA: the size that explains the published 794, and its pooled stages."""

import torch

from pqa import nn


def test_the_published_figure_is_megabytes_of_a_swin_l():
    """195.2 M parameters; their float32 bytes with index and mask buffers are the 794 of the report."""
    with torch.device("meta"):
        model = nn.build("bdvqa", "full")
    parameters = sum(parameter.numel() for parameter in model.parameters())
    stored = 4 * parameters + sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    assert parameters == 195_198_325
    assert round(stored / 1e6, 1) == 794.4
    assert model.trunk.widths == (192, 384, 768, 1536)
    assert model.head.weight.shape == (1, 2880)


def test_every_stage_is_pooled_once():
    torch.manual_seed(0)
    model = nn.build("bdvqa", "tiny").eval()
    crops = torch.randn(2, 18, 3, 64, 64)
    with torch.no_grad():
        (score,) = model(crops)
        expected = torch.zeros(2, 18)
        for k in range(18):
            pooled = [stage.flatten(2).mean(2) for stage in model.trunk(crops[:, k])]
            assert [values.shape[1] for values in pooled] == [16, 32, 64, 128]
            expected[:, k] = model.head(torch.cat(pooled, 1))[:, 0]
    torch.testing.assert_close(score[:, 0], expected.mean(1))


def test_eighteen_fixed_crops():
    (view,) = nn.build("bdvqa", "tiny").views
    assert (view.kind, view.crops) == ("patches", 18)
