"""One training run: from gathered rows to the weights that did best on the choose part."""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn as torch_nn

from pqa import nn
from pqa.data.rated import Rated
from pqa.errors import ConfigurationError, DataError
from pqa.types import Warn
from training.aspects import untold
from training.checkpoints import LAST, Checkpoints, place_in
from training.checks import check_rows
from training.facts import Facts, find_facts
from training.gather import Gathered
from training.loading import Division, Loading, divide
from training.recipe import Recipe, from_json, to_json
from training.schedules import freeze
from training.task import Task

__all__ = ["BEST", "Fitted", "Machine", "build_models", "fit", "usable"]

BEST = "best.safetensors"
COPIES = 6
"""Float32 copies of the parameters that a run writes, roughly: the trainer's with two moments and an average, weights, ONNX."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run uses. `every`: steps between two checkpoints of the trainer; `cache`: folder of faces and statistics;
    `detector`: finds the faces, in training and in the model file (empty: the one that the model's paper names)."""

    accelerator: str = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 0
    every: int = 200
    resume: bool = False
    cache: Path | None = None
    detector: str = ""
    progress: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model as it is exported, with what was learnt of it on the way (of an ensemble: no best epoch)."""

    model: torch_nn.Module
    build: dict[str, Any]
    scenes: tuple[str, ...]
    detector: str
    choose: Division
    best_score: float | None
    best_epoch: int | None
    warnings: tuple[Warn, ...]


def _plain(value: Any) -> Any:
    """JSON's lists as the tuples that configurations hold."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def build_models(recipe: Recipe, scenes: Sequence[str]) -> tuple[torch_nn.Module, torch_nn.Module, dict[str, Any]]:
    """The network as trained, the same as exported, and the changes to the size's configuration that give the latter.

    A model that knows scenes gets those of the data, unless it has words of its own for them.
    """
    changes = {key: _plain(value) for key, value in recipe.changes.items()}
    changes["attributes"] = recipe.attributes
    size = nn.MODELS[recipe.model].sizes.get(recipe.size)
    if size is not None and size.scenes and recipe.scene_by != "content":
        changes["scenes"] = tuple(scenes)
    training = {key: _plain(value) for key, value in recipe.training.items()}
    torch.manual_seed(recipe.seed)
    tested = nn.build(recipe.model, recipe.size, False, **changes)
    torch.manual_seed(recipe.seed)
    model = nn.build(recipe.model, recipe.size, recipe.pretrained, **{**changes, **training})
    return model, tested, changes


def usable(rows: Sequence[Rated], facts: Sequence[Facts]) -> tuple[list[Rated], list[Facts], list[Warn]]:
    """Rows whose pictures could be read. Raises DataError where more than half could not."""
    bad = [(row, fact) for row, fact in zip(rows, facts, strict=True) if fact.problem]
    first = "; ".join(f"{row.image}: {fact.problem}" for row, fact in bad[:3])
    if 2 * len(bad) > len(rows):
        raise DataError(f"{len(bad)} of {len(rows)} pictures cannot be read ({first})")
    good = [(row, fact) for row, fact in zip(rows, facts, strict=True) if not fact.problem]
    warned = [Warn("unreadable", f"{len(bad)} of {len(rows)} pictures left out: {first}")] if bad else []
    return [row for row, _ in good], [fact for _, fact in good], warned


def fit(
    recipe: Recipe,
    data: Gathered,
    out: Path,
    machine: Machine,
    *,
    start: Path | None = None,
) -> Fitted:
    """Train on the train part, choose the epoch on the choose part. `start`: weights (safetensors) to begin with.

    Leaves in `out` the resolved recipe, the trainer's checkpoint, logs and the best weights. Raises ConfigurationError and
    DataError before the first step for what can be known then.
    """
    rows = [*data.part("train"), *data.part("choose")]
    check_rows(recipe, rows, per_scene=data.per_scene)
    content = recipe.scene_by == "content"
    scenes = [] if content else sorted({getattr(row, recipe.scene_by) for row in rows if row.part == "train"})
    model, tested, build = build_models(recipe, scenes)
    _prepare(out, recipe, machine, model)
    if start is not None:
        _start(model, start)
    freeze(model, recipe.optimiser)
    detector = machine.detector or nn.MODELS[recipe.model].detector
    facts = find_facts(
        [row.path for row in rows],
        tested.views,
        detector,
        machine.cache or out / "cache",
        workers=max(1, machine.workers),
    )
    rows, facts, warned = usable(rows, facts)
    if warned:
        check_rows(recipe, rows, per_scene=data.per_scene)
    warned += untold(recipe, [row for row in rows if row.part == "train"])
    parts = {
        part: divide(
            [row for row in rows if row.part == part],
            [fact for row, fact in zip(rows, facts, strict=True) if row.part == part],
            scenes,
            recipe.scene_by,
        )
        for part in ("train", "choose")
    }
    if start is None and (vectors := _vectors(parts["train"].facts)):
        model.standardise(vectors)
    last = out / LAST if machine.resume else None
    epoch, skip = place_in(last) if last else (0, 0)
    loading = Loading(
        recipe,
        parts["train"],
        model.views,
        parts["choose"],
        tested.views,
        workers=machine.workers,
        epoch=epoch,
        skip=skip,
    )
    best = out / BEST
    task = Task(model, tested, recipe, parts["choose"].rows, best, parts["train"].rows)
    trainer = _trainer(recipe, out, machine)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning: advice on loaders, deprecations between its parts
        trainer.fit(task, loading, ckpt_path=last, weights_only=True)
    if trainer.global_rank:  # one process of several goes on to export and judge
        raise SystemExit(0)
    tested.load_state_dict(load_file(best))
    return Fitted(
        tested.eval(), build, tuple(scenes), detector, parts["choose"], task.best_score, task.best_epoch, tuple(warned)
    )


