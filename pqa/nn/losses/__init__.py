"""Losses: one pure function a paper."""

from pqa.nn.losses.fidelity import fidelity
from pqa.nn.losses.plcc import plcc

__all__ = ["fidelity", "plcc"]
