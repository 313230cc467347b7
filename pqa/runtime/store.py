"""The model store: every `.onnx` that can be named, listed with its spec or with what is wrong with it."""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pqa.errors import ConfigurationError, ModelError, ModelNotFound, PqaError, UntrainedModel, unknown_key
from pqa.faces.detectors import DETECTORS
from pqa.pixels.views import view_row
from pqa.runtime.joint import SetHead, open_set_head
from pqa.session import open_session
from pqa.spec import SPEC_KEY, ModelSpec, ViewSpec
from pqa.types import ModelInfo, Scale

__all__ = ["DEFAULT_MODEL", "SHIPPED", "Entry", "Model", "ModelStore", "load_model"]

SHIPPED = Path(__file__).parent.parent / "artifacts"
DEFAULT_MODEL = "scene_gate"


@dataclass(frozen=True, slots=True)
class Model:
    """An opened model file. `set_head` is there where the spec's `sets` says so."""

    spec: ModelSpec
    info: ModelInfo
    session: Any
    set_head: SetHead | None
    path: Path
    provider: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the store: an opened model, or the path and what is wrong with it."""

    path: Path
    model: Model | None
    error: str | None

    @property
    def card(self) -> Path | None:
        """The card that lies beside the file under the same name, if any."""
        card = self.path.with_suffix(".md")
        return card if card.is_file() else None


def load_model(path: Path, *, provider: str = "cpu", threads: int = 1) -> Model:
    """Open one model file. Raises ModelError for a file that is damaged, foreign or carries no valid spec."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelNotFound(f"{path}: cannot be read ({error.strerror})") from error
    try:
        session = open_session(data, provider=provider, threads=threads)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    metadata = session.get_modelmeta().custom_metadata_map
    if SPEC_KEY not in metadata:
        raise ModelError(
            f"{path}: an ONNX file without a pqa spec (metadata key {SPEC_KEY!r}); export it with: pqa export"
        )
    try:
        spec = ModelSpec.from_json(metadata[SPEC_KEY])
    except ConfigurationError as error:
        raise ModelError(f"{path}: {error}") from error
    _check_graph(spec, session, path)
    set_head = None
    if spec.sets:
        (width,) = (node.shape[1] for node in session.get_outputs() if node.name == "embedding")
        try:
            set_head = open_set_head(
                metadata, embedding=width, attributes=len(spec.attributes), provider=provider, threads=threads
            )
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from error
    info = ModelInfo(
        name=spec.name,
        version=spec.version,
        sha256=hashlib.sha256(data).hexdigest(),
        trained=spec.trained,
        scale=Scale(spec.range[0], spec.range[1], spec.comparable_across_scenes),
    )
    return Model(spec, info, session, set_head, path, session.get_providers()[0], len(data))


def _check_graph(spec: ModelSpec, session: Any, path: Path) -> None:
    """The graph must take the spec's views and give `score`, all in the shapes that the spec promises."""
    for view in spec.views:
        try:
            vector = view_row(view).vector
        except ConfigurationError as error:
            raise ModelError(f"{path}: {error}") from error
        if len(view.size) != (1 if vector else 2) or (not vector and not len(view.mean) == len(view.std) == 3):
            raise ModelError(f"{path}: view {view.name!r} has size {view.size}, mean {view.mean} and std {view.std}")
        if view.short_side < 0:
            raise ModelError(f"{path}: view {view.name!r} has a negative short_side, {view.short_side}")
    if spec.detector not in DETECTORS:
        raise ModelError(f"{path}: {unknown_key(spec.detector, DETECTORS, 'detector')}")
    if not (min(spec.calibration.std_scale, spec.calibration.win_slope, spec.calibration.scene_slope) > 0):
        raise ModelError(f"{path}: expected positive constants of calibration, got {spec.calibration}")
    inputs = {view.name: _input_shape(view) for view in spec.views}
    _compare(path, "takes", inputs, {node.name: tuple(node.shape[1:]) for node in session.get_inputs()})
    attributes, scenes = len(spec.attributes), len(spec.scenes)
    known = {
        "score": (attributes,),
        "std": (attributes,),
        "scene_probabilities": (scenes,),
        "score_by_scene": (scenes, attributes),
        "branches": (len(spec.branches),),
        "gate": (),
    }
    outputs = {node.name: tuple(node.shape[1:]) for node in session.get_outputs()}
    if "score" not in outputs:
        raise ModelError(f"{path}: expected an output named 'score', got {sorted(outputs)}")
    if spec.sets and not (len(embedding := outputs.get("embedding", ())) == 1 and isinstance(embedding[0], int)):
        raise ModelError(
            f"{path}: its spec promises joint scores, its graph gives no 'embedding' (N, E), got {outputs}"
        )
    _compare(path, "gives", {name: known.get(name, shape) for name, shape in outputs.items()}, outputs)


