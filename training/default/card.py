"""`python -m training.default.card`: the card of a trained model file, with figures on the report part.

python -m training.default.card --model MODEL.onnx --data BIQ2021 --cache RUN/cache > pqa/artifacts/scene_gate.md

`--seeds OTHER.onnx ...` names files of the same recipe with other seeds: how much of every figure is the seed's.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

import pqa
from pqa.data import biq2021
from training.default.cache import Cache
from training.default.figures import Judged, baselines, calibrations, faults, flagged, judge, seeds, slices

__all__ = ["main"]

INTRODUCTION = """\
# {name} {version}

{description}

- File: {bytes} bytes, sha256 `{sha256}`.
- Architecture: {architecture}, {parameters} parameters; views: {views}; attributes: {attributes}.
- Scenes: {scenes}; light conditions clustered from the training pictures' colour statistics, without anybody's labels.
- Data: {data}.{source}
- Terms: {licence}.
- Provenance: {provenance}.
- Recipe: `{recipe}`, then this card: `{command}`.
- Agreement of the file with torch: largest difference {difference:.1e} over {pictures} portraits, spread {spread:.3f}.

## What it may be used for, and what not

{raters} Nobody rated detail and exposure: both were taught by simulated camera faults,
starting from the overall rating. It says nothing about a person; do not use it to judge people, or alone to decide on them.

## Figures on the report part

Pictures cut off by near-duplicate group before anything was trained or chosen; nothing was trained or chosen on this part.
"""

SOURCE = " BIQ2021 (Ahmed and Asif, 2021) is published for research; this weight was trained on its training split."

RATERS = """\
It orders photographs of people by the technical quality that raters of BIQ2021 saw: mean ratings of single pictures shown
one at a time. No votes between shots of one scene stand behind it yet, and no picture larger than 512 x 512 pixels: larger
ones are judged as they look at that size."""

OTHER_RATERS = """\
It orders photographs by the quality that whoever rated its training data saw in single pictures. Larger pictures than
512 x 512 pixels are judged as they look at that size."""

SEEDS = """
The whole recipe with another seed (other faults and versions, other order, other first weights; the same three parts) gives
another file. Each on the portraits of the report part and on the faults of the table above:
"""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True, help="cache of the run: the division and the baselines")
    parser.add_argument("--seeds", type=Path, nargs="+", default=[], help="files of the same recipe with other seeds")
    args = parser.parse_args(argv)

    rated = biq2021.read(args.data)
    paths = {row.path.name: row.path for row in rated}
    cache = Cache.open(args.cache)
    judged, *others = (judge(pqa.load(model), cache, paths) for model in (args.model, *args.seeds))
    seeded = " --seeds OTHER/scene_gate.onnx" * bool(others)
    print(_introduction(judged, args.model, seeded, released=biq2021.is_released(rated)))
    print(*slices(judged), sep="\n")
    print("\nSimple baselines on the same portraits:\n")
    print(*baselines(judged), sep="\n")
    print("\nSimulated faults at half strength or more, on portraits of the choose part:\n")
    print(*faults(judged), sep="\n")
    print()
    print(*calibrations(judged), sep="\n")
    print(f"\n{flagged(judged)}")
    if others:
        print(SEEDS)
        print(*seeds(judged, others), sep="\n")
    return 0


def _introduction(judged: Judged, file: Path, seeded: str, *, released: bool) -> str:
    predictor = judged.assessor.predictor
    spec, parity = predictor.spec, predictor.spec.parity
    return INTRODUCTION.format(
        name=spec.name,
        version=spec.version,
        description=spec.description,
        bytes=predictor.model.bytes,
        sha256=predictor.model.info.sha256,
        parameters=f"{sum(int(np.prod(tensor.dims)) for tensor in onnx.load(file).graph.initializer):,}",
        architecture=spec.architecture,
        views=", ".join(view.name for view in spec.views),
        attributes=", ".join(spec.attributes),
        scenes=", ".join(spec.scenes),
        data="; ".join(spec.data),
        source=SOURCE if released else "",
        raters=RATERS if released else OTHER_RATERS,
        licence=spec.licence,
        provenance="; ".join(f"{what} {which}" for what, which in spec.provenance.items()),
        recipe="pqa train --recipe default --data BIQ2021 --out RUN",
        command="python -m training.default.card --model RUN/scene_gate.onnx --data BIQ2021 --cache RUN/cache" + seeded,
        difference=parity.max_difference if parity else float("nan"),
        pictures=parity.pictures if parity else 0,
        spread=parity.spread if parity else float("nan"),
    )


if __name__ == "__main__":
    raise SystemExit(main())
