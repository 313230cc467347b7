"""`python -m bench.models`: every model at full size: views, parameters, multiply-accumulates, time, published figures.

Needs no weights. Times are those that `python -m bench.exports` measured ("-": not measured); figures on PIQ23's scene split
are others' (`pqa.data.published`).
"""

from __future__ import annotations

import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import exports
from pqa import nn
from pqa.data import published
from pqa.spec import ViewSpec

METHODS = {
    "bdvqa": "BDVQA",
    "fhiqa": "FULL-HyperIQA",
    "hyperiqa": "HyperIQA",
    "monet": "MoNet",
    "pqe": "PQE",
    "rq_net": "RQ-Net",
    "sar": "SAR",
    "sem_hyperiqa": "SEM-HyperIQA",
}
"""A model's name in the published table; `scene_gate` stands in none."""

TITLES = (
    "model",
    "paper",
    "views (crops x side)",
    "parameters, M: published / ours (+ frozen)",
    "GMAC a picture",
    "CPU time a picture, s",
    "published on PIQ23: SRCC / PLCC / KRCC",
)


def shape(view: ViewSpec) -> tuple[int, ...]:
    if len(view.size) == 1:
        return (1, *view.size)
    return (1, 3, *view.size) if view.crops == 1 else (1, view.crops, 3, *view.size)


def cells(name: str, rows: dict[str, published.Row], seconds: dict[str, float]) -> tuple[str, ...]:
    """One line of the table."""
    with torch.device("meta"):
        model = nn.build(name, "full").eval()
        views = [torch.empty(shape(view)) for view in model.views]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(*views)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    frozen = sum(p.numel() for p in model.parameters()) - trained
    row = rows.get(METHODS.get(name, ""))
    return (
        f"`{name}`",
        nn.MODELS[name].paper,
        ", ".join(f"{view.name} {view.crops} x {view.size[0]}" for view in model.views if len(view.size) == 2),
        f"{row.params_m if row else '-'} / {trained / 1e6:.1f}" + (f" (+ {frozen / 1e6:.1f})" if frozen else ""),
        f"{counter.get_total_flops() / 2e9:.1f}",
        f"{seconds[name]:.3g}" if name in seconds else "-",
        f"{row.srcc} / {row.plcc} / {row.krcc}" if row else "-",
    )


def main() -> None:
    warnings.simplefilter("ignore")  # the output is a table; what torch and timm announce does not belong in it
    rows = {row.method: row for row in published.read("portrait_challenge") if row.benchmark == "PIQ23"}
    seconds = {row.model: float(row.milliseconds) / 1000 for row in exports.read() if row.size == "full"}
    print(f"| {' | '.join(TITLES)} |\n|{'---|' * len(TITLES)}")
    for name in sorted(nn.MODELS):
        print(f"| {' | '.join(cells(name, rows, seconds))} |", flush=True)


if __name__ == "__main__":
    main()
