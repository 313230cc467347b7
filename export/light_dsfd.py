"""Export of SAR's face detector: the tensors of light DSFD's public weight file to one ONNX file.

    python -m export.light_dsfd dsfdv2_r18.safetensors light_dsfd.onnx

The public file is a pickle, which is never read here; docs/models.md turns its tensors into safetensors.

The graph takes `image`, float32 (N, 3, H, W) BGR in [0, 255] less (104, 117, 123), any N, H and W, and gives `offset`
(N, P, 4) and `probability` (N, P) for P anchors. `pqa.runtime.dsfd` reads it from the folder of PQA_WEIGHTS_DIR.
"""

from __future__ import annotations

import argparse
import io
import warnings
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pqa.errors import ModelError
from pqa.nn.models.light_dsfd import LightDsfd, load_public

__all__ = ["export_network", "main", "read"]

OPSET = 17


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a safetensors file. Raises ModelError for any other."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: expected a safetensors file ({error}); docs/models.md says how a pickle's tensors become one"
        ) from error


def export_network(model: LightDsfd) -> bytes:
    """The ONNX file of `model`."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The tracing exporter announces its age; it is the one that leaves height and width free through the resizing.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            (torch.zeros(2, 3, 200, 264),),
            file,
            input_names=["image"],
            output_names=list(model.outputs),
            dynamic_axes={
                "image": {0: "n", 2: "height", 3: "width"},
                **{name: {0: "n", 1: "anchors"} for name in model.outputs},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return file.getvalue()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write light DSFD's WEIGHTS, a safetensors file, as ONNX to FILE.")
    parser.add_argument("weights", type=Path)
    parser.add_argument("file", type=Path)
    args = parser.parse_args(arguments)
    model = LightDsfd()
    load_public(model, read(args.weights))
    data = export_network(model)
    args.file.parent.mkdir(parents=True, exist_ok=True)
    args.file.write_bytes(data)
    print(f"{args.file} {len(data)} bytes")


if __name__ == "__main__":
    main()
