"""One file a model; `MODELS` is the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from pqa.nn.models import bdvqa, fhiqa, hyperiqa, liqe, monet, pqe, rq_net, sar, scene_gate, sem_hyperiqa

__all__ = ["MODELS", "ModelRow"]


@dataclass(frozen=True)
class ModelRow:
    """`sizes` maps a size's name to the configuration that `build` is given; `detector` finds its faces, by name."""

    build: type[nn.Module]
    sizes: dict[str, Any]
    paper: str
    detector: str = "mtcnn"


MODELS: dict[str, ModelRow] = {
    "fhiqa": ModelRow(fhiqa.Fhiqa, dict(fhiqa.SIZES), "Chahine et al. 2024 (FULL-HyperIQA)"),
    "hyperiqa": ModelRow(hyperiqa.HyperIqa, dict(hyperiqa.SIZES), "Su et al., CVPR 2020"),
    "sem_hyperiqa": ModelRow(sem_hyperiqa.SemHyperIqa, dict(sem_hyperiqa.SIZES), "Chahine et al., CVPR 2023 (PIQ23)"),
    "rq_net": ModelRow(rq_net.RqNet, dict(rq_net.SIZES), "RQ-Net, NTIRE 2024 portrait quality challenge survey"),
    "sar": ModelRow(
        sar.Sar, dict(sar.SIZES), "SAR, NTIRE 2024 portrait quality challenge survey", detector="light_dsfd"
    ),
    "scene_gate": ModelRow(scene_gate.SceneGate, dict(scene_gate.SIZES), "this project"),
    "bdvqa": ModelRow(bdvqa.BDVQA, dict(bdvqa.SIZES), "NTIRE 2024 portrait quality challenge survey"),
    "monet": ModelRow(monet.MoNet, dict(monet.SIZES), "Chen et al. 2024 (GMC-IQA)"),
    "liqe": ModelRow(liqe.Liqe, dict(liqe.SIZES), "Zhang et al., CVPR 2023"),
    "pqe": ModelRow(pqe.PQE, dict(pqe.SIZES), "Sun et al. 2024 (Dual-Branch Network)"),
}