def _input_shape(view: ViewSpec) -> tuple[int, ...]:
    if len(view.size) == 1:
        return view.size
    return (3, *view.size) if view.crops == 1 else (view.crops, 3, *view.size)


def _compare(
    path: Path, verb: str, wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[Any, ...]]
) -> None:
    """Names must agree, and shapes behind the batch axis where the graph states them in numbers."""
    if wanted.keys() != found.keys():
        raise ModelError(f"{path}: its spec names {sorted(wanted)}, its graph {verb} {sorted(found)}")
    for name, shape in wanted.items():
        stated = found[name]
        same = len(stated) == len(shape) and all(
            not isinstance(edge, int) or edge == want for edge, want in zip(stated, shape, strict=True)
        )
        if not same:
            raise ModelError(
                f"{path}: by its spec {name!r} has the shape {shape} behind the batch, its graph {verb} {stated}"
            )


class ModelStore:
    """Named models: the shipped ones, then every `.onnx` of `folders` (a later folder wins a name).

    `default` names the shipped default model. One bad file never hides the others: it stays listed with its error.
    """

    def __init__(self, folders: Sequence[Path] | None = None, *, provider: str = "cpu", threads: int = 1) -> None:
        if folders is None:
            extra = os.environ.get("PQA_MODELS_DIR", "")
            folders = [Path(part) for part in extra.split(os.pathsep) if part]
        self._folders = [SHIPPED, *folders]
        self._provider = provider
        self._threads = threads

    def entries(self) -> list[Entry]:
        """Every model file, opened, in order of folder and name."""
        return [self._entry(path) for folder in self._folders for path in sorted(folder.glob("*.onnx"))]

    def _entry(self, path: Path) -> Entry:
        try:
            return Entry(path, load_model(path, provider=self._provider, threads=self._threads), None)
        except PqaError as error:
            return Entry(path, None, str(error))

    def load(self, name: str | Path = "default", *, allow_untrained: bool = False) -> Model:
        """Open the model of that name, or the `.onnx` at that path.

        Raises ModelNotFound (names what there is), ModelError (damaged), UntrainedModel unless explicitly allowed.
        """
        model = load_model(self.find(str(name)), provider=self._provider, threads=self._threads)
        if not model.spec.trained and not allow_untrained:
            raise UntrainedModel(
                f"{model.path}: exported without training, its scores mean nothing; pass allow_untrained=True "
                "(--allow-untrained) to use it all the same"
            )
        return model

    def find(self, name: str) -> Path:
        """The file of that name, or the `.onnx` at that path. Raises ModelNotFound, which names the nearest and all."""
        if name.endswith(".onnx"):
            if not Path(name).is_file():
                raise ModelNotFound(f"{name}: there is no such file")
            return Path(name)
        wanted = DEFAULT_MODEL if name == "default" else name
        found = [path for folder in self._folders for path in folder.glob("*.onnx") if path.stem == wanted]
        if not found:
            known = sorted({path.stem for folder in self._folders for path in folder.glob("*.onnx")})
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ModelNotFound(
                f"no model named {name!r}{hint}; known: {', '.join(known) or 'none'}; or give the path of an .onnx file"
            )
        return found[-1]
