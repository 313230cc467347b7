"""`fhiqa`: FULL-HyperIQA, which rescales its score by each likely scene and averages.

Chahine et al., "Generalized Portrait Quality Assessment" (2024): Q = sum p_i (a_i q + b_i) / sum p_i over the k most
probable scenes i, with (a_i, b_i) the rescaler's answer to scene i alone. Same network as `sem_hyperiqa`: 145,266,841
parameters with 50 scenes. Public code in DXOMARK-Research/PIQ2023 since 2024-02. Own code throughout.

Licence: Apache-2.0; the trunk's ImageNet weights are BSD-3-Clause.

Differences from the paper: the paper does not state k, all scenes are taken by default (`top` = 0); test crops and
first values as in `sem_hyperiqa`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pqa.errors import ConfigurationError
from pqa.nn.models.sem_hyperiqa import TINY_SCENES, SceneConfig, SceneHyperIqa

__all__ = ["SIZES", "Fhiqa", "FhiqaConfig"]


@dataclass(frozen=True)
class FhiqaConfig(SceneConfig):
    """`top`: how many of the most probable scenes share in the score (k); 0: all."""

    top: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.top <= len(self.scenes):
            raise ConfigurationError(f"top must be 0 to {len(self.scenes)} (the number of scenes), got {self.top}")


SIZES: dict[str, FhiqaConfig] = {"full": FhiqaConfig(), "tiny": FhiqaConfig(**TINY_SCENES)}


class Fhiqa(SceneHyperIqa):
    """See the module."""

    config: FhiqaConfig

    def combine(
        self,
        quality: Float[Tensor, "n a"],
        probabilities: Float[Tensor, "n s"],
        by_scene: Float[Tensor, "n s a"],
    ) -> Float[Tensor, "n a"]:
        if self.config.top == 0:
            return (probabilities[..., None] * by_scene).sum(dim=1)
        values, scenes = probabilities.topk(self.config.top, dim=1)
        chosen = by_scene.gather(1, scenes[..., None].expand(-1, -1, by_scene.shape[2]))
        return (values[..., None] * chosen).sum(dim=1) / values.sum(dim=1, keepdim=True)
