"""Fit `scene_gate` on a cache: train, watch the choose part, calibrate there, export."""

from __future__ import annotations

import dataclasses
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from scipy.stats import spearmanr
from torch.utils.data import DataLoader

from export import checkpoint
from export.onnx import export
from pqa import __version__, nn
from pqa.pixels import statistics
from pqa.spec import ModelSpec, ViewSpec
from training.calibrate import calibrate, within
from training.default.cache import Cache
from training.default.codebooks import learn
from training.default.conditions import conditions
from training.default.data import SOUND, PlainDataset, VersionDataset
from training.default.examples import FAULT_TREES, LEAVES, TREES, examples, fault_trees, grown, priors, tensors
from training.default.module import SceneGateTask
from training.default.recipe import SceneGateRecipe

__all__ = ["Origin", "build_model", "fit", "predict"]

PROOF_PICTURES = 32
WORDS = 100
LAB = [statistics.NAMES.index(f"colour.2.{channel}") for channel in "lab"]


def build_model(recipe: SceneGateRecipe, anchors: int = 0) -> torch.nn.Module:
    """The untrained model of a recipe, with room for so many rated examples."""
    torch.manual_seed(recipe.seed)
    sizes = {"anchors": anchors, "trees": TREES, "leaves": LEAVES, "words": WORDS, "fault_trees": FAULT_TREES}
    return nn.build(recipe.model, recipe.size, statistics=len(statistics.NAMES), **(sizes if anchors else {}))


def predict(model: torch.nn.Module, cache: Cache, rows: list[int]) -> dict[str, npt.NDArray[np.float32]]:
    """Every output of `model` over rows of the cache, by name: (len(rows), ...) float32."""
    loader = DataLoader(PlainDataset(cache, model.views, rows), batch_size=64)
    model.eval()
    with torch.no_grad():
        batches = [[output.numpy() for output in model(*views)] for views, _ in loader]
    return {name: np.concatenate([batch[i] for batch in batches]) for i, name in enumerate(model.outputs)}


class Watch(Callback):
    """After each epoch: figures of the averaged model, with the prior, on the portraits of the choose part."""

    def __init__(self, cache: Cache, dataset: VersionDataset, prior: npt.NDArray[np.float32]) -> None:
        self._cache, self._dataset, self._prior = cache, dataset, prior
        self._rows = [row for row, s in enumerate(cache.samples) if s.part == "choose" and s.portrait]
        self.history: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self._dataset.epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        score = predict(task.average, self._cache, self._rows)["score"][:, 0]
        score = (score + self._prior[self._rows]) / 2.0
        figures = choose_figures(self._cache, self._rows, score)
        task.log_dict(figures)
        self.history.append({"epoch": trainer.current_epoch, **figures})
        print(" ".join(f"{name} {value:.3f}" for name, value in self.history[-1].items()), flush=True)


def choose_figures(cache: Cache, rows: list[int], score: npt.NDArray[np.float32]) -> dict[str, float]:
    """On portraits: SRCC of untouched ones, in all and by subset; how often a faulted version scores below its original, and
    the stronger of two neighbouring strengths below the weaker; how far sound versions move, on average and as a deviation.
    """
    samples = [cache.samples[row] for row in rows]
    at = dict(zip(rows, score, strict=True))
    clean = np.array([row == sample.base for row, sample in zip(rows, samples, strict=True)])
    mos, subset = np.array([sample.mos for sample in samples]), np.array([sample.subset for sample in samples])
    figures = {"portraits": float(spearmanr(score[clean], mos[clean])[0])}
    for name in sorted(set(subset)):
        chosen = clean & (subset == name)
        if chosen.sum() > 2:
            figures[f"portraits_{name}"] = float(spearmanr(score[chosen], mos[chosen])[0])
    pairs = list(zip(rows, samples, strict=True))
    faulted = [at[row] < at[s.base] for row, s in pairs if min(s.keep) < 0.9]
    rungs = [
        at[row + 1] < at[row]
        for row, s in pairs
        if row + 1 in at and s.ladder >= 0 and cache.samples[row + 1].ladder == s.ladder
    ]
    sound = [at[row] - at[s.base] for row, s in pairs if s.version in SOUND]
    return figures | {
        "faults_below": float(np.mean(faulted)),
        "rungs_below": float(np.mean(rungs)),
        "sound_moves": float(np.mean(sound)),
        "sound_spread": float(np.std(sound)),
    }


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the model file will say of where it comes from: data sets, terms of the weights, hashes."""

    data: tuple[str, ...]
    licence: str
    provenance: dict[str, str]


def fitted(recipe: SceneGateRecipe, cache: Cache) -> tuple[torch.nn.Module, npt.NDArray[np.float32]]:
    """A model whose branches alone are untrained, and what the rest says (N,) of every row (`training.default.examples`)."""
    known = examples(cache)
    model = build_model(recipe, len(known))
    pictures = model.views[:2]
    learn(model.codebook, cache, pictures, recipe.seed)
    prior = priors(cache, known, model.codebook, pictures, recipe.seed)
    kept = tensors(cache, known)
    model.remember(*kept, grown(*kept, recipe.seed))
    model.faults.fill(fault_trees(cache, recipe.seed))
    return model, prior


def fit(recipe: SceneGateRecipe, cache: Cache, out: Path, origin: Origin) -> Path:
    """Train on the train part and leave in `out`: recipe.json, metrics.json, a safetensors checkpoint and the ONNX file."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(recipe.seed, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2))
    train = np.array([sample.part == "train" for sample in cache.samples])
    base = np.array([sample.base for sample in cache.samples])
    untouched = train & (base == np.arange(len(base)))
    scenes = conditions(np.asarray(cache.views["statistics"])[:, LAB], untouched, recipe.seed)
    whole, prior = fitted(recipe, cache)
    # The branches are trained without the rest, which does not change any more and would take most of the time.
    model = build_model(recipe)
    model.standardise(
        {name: torch.from_numpy(np.asarray(cache.views[name])[train]) for name in ("statistics", "face_statistics")}
    )
    dataset = VersionDataset(
        cache, model.views, "train", scenes=scenes, prior=prior, count=recipe.versions, seed=recipe.seed
    )
    shuffle = torch.Generator().manual_seed(recipe.seed)
    loader = DataLoader(dataset, batch_size=recipe.batch, shuffle=True, drop_last=True, generator=shuffle)
    task = SceneGateTask(
        model, recipe.objective, rate=recipe.rate, decay=recipe.decay, steps=recipe.epochs * len(loader)
    )
    watch = Watch(cache, dataset, prior)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning: advice on loaders, deprecations between its parts
        trainer = lightning.Trainer(
            max_epochs=recipe.epochs,
            precision=recipe.precision,
            accelerator="cpu",
            gradient_clip_val=1.0,
            callbacks=[watch],
            logger=CSVLogger(out, name="log", version=""),
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
        )
        trainer.fit(task, loader)
    whole.load_state_dict(whole.state_dict() | task.average.state_dict())
    return finish(recipe, whole, cache, out, origin, watch.history)


