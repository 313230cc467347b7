"""`python -m bench.models`: every model at full size: views, parameters, multiply-accumulates. Needs no weights."""

from __future__ import annotations

import warnings

import torch
from torch.utils.flop_counter import FlopCounterMode

from pqa import nn
from pqa.spec import ViewSpec


def shape(view: ViewSpec) -> tuple[int, ...]:
    if len(view.size) == 1:
        return (1, *view.size)
    return (1, 3, *view.size) if view.crops == 1 else (1, view.crops, 3, *view.size)


def main() -> None:
    warnings.simplefilter("ignore")
    print("| model | paper | views (crops x side) | parameters, M (frozen) | GMAC a picture |\n|---|---|---|---|---|")
    for name, row in sorted(nn.MODELS.items()):
        with torch.device("meta"):
            model = nn.build(name, "full").eval()
            views = [torch.empty(shape(view)) for view in model.views]
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(*views)
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        frozen = sum(p.numel() for p in model.parameters()) - trained
        crops = ", ".join(f"{view.name} {view.crops} x {view.size[0]}" for view in model.views if len(view.size) == 2)
        count = f"{trained / 1e6:.1f}" + (f" ({frozen / 1e6:.1f})" if frozen else "")
        print(f"| `{name}` | {row.paper} | {crops} | {count} | {counter.get_total_flops() / 2e9:.1f} |", flush=True)


if __name__ == "__main__":
    main()
