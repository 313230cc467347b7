"""Models in service: loaded once, warmed up on a real picture, listed with what their files say about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pqa
from pqa.errors import unknown_key
from pqa.faces.detectors import Detector, load_detector
from pqa.pixels.source import Limits
from pqa.runtime.predictor import Predictor
from pqa.runtime.store import Entry, Model, ModelStore
from pqa.spec import Calibration
from pqa.types import Scale
from service.settings import MIB, Settings

__all__ = ["LoadedModels", "ModelCard", "ModelList", "View"]

WARM_UP = Path(pqa.__file__).parent / "data" / "assets" / "astronaut.png"


@dataclass(frozen=True, slots=True)
class View:
    """One input of a model: its kind, its size (height, width) or (length,), and how many crops a picture."""

    name: str
    kind: str
    size: tuple[int, ...]
    crops: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model file as it describes itself. `loaded`: requests may name it. `error`: why the file cannot be used.

    `sets`: rankings by it have joint scores.
    """

    name: str
    file: str
    loaded: bool
    default: bool
    error: str | None = None
    version: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    architecture: str | None = None
    description: str | None = None
    trained: bool | None = None
    provider: str | None = None
    views: tuple[View, ...] = ()
    attributes: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()
    sets: bool = False
    scale: Scale | None = None
    calibration: Calibration | None = None
    licence: str | None = None
    data: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelList:
    """Every model file of the store: the loaded ones, the others, and the damaged ones with their error.

    `reload_error`: why the last reload kept the models that were loaded before; null where it did not.
    """

    models: tuple[ModelCard, ...]
    reload_error: str | None = None


class LoadedModels:
    """The models that requests may name. The first one of the settings answers when none is named."""

    def __init__(self, predictors: dict[str, Predictor], listing: ModelList) -> None:
        self.predictors = predictors
        self.listing = listing
        self.default = next(iter(predictors.values()))

    @classmethod
    def load(
        cls,
        settings: Settings,
        watched: Callable[[Detector], Detector],
        paths: Mapping[str, Path] = MappingProxyType({}),
    ) -> LoadedModels:
        """Open and warm up every model of the settings, its face detector in the place that `watched` gives it.

        `paths`: copies to load in the place of the files that the settings name.

        Raises a PqaError for one that cannot be served.
        """
        store = ModelStore(settings.folders, provider=settings.provider)
        limits = Limits(
            max_bytes=settings.max_file_bytes,
            max_pixels=int(settings.max_megapixels * 1_000_000),
            max_memory=int(settings.max_decode_mib * MIB),
            formats=frozenset(settings.formats),
        )
        detectors: dict[str, Detector] = {}
        predictors: dict[str, Predictor] = {}
        for name in settings.models:
            model = store.load(paths.get(name, name), allow_untrained=settings.allow_untrained)
            row = model.spec.detector
            if row not in detectors:
                detectors[row] = watched(load_detector(row))
            predictors[model.path.stem] = Predictor(model, limits=limits, detector=detectors[row], faces=settings.faces)
        portrait = WARM_UP.read_bytes()
        for predictor in predictors.values():
            predictor.infer([predictor.prepare(portrait)])
        return cls(predictors, _listing(store.entries(), predictors))

    def get(self, name: str) -> Predictor:
        """The loaded model of that name. Raises ConfigurationError for any other."""
        if name == "default":
            return self.default
        if name not in self.predictors:
            raise unknown_key(name, self.predictors, "model")
        return self.predictors[name]


def _listing(entries: list[Entry], predictors: dict[str, Predictor]) -> ModelList:
    """Cards of the loaded models, then of what else lies in the store."""
    cards = [
        _card(predictor.model, loaded=True, default=number == 0) for number, predictor in enumerate(predictors.values())
    ]
    loaded = {card.sha256 for card in cards}
    for entry in entries:
        if entry.model is None:
            # Clients learn what is wrong with the file, not where it lies.
            error = (entry.error or "").replace(str(entry.path), entry.path.name)
            cards.append(ModelCard(entry.path.stem, entry.path.name, loaded=False, default=False, error=error))
        elif entry.model.info.sha256 not in loaded:
            cards.append(_card(entry.model, loaded=False, default=False))
    return ModelList(tuple(cards))


def _card(model: Model, *, loaded: bool, default: bool) -> ModelCard:
    spec = model.spec
    return ModelCard(
        name=model.path.stem,
        file=model.path.name,
        loaded=loaded,
        default=default,
        version=spec.version,
        sha256=model.info.sha256,
        bytes=model.bytes,
        architecture=spec.architecture,
        description=spec.description,
        trained=spec.trained,
        provider=model.provider,
        views=tuple(View(view.name, view.kind, view.size, view.crops) for view in spec.views),
        attributes=spec.attributes,
        scenes=spec.scenes,
        sets=spec.sets,
        scale=model.info.scale,
        calibration=spec.calibration,
        licence=spec.licence,
        data=spec.data,
    )
