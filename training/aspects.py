"""What rows say of a picture beside its rating, as targets: the words for its content and for its main fault."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pqa.data.rated import Rated
from pqa.errors import unknown_key
from pqa.nn.losses import fidelity_class, fidelity_several
from pqa.types import Warn
from training.recipe import Recipe

__all__ = ["Aspects", "untold"]


class Aspects(nn.Module):
    """Losses of the words of `rows`, where the recipe asks for them.

    With `scene_by` content the posterior of the model's scenes is held against each row's content, several words of which
    may be true; with `distortion_weight` that of its distortions against the row's one. Rows that say nothing take no part.
    Raises ConfigurationError for a word that the model does not know.
    """

    content: Tensor
    distortion: Tensor

    def __init__(self, model: nn.Module, recipe: Recipe, rows: Sequence[Rated]) -> None:
        super().__init__()
        self._content_weight = recipe.scene_weight if recipe.scene_by == "content" else 0.0
        self._distortion_weight = recipe.distortion_weight
        words: tuple[str, ...] = tuple(model.config.scenes) if self._content_weight else ()
        faults: tuple[str, ...] = tuple(model.distortions) if self._distortion_weight else ()
        content = torch.zeros(len(rows), len(words))
        distortion = torch.full((len(rows),), -1)
        for number, row in enumerate(rows):
            for word in row.content if words else ():
                content[number, _place(word, words, "content")] = 1.0
            if faults and row.distortion:
                distortion[number] = _place(row.distortion, faults, "distortion")
        # Not part of a checkpoint: the rows are read again.
        self.register_buffer("content", content, persistent=False)
        self.register_buffer("distortion", distortion, persistent=False)

    def forward(self, outputs: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
        """Losses by name, of a batch's `outputs` and its (N,) row numbers."""
        losses = {}
        content, distortion = self.content[rows], self.distortion[rows]
        told = content.any(dim=1)
        if self._content_weight and bool(told.any()):
            loss = fidelity_several(outputs["scene_probabilities"][told], content[told])
            losses["scene"] = self._content_weight * loss
        told = distortion >= 0
        if self._distortion_weight and bool(told.any()):
            loss = fidelity_class(outputs["distortion_probabilities"][told], distortion[told])
            losses["distortion"] = self._distortion_weight * loss
        return losses


def _place(word: str, words: tuple[str, ...], what: str) -> int:
    if word not in words:
        raise unknown_key(word, words, f"word for {what}")
    return words.index(word)


def untold(recipe: Recipe, rows: Sequence[Rated]) -> list[Warn]:
    """A warning for each aspect that the recipe asks for and no row says a word of."""
    asked = {
        "content": recipe.scene_by == "content" and recipe.scene_weight > 0,
        "distortion": recipe.distortion_weight > 0,
    }
    return [
        Warn(f"no_{name}", f"no picture of these data says its {name}: {recipe.model} learns without it")
        for name, wanted in asked.items()
        if wanted and not any(getattr(row, name) for row in rows)
    ]
