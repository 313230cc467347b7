"""`pqa train`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import pqa
from pqa.cli.text import plain
from pqa.data.sets import SETS, read
from pqa.errors import ConfigurationError, unknown_key
from pqa.faces.detectors import DETECTORS
from pqa.session import available_cpus
from training.adapt import LEAST, adapt, rows_of
from training.checkpoints import Stopped, stoppable
from training.default import command as default
from training.gather import gather
from training.plan import Plan, carry_out
from training.recipe import changed
from training.recipes import RECIPES, smoke
from training.run import Machine

__all__ = ["configure", "run"]

DEFAULT = "default"
EXIT_TERMINATED = 143  # as shells report SIGTERM

EPILOG = """examples:
  pqa train --recipe scene_gate --data PIQ23 --split scene --out runs/a
  pqa train --recipe hyperiqa --data PIQ23 --out runs/b --set epochs=5 --set optimiser.rate=1e-4
  pqa train --recipe rq_net --data KONIQ --data SPAQ --out runs/general
  pqa train --recipe rq_net --data PIQ23 --start runs/general/rq_net.safetensors --out runs/c
  pqa train --recipe scene_gate --data PIQ23 --out runs/a --resume
  pqa train --adapt runs/a/scene_gate.onnx --scene studio --data STUDIO --out runs/adapted

--recipe default trains the shipped model on BIQ2021 and camera faults; it knows --epochs, --seed, --cache and --smoke only."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Train a recipe on rated portraits, choose the epoch on pictures kept aside, export the model as one ONNX file and "
        "judge it on the part that nothing was chosen on."
    )
    parser.epilog = EPILOG
    parser.add_argument("--recipe", default=DEFAULT, help=f"one of: {DEFAULT}, {', '.join(RECIPES)}")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where checkpoint, model and metrics go")
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", type=Path, required=True, action="append", metavar="DIR", help="repeat it to train on several sets"
    )
    group.add_argument("--kind", action="append", help=f"what --data is (found out without it): {', '.join(SETS)}")
    group.add_argument("--split", choices=("scene", "device"), default="scene", help="of PIQ23 (%(default)s)")
    group.add_argument("--attribute", action="append", help="one that the data rates; may be repeated (the recipe's)")
    group.add_argument("--allow-missing", action="store_true", help="leave out labelled pictures that are not there")
    group.add_argument("--cache", type=Path, metavar="DIR", help="where faces and statistics are kept (OUT/cache)")
    group.add_argument("--detector", help=f"finds the faces (the one the model asks for): {', '.join(DETECTORS)}")
    group = parser.add_argument_group("run")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replace a value of the recipe")
    group.add_argument("--size", help="size of the model, instead of the recipe's")
    group.add_argument("--epochs", type=int, help="instead of the recipe's")
    group.add_argument("--seed", type=int, help="instead of the recipe's")
    group.add_argument(
        "--start",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.safetensors",
        help="weights of another run to begin with; several runs take repeated ones in turn",
    )
    group.add_argument("--no-pretrained", action="store_true", help="begin with random weights")
    group.add_argument("--resume", action="store_true", help="continue the run in --out")
    group.add_argument("--smoke", action="store_true", help="tiny model, few pictures, one epoch: does it run?")
    several = group.add_mutually_exclusive_group()
    several.add_argument("--seeds", type=int, default=0, metavar="N", help="N runs that differ in the seed")
    several.add_argument("--folds", type=int, default=0, metavar="N", help="cross-validation over scenes")
    several.add_argument(
        "--bag", type=int, default=0, metavar="N", help="N runs on 90 %% of the scenes, exported as one model"
    )
    group = parser.add_argument_group("adapt a trained model file to one more scene, in place of a run")
    group.add_argument(
        "--adapt", type=Path, metavar="FILE.onnx", help="the model; its own scenes keep their scores to the bit"
    )
    group.add_argument("--scene", metavar="NAME", help=f"scene of --data with at least {LEAST} labelled pictures")
    group = parser.add_argument_group("machine")
    group.add_argument("--accelerator", default="auto", help="as Lightning names it: auto, cpu, gpu (%(default)s)")
    group.add_argument(
        "--devices", type=int, default=1, help="accelerators (or processes) of this machine (%(default)s)"
    )
    group.add_argument("--nodes", type=int, default=1, help="machines (%(default)s)")
    group.add_argument("--workers", type=int, help="processes that load pictures (all processors but one)")
    group.add_argument("--every", type=int, default=200, metavar="STEPS", help="between two checkpoints (%(default)s)")


def run(args: argparse.Namespace) -> int:
    if args.adapt or args.scene:
        return _adapt(args)
    if args.recipe == DEFAULT:
        return default.run(args)
    if args.recipe not in RECIPES:
        raise unknown_key(args.recipe, [DEFAULT, *RECIPES], "recipe")
    kinds = args.kind or [None] * len(args.data)
    if len(kinds) != len(args.data):
        raise ConfigurationError(f"expected one --kind for each --data, got {len(kinds)} for {len(args.data)}")
    base = RECIPES[args.recipe]
    recipe = changed(smoke(base) if args.smoke else base, args.set)
    changes = {key: getattr(args, key) for key in ("size", "epochs", "seed") if getattr(args, key) is not None}
    if args.attribute:
        changes["attributes"] = tuple(args.attribute)
    if args.no_pretrained:
        changes["pretrained"] = False
    recipe = dataclasses.replace(recipe, **changes)
    sets = [
        read(path, kind, attributes=recipe.attributes, split=args.split, allow_missing=args.allow_missing)
        for path, kind in zip(args.data, kinds, strict=True)
    ]
    workers = 0 if args.smoke else max(0, available_cpus() - 1)
    machine = Machine(
        accelerator=args.accelerator,
        devices=args.devices,
        nodes=args.nodes,
        workers=workers if args.workers is None else args.workers,
        every=args.every,
        resume=args.resume,
        cache=args.cache,
        detector=args.detector or ("mtcnn" if args.smoke else ""),
        progress=sys.stderr.isatty(),
    )
    plan = Plan(seeds=args.seeds, folds=args.folds, bag=args.bag, smoke=args.smoke, start=tuple(args.start))
    data = gather(sets)
    for warning in data.warnings:
        print(f"warning: {plain(warning.message)}", file=sys.stderr)
    try:
        with stoppable():
            lines = carry_out(plan, recipe, data, args.out, machine)
    except Stopped as stopped:
        if stopped.rank:  # one of several processes speaks
            return 0
        print(f"pqa: {stopped}", file=sys.stderr)
        return EXIT_TERMINATED
    print("\n".join(lines))
    return 0


def _adapt(args: argparse.Namespace) -> int:
    if not (args.adapt and args.scene and len(args.data) == 1):
        raise ConfigurationError("--adapt FILE.onnx, --scene NAME and one --data belong together")
    attributes = pqa.load(args.adapt).predictor.spec.attributes
    rows = rows_of(args.data[0], args.kind[0] if args.kind else None, attributes, args.scene)
    done = adapt(args.adapt, args.scene, rows, args.out / args.adapt.name)
    linear = done.linear
    print(
        f"{done.scene}: KRCC {linear.before:.3f} by the model, {linear.after:.3f} adapted (leave-one-out, {done.pictures} "
        f"pictures)\n{done.path}"
    )
    return 0
