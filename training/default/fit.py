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
from pqa import __version__, nn, nss
from pqa.spec import ModelSpec, ViewSpec
from training.calibrate import calibrate
from training.default.cache import Cache
from training.default.conditions import conditions
from training.default.data import PairDataset, PlainDataset
from training.default.module import SceneGateTask
from training.default.recipe import SceneGateRecipe

__all__ = ["Origin", "build_model", "fit", "predict"]

PROOF_PICTURES = 32
LAB = [nss.NAMES.index(f"colour.2.{channel}") for channel in "lab"]


def build_model(recipe: SceneGateRecipe) -> torch.nn.Module:
    """The untrained model of a recipe."""
    torch.manual_seed(recipe.seed)
    return nn.build(recipe.model, recipe.size, statistics=len(nss.NAMES))


def predict(model: torch.nn.Module, cache: Cache, rows: list[int]) -> dict[str, npt.NDArray[np.float32]]:
    """Every output of `model` over rows of the cache, by name: (len(rows), ...) float32."""
    loader = DataLoader(PlainDataset(cache, model.views, rows), batch_size=64)
    model.eval()
    with torch.no_grad():
        batches = [[output.numpy() for output in model(*views)] for views, _ in loader]
    return {name: np.concatenate([batch[i] for batch in batches]) for i, name in enumerate(model.outputs)}


class Watch(Callback):
    """After each epoch: SRCC of the averaged model on the choose part, on its portraits and on faulted versions."""

    def __init__(self, cache: Cache, pairs: PairDataset) -> None:
        self._cache, self._pairs = cache, pairs
        self._rows = [row for row, sample in enumerate(cache.samples) if sample.part == "choose"]
        self.history: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, task: lightning.LightningModule) -> None:
        self._pairs.epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Any) -> None:
        score = predict(task.average, self._cache, self._rows)["score"][:, 0]
        figures = choose_figures(self._cache, self._rows, score)
        task.log_dict(figures)
        self.history.append({"epoch": trainer.current_epoch, **figures})
        print(" ".join(f"{name} {value:.3f}" for name, value in self.history[-1].items()), flush=True)


def choose_figures(cache: Cache, rows: list[int], score: npt.NDArray[np.float32]) -> dict[str, float]:
    """SRCC on untouched pictures and portraits, and the share of faulted versions that score below their original."""
    samples = [cache.samples[row] for row in rows]
    place = {row: i for i, row in enumerate(rows)}
    mos = np.array([sample.mos for sample in samples])
    clean = np.array([row == sample.base for row, sample in zip(rows, samples, strict=True)])
    portrait = clean & np.array([sample.portrait for sample in samples])
    figures = {"all": float(spearmanr(score[clean], mos[clean])[0])}
    figures["portraits"] = float(spearmanr(score[portrait], mos[portrait])[0])
    for subset in sorted({sample.subset for sample in samples}):
        chosen = portrait & np.array([sample.subset == subset for sample in samples])
        if chosen.sum() > 2:
            figures[f"portraits_{subset}"] = float(spearmanr(score[chosen], mos[chosen])[0])
    faulted = [i for i, sample in enumerate(samples) if sample.fault and sample.strength > 0.3]
    below = [score[i] < score[place[samples[i].base]] for i in faulted]
    figures["faults_below"] = float(np.mean(below))
    return figures


@dataclasses.dataclass(frozen=True)
class Origin:
    """What the model file will say of where it comes from: data sets, terms of the weights, hashes."""

    data: tuple[str, ...]
    licence: str
    provenance: dict[str, str]


def fit(recipe: SceneGateRecipe, cache: Cache, out: Path, origin: Origin) -> Path:
    """Train on the train part and leave in `out`: recipe.json, metrics.json, a safetensors checkpoint and the ONNX file."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    lightning.seed_everything(recipe.seed, verbose=False)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=2))
    train = [row for row, sample in enumerate(cache.samples) if sample.part == "train" and row == sample.base]
    fitted = np.zeros(len(cache.samples), bool)
    fitted[train] = True
    scenes = conditions(np.asarray(cache.views["statistics"])[:, LAB], fitted, recipe.seed)

    model = build_model(recipe)
    model.standardise(
        {name: torch.from_numpy(np.asarray(cache.views[name])[train]) for name in ("statistics", "face_statistics")}
    )
    pairs = PairDataset(cache, model.views, "train", scenes.tolist(), recipe.seed)
    shuffle = torch.Generator().manual_seed(recipe.seed)
    loader = DataLoader(pairs, batch_size=recipe.batch, shuffle=True, drop_last=True, generator=shuffle)
    task = SceneGateTask(
        model, recipe.objective, rate=recipe.rate, decay=recipe.decay, steps=recipe.epochs * len(loader)
    )
    watch = Watch(cache, pairs)
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
    return finish(recipe, task.average, cache, out, origin, watch.history)


def finish(
    recipe: SceneGateRecipe,
    model: torch.nn.Module,
    cache: Cache,
    out: Path,
    origin: Origin,
    history: list[dict[str, float]],
) -> Path:
    """Calibrate on the choose part, save the checkpoint and export."""
    choose = [row for row, s in enumerate(cache.samples) if s.part == "choose" and row == s.base and s.portrait]
    outputs = predict(model, cache, choose)
    mos = np.array([cache.samples[row].mos for row in choose])
    calibration = calibrate(outputs["score"][:, 0], outputs["std"][:, 0], mos)
    spec = ModelSpec(
        name=recipe.model,
        version=__version__,
        architecture=f"{recipe.model} ({recipe.size})",
        views=model.views,
        attributes=model.config.attributes,
        trained=True,
        scenes=model.config.scenes,
        branches=model.branch_names,
        licence=origin.licence,
        data=origin.data,
        provenance=origin.provenance,
        description="Overall follows human ratings; detail and exposure were taught by simulated camera faults only.",
        calibration=calibration,
    )
    path = out / f"{recipe.model}.onnx"
    spec = export(model, spec, _proof(cache, model.views, choose[:PROOF_PICTURES]), path)
    checkpoint.save(
        model,
        out / f"{recipe.model}.safetensors",
        name=recipe.model,
        size=recipe.size,
        changes={"statistics": len(nss.NAMES)},
        spec=spec,
    )
    metrics: dict[str, Any] = {"choose": history, "calibration": dataclasses.asdict(calibration)}
    if spec.parity is not None:
        metrics["parity"] = dataclasses.asdict(spec.parity)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2))
    return path


def _proof(cache: Cache, views: tuple[ViewSpec, ...], rows: list[int]) -> list[npt.NDArray[np.float32]]:
    dataset = PlainDataset(cache, views, rows)
    pictures = [dataset[index][0] for index in range(len(rows))]
    return [torch.stack([picture[i] for picture in pictures]).numpy() for i in range(len(views))]
