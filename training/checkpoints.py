"""The trainer's own checkpoint, from which a run goes on bit for bit, and the end that a signal asks for."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from types import FrameType
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from pqa.errors import ConfigurationError, PqaError

__all__ = ["LAST", "Checkpoints", "Place", "Stopped", "place_in", "stoppable"]

LAST = "last.ckpt"
Place = tuple[int, int]
"""Where a run goes on: epoch, and batches of it that lie behind."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopped(PqaError):
    """A run ended by a signal; `rank` is the process that says so."""

    def __init__(self, message: str, rank: int = 0) -> None:
        super().__init__(message)
        self.rank = rank


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it SIGTERM raises Stopped, so that pools of processes are left in order. In the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped("stopped; nothing was being trained")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def place_in(checkpoint: Path) -> Place:
    """Where the run of a checkpoint goes on. Raises ConfigurationError for a file that is none, or is cut short."""
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        epoch, batches = state["place"]
    except (RuntimeError, UnpicklingError, EOFError, KeyError, ValueError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"{checkpoint}: no checkpoint of pqa train, or cut short; remove it and begin again"
        ) from error
    return int(epoch), int(batches)


class Checkpoints(Callback):
    """Writes `path` every `every` steps and after each epoch: whole or not at all. SIGTERM or an interrupt from the keyboard
    ends the run with Stopped: behind the step under way, which is saved, or in the middle of a look at the choose part
    (several processes: behind it). A second signal ends it at once.

    Accumulated gradients are not saved, so a checkpoint is written behind a step of the optimiser only.
    """

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every
        self._place: Place = (0, 0)
        self._asked = False

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        # Lightning, which has just set its own handlers, puts back those of before when its trainer ends.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["place"] = self._place

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = batch_idx + 1
        if trainer.is_last_batch or done % trainer.accumulate_grad_batches:
            return
        stop = trainer.strategy.reduce_boolean_decision(self._asked, all=False)
        if stop or trainer.global_step % self._every == 0:
            self._save(trainer, (trainer.current_epoch, done))
        if stop:
            raise self._stopped(trainer)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._asked and trainer.world_size == 1:
            raise self._stopped(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._save(trainer, (trainer.current_epoch + 1, 0))
        if trainer.strategy.reduce_boolean_decision(self._asked, all=False):
            raise self._stopped(trainer)

    def _save(self, trainer: lightning.Trainer, place: Place) -> None:
        self._place = place
        part = self._path.with_name(f"{self._path.name}.part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self._path)

    def _stopped(self, trainer: lightning.Trainer) -> Stopped:
        epoch, batches = self._place
        saved = (
            f"saved after {batches} batches of epoch {epoch + 1}" if epoch or batches else "before the first checkpoint"
        )
        return Stopped(f"stopped, {saved}; continue with --resume", trainer.global_rank)