def _vectors(facts: Sequence[Facts]) -> dict[str, torch.Tensor]:
    """(N, D) statistics of the training pictures by the name of the view; empty for a model that reads pixels alone."""
    names = [name for name in facts[0].vectors if name.endswith("statistics")]
    return {name: torch.from_numpy(np.stack([fact.vectors[name] for fact in facts])) for name in names}


def _prepare(out: Path, recipe: Recipe, machine: Machine, model: torch_nn.Module) -> None:
    """The folder of a run: its recipe is written, or checked against the one of the run that goes on."""
    out.mkdir(parents=True, exist_ok=True)
    saved = out / "recipe.json"
    if machine.resume:
        if not (out / LAST).is_file():
            raise ConfigurationError(f"{out}: nothing to resume, no {LAST}; leave --resume out to begin")
        if from_json(saved.read_text()) != from_json(to_json(recipe)):
            raise ConfigurationError(f"{out}: its checkpoint belongs to another recipe ({saved}); resume with that one")
    elif (out / LAST).is_file():
        raise ConfigurationError(f"{out}: holds a run already; --resume continues it, or name another --out")
    needed = COPIES * 4 * sum(parameter.numel() for parameter in model.parameters())
    free = shutil.disk_usage(out).free
    if free < needed:
        raise DataError(f"{out}: the run will write about {needed >> 20} MiB, {free >> 20} MiB are free")
    saved.write_text(to_json(recipe))


def _start(model: torch_nn.Module, path: Path) -> None:
    """Weights of another run of the same model; a head for other scenes or attributes keeps its fresh start."""
    if not path.is_file():
        raise ConfigurationError(f"{path}: expected the weights of another run (safetensors), found no such file")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ConfigurationError(f"{path}: expected weights as safetensors: {error}") from error
    own = model.state_dict()
    fitting = {key: value for key, value in found.items() if key in own and own[key].shape == value.shape}
    if len(fitting) < len(own) / 2:
        raise ConfigurationError(
            f"{path}: {len(fitting)} of the model's {len(own)} tensors are in it; another model's?"
        )
    model.load_state_dict(fitting, strict=False)


class EpochLines(Callback):
    """A line on stderr after each look at the choose part, where no progress bar is."""

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            figures = trainer.callback_metrics
            words = ", ".join(
                f"{name} {float(figures[name]):.3f}" for name in ("loss", "score", "srcc") if name in figures
            )
            print(f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}: {words}", file=sys.stderr, flush=True)


def _trainer(recipe: Recipe, out: Path, machine: Machine) -> lightning.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    several = machine.devices * machine.nodes > 1
    runs = str(len(list((out / "log").glob("*"))))  # a run that continues leaves the log of the first one as it is
    try:
        return lightning.Trainer(
            max_epochs=recipe.epochs,
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="ddp_find_unused_parameters_true" if several else "auto",
            sync_batchnorm=several and machine.accelerator != "cpu" and torch.cuda.is_available(),
            use_distributed_sampler=False,
            precision=recipe.precision,
            accumulate_grad_batches=recipe.accumulate,
            gradient_clip_val=recipe.clip or None,
            check_val_every_n_epoch=recipe.watch,
            num_sanity_val_steps=0,
            callbacks=[
                Checkpoints(out / LAST, machine.every),
                TQDMProgressBar() if machine.progress else EpochLines(),
            ],
            logger=[
                CSVLogger(out, name="log", version=runs, flush_logs_every_n_steps=1),
                TensorBoardLogger(out, name="log", version=runs),
            ],
            log_every_n_steps=1 if recipe.epochs < 5 else 10,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=machine.progress,
        )
    except (MisconfigurationException, ValueError, ImportError) as error:
        raise ConfigurationError(f"this machine cannot run it so: {error}") from error
