"""Losses: one pure function a paper; `LOSSES` is the registry and `loss_of` applies a row of it to a batch."""

from pqa.nn.losses.bradley_terry import bradley_terry, elo
from pqa.nn.losses.combination import combination
from pqa.nn.losses.fidelity import fidelity, fidelity_all, fidelity_pairs, pair_probability
from pqa.nn.losses.fidelity_labels import fidelity_class, fidelity_several
from pqa.nn.losses.krcc import krcc
from pqa.nn.losses.merged_ranking import merged_ranking
from pqa.nn.losses.plcc import mse_plcc, plcc
from pqa.nn.losses.ranker import ranker
from pqa.nn.losses.regression import huber, l1, mse
from pqa.nn.losses.relative_distance import relative_distance
from pqa.nn.losses.scale_shift_invariant import scale_shift_invariant
from pqa.nn.losses.srcc import soft_ranks, srcc
from pqa.nn.losses.table import LOSSES, LossRow, check_loss, enough, loss_of

__all__ = [
    "LOSSES",
    "LossRow",
    "bradley_terry",
    "check_loss",
    "combination",
    "elo",
    "enough",
    "fidelity",
    "fidelity_all",
    "fidelity_class",
    "fidelity_pairs",
    "fidelity_several",
    "huber",
    "krcc",
    "l1",
    "loss_of",
    "merged_ranking",
    "mse",
    "mse_plcc",
    "pair_probability",
    "plcc",
    "ranker",
    "relative_distance",
    "scale_shift_invariant",
    "soft_ranks",
    "srcc",
]