def finish(
    recipe: SceneGateRecipe,
    model: torch.nn.Module,
    cache: Cache,
    out: Path,
    origin: Origin,
    history: list[dict[str, float]],
) -> Path:
    """Calibrate on the choose part, save the checkpoint and export."""
    rows = [row for row, sample in enumerate(cache.samples) if sample.part == "choose" and row == sample.base]
    outputs = predict(model, cache, rows)
    samples = [cache.samples[row] for row in rows]
    group, mos = np.array([sample.group for sample in samples]), np.array([sample.mos for sample in samples])
    portrait = np.array([sample.portrait for sample in samples])
    score, std = outputs["score"][:, 0], outputs["std"][:, 0]
    calibration = calibrate(score[portrait], std[portrait], mos[portrait])
    if len(np.unique(group)) < len(group):
        # Near-duplicates are what comes closest to shots of one scene; most of them are no portraits.
        calibration = within(calibration, score, std, mos, group)
    # What one in a hundred portraits of the choose part exceeds is called unlike the pictures that were learned from.
    unlike = float(np.quantile(outputs["distance"][portrait], 0.99))
    spec = ModelSpec(
        name=recipe.model,
        version=__version__,
        architecture=f"{recipe.model} ({recipe.size})",
        views=model.views,
        attributes=model.config.attributes,
        trained=True,
        scenes=model.config.scenes,
        branches=model.branch_names,
        unlike_above=unlike,
        licence=origin.licence,
        data=origin.data,
        provenance=origin.provenance,
        description="Overall follows human ratings; detail and exposure were taught by simulated camera faults only.",
        calibration=calibration,
    )
    path = out / f"{recipe.model}.onnx"

    def keep(spec: ModelSpec) -> None:
        weights = out / f"{recipe.model}.safetensors"
        sized = ("statistics", "anchors", "trees", "leaves", "words", "fault_trees")
        changes = {name: getattr(model.config, name) for name in sized}
        checkpoint.save(model, weights, name=recipe.model, size=recipe.size, changes=changes, spec=spec)

    keep(spec)  # before the proof: a graph that fails it must not cost the training
    proof = [row for row, shown in zip(rows, portrait, strict=True) if shown][:PROOF_PICTURES]
    spec = export(model, spec, _proof(cache, model.views, proof), path)
    keep(spec)
    metrics: dict[str, Any] = {"choose": history, "calibration": dataclasses.asdict(calibration)}
    if spec.parity is not None:
        metrics["parity"] = dataclasses.asdict(spec.parity)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))
    return path


def _proof(cache: Cache, views: tuple[ViewSpec, ...], rows: list[int]) -> list[npt.NDArray[np.float32]]:
    dataset = PlainDataset(cache, views, rows)
    pictures = [dataset[index][0] for index in range(len(rows))]
    return [torch.stack([picture[i] for picture in pictures]).numpy() for i in range(len(views))]
