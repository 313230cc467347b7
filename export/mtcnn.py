"""Export of MTCNN's three networks: facenet-pytorch's packaged weights to ONNX.

    python -m export.mtcnn pqa/artifacts/mtcnn

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks", IEEE Signal
Processing Letters 23(10), 2016. Each graph takes `image`, float32 (N, 3, H, W) RGB, (pixel - 127.5) / 128:

| file | input | outputs, in order |
|---|---|---|
| pnet.onnx | N, H and W free, H and W at least 12 | box (N, 4, h, w), probability (N, 2, h, w) |
| rnet.onnx | (N, 3, 24, 24) | box (N, 4), probability (N, 2) |
| onet.onnx | (N, 3, 48, 48) | box (N, 4), landmarks (N, 10): five x then five y, probability (N, 2) |

Column 1 of `probability` is the face. Boxes are offsets and landmarks positions as fractions of the input window.

PReLU is written out as a relu(x) and a linear part, because ONNX Runtime's own PRelu kernel takes as long as the
convolutions around it; outputs differ from torch's by rounding only (tests hold 1e-5).
"""

from __future__ import annotations

import argparse
import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import nn

__all__ = ["NETWORKS", "export_network", "main"]

OPSET = 17


@dataclass(frozen=True, slots=True)
class Network:
    """One exported network: its class, the input side that traces it, and its outputs."""

    kind: type[nn.Module]
    side: int
    outputs: tuple[str, ...]
    free_size: bool = False


NETWORKS: dict[str, Network] = {
    "pnet": Network(PNet, 33, ("box", "probability"), free_size=True),
    "rnet": Network(RNet, 24, ("box", "probability")),
    "onet": Network(ONet, 48, ("box", "landmarks", "probability")),
}


class SplitPReLU(nn.Module):
    """PReLU with slopes w (C,) over axis 1 of (N, C, ...): x w + relu(x) (1 - w)."""

    def __init__(self, source: nn.PReLU) -> None:
        super().__init__()
        self.slopes = source.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slopes = self.slopes.view(-1, *[1] * (x.dim() - 2))
        return x * slopes + torch.relu(x) * (1 - slopes)


def load_network(name: str) -> nn.Module:
    """One network with its weights, in evaluation mode, every PReLU split."""
    network = NETWORKS[name].kind().eval()
    for key, child in list(network.named_children()):
        if isinstance(child, nn.PReLU):
            setattr(network, key, SplitPReLU(child))
    return network


def export_network(name: str) -> bytes:
    """The ONNX file of one row of `NETWORKS`."""
    row = NETWORKS[name]
    axes = {"image": {0: "n", 2: "height", 3: "width"} if row.free_size else {0: "n"}}
    axes |= {output: {0: "n", 2: "rows", 3: "columns"} if row.free_size else {0: "n"} for output in row.outputs}
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter announces its age; these three graphs have no branch that tracing could miss.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            load_network(name),
            (torch.zeros(2, 3, row.side, row.side),),
            file,
            input_names=["image"],
            output_names=list(row.outputs),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write pnet.onnx, rnet.onnx and onet.onnx into FOLDER.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        data = export_network(name)
        (folder / f"{name}.onnx").write_bytes(data)
        print(f"{name}.onnx {len(data)} bytes")


if __name__ == "__main__":
    main()
