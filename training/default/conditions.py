"""Scene labels without anybody's naming: light conditions clustered from the training pictures' colour statistics."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2, whiten

__all__ = ["CONDITIONS", "conditions"]

CONDITIONS = ("bright", "neutral", "warm", "dark")


def conditions(lab: npt.NDArray[np.floating], fit: npt.NDArray[np.bool_], seed: int) -> npt.NDArray[np.int64]:
    """A condition (index into CONDITIONS) for every row of `lab` (N, 3): mean L*, a*, b* of a picture.

    Four k-means clusters of the rows in `fit`; then the darkest is `dark`, of the rest the yellowest is `warm`, and of the
    last two the lighter is `bright`. Other rows go to the nearest centre.
    """
    scale = lab[fit].std(axis=0)
    centres, _ = kmeans2(whiten(lab[fit]), 4, seed=np.random.default_rng(seed), minit="++")
    rest = list(range(4))
    named: dict[str, int] = {}
    for name, axis, sign in (("dark", 0, -1.0), ("warm", 2, 1.0), ("bright", 0, 1.0)):
        named[name] = max(rest, key=lambda cluster: sign * centres[cluster, axis])
        rest.remove(named[name])
    named["neutral"] = rest[0]
    order = np.array([named[name] for name in CONDITIONS])
    distance = ((lab / scale)[:, None] - centres[order][None]) ** 2
    return np.asarray(distance.sum(axis=2).argmin(axis=1))
