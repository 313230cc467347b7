"""One more scene in a model file: it follows its labels, and the scores of every other scene stay to the last bit."""

import csv

import cv2
import numpy as np
import onnx
import pytest
from onnx.utils import Extractor
from PIL import Image

import pqa
from pqa.cli.main import main
from pqa.data.assets import ASTRONAUT
from pqa.errors import ConfigurationError, DataError
from pqa.evaluation.metrics import srcc
from pqa.pixels.source import open_picture
from pqa.types import Image as Picture
from training.adapt import LEAST, _ridge, adapt, fit_linear, rows_of

COUNT = 24


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A folder of own data: one scene whose raters liked it soft, against the model."""
    folder = tmp_path_factory.mktemp("studio")
    rgb = open_picture(ASTRONAUT).reduced(160)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(COUNT):
        blur = rng.uniform(0.3, 1.5)
        shot = cv2.GaussianBlur(rgb, (0, 0), blur)
        Image.fromarray(shot).save(folder / f"{number:02}.png")
        rows.append({"image": f"{number:02}.png", "scene": "studio", "score": f"{blur:.4f}"})
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image", "scene", "score"])
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def shipped():
    return pqa.load().predictor.model.path


@pytest.fixture(scope="module")
def adapted(studio, shipped, tmp_path_factory):
    path = tmp_path_factory.mktemp("adapted") / "scene_gate.onnx"
    spec = pqa.load(shipped).predictor.spec
    return adapt(shipped, "studio", rows_of(studio, None, spec.attributes, "studio"), path)


def scores(model, scene, mode):
    rgb = open_picture(ASTRONAUT).reduced(200)
    shots = [rgb, cv2.GaussianBlur(rgb, (0, 0), 1.5), (rgb * 0.4).astype(np.uint8)]
    pictures = [Picture(f"{n}", shot, scene) for n, shot in enumerate(shots)]
    rows = pqa.load(model).score(pictures, scene_mode=mode)
    return [[row.score, *(each.score for each in row.attributes.values()), row.score_std, row.gate] for row in rows]


@pytest.mark.parametrize("mode", ["image", "group"])
def test_pictures_of_no_known_scene_keep_their_scores_to_the_bit(shipped, adapted, mode):
    assert scores(adapted.path, "holiday", mode) == scores(shipped, "holiday", mode)


def test_other_known_scenes_keep_their_scores_to_the_bit(shipped, adapted):
    for scene in pqa.load(shipped).predictor.spec.scenes:
        assert scores(adapted.path, scene, "known") == scores(shipped, scene, "known")


def test_the_new_scene_follows_its_labels(studio, adapted):
    assert adapted.pictures == COUNT
    assert adapted.linear.before < -0.4
    assert adapted.linear.after > 0.7
    paths = sorted(studio.glob("*.png"))
    rows = pqa.load(adapted.path).score([Picture(p.name, p, "studio") for p in paths], scene_mode="known")
    labels = [row.labels[0] for row in rows_of(studio, None, ("overall",), "studio")]
    assert srcc([row.score for row in rows], labels) > 0.9


def test_the_file_says_what_was_done(adapted):
    spec = pqa.load(adapted.path).predictor.spec
    assert spec.scenes[-1] == "studio"
    assert f"{COUNT} pictures" in spec.provenance["adapted to studio"]


def test_a_scene_may_be_refined_and_the_mixture_keeps_its_old_row(shipped, adapted, studio, tmp_path):
    again = tmp_path / "again.onnx"
    names = pqa.load(shipped).predictor.spec
    rows = rows_of(studio, None, names.attributes, "studio")
    adapt(adapted.path, names.scenes[0], rows, again)
    spec = pqa.load(again).predictor.spec
    assert spec.scenes == (f"{names.scenes[0]} (before)", *names.scenes[1:], "studio", names.scenes[0])
    assert scores(again, "holiday", "group") == scores(shipped, "holiday", "group")
    assert scores(again, "studio", "known") == scores(adapted.path, "studio", "known")
    assert scores(again, names.scenes[0], "known") != scores(shipped, names.scenes[0], "known")


def without(model, path, *outputs):
    """The model file without some outputs of its graph and what only they need."""
    proto = onnx.load(model)
    kept = [node.name for node in proto.graph.output if node.name not in outputs]
    cut = Extractor(proto).extract_model([node.name for node in proto.graph.input], kept)
    cut.metadata_props.extend(proto.metadata_props)
    onnx.save(cut, path)
    return path


def test_a_model_without_scenes_takes_one(studio, make_model, tmp_path):
    model = make_model(tmp_path / "tiny.onnx", scenes=())
    path = without(model, tmp_path / "no_scenes.onnx", "score_by_scene", "scene_probabilities")
    attributes = pqa.load(path).predictor.spec.attributes
    done = adapt(path, "studio", rows_of(studio, None, attributes, "studio"), tmp_path / "out.onnx")
    assert pqa.load(done.path).predictor.spec.scenes == ("any", "studio")
    assert scores(done.path, "holiday", "image") == scores(path, "holiday", "image")


def test_a_model_with_scenes_but_one_score_is_refused(studio, tiny_model, tmp_path):
    path = without(tiny_model, tmp_path / "one_score.onnx", "score_by_scene")
    with pytest.raises(ConfigurationError, match="cannot take another"):
        adapt(path, "studio", rows_of(studio, None, ("overall",), "studio"), tmp_path / "out.onnx")


def test_too_few_pictures_are_refused(studio, shipped, tmp_path):
    attributes = pqa.load(shipped).predictor.spec.attributes
    rows = rows_of(studio, None, attributes, "studio")[: LEAST - 1]
    with pytest.raises(DataError, match=f"needs {LEAST} labelled pictures"):
        adapt(shipped, "studio", rows, tmp_path / "out.onnx")
    with pytest.raises(DataError, match="expected one label for each"):
        adapt(shipped, "studio", rows_of(studio, None, ("overall",), "studio"), tmp_path / "out.onnx")
    with pytest.raises(DataError, match="has no scene 'beach' but studio"):
        rows_of(studio, None, ("overall",), "beach")


def test_a_flat_folder_without_scenes_is_all_of_the_scene(studio, shipped, tmp_path):
    for path in studio.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (studio / "labels.csv").open(newline="") as file, (tmp_path / "labels.csv").open("w", newline="") as flat:
        csv.writer(flat).writerows((row[0], row[2]) for row in csv.reader(file))
    expected = rows_of(studio, None, ("overall",), "studio")
    assert [row.labels for row in rows_of(tmp_path, None, ("overall",), "anything")] == [row.labels for row in expected]
    (tmp_path / "labels.csv").unlink()
    with pytest.raises(DataError, match=r"need labels\.csv beside them, with the columns image and score"):
        rows_of(tmp_path, None, ("overall",), "studio")


def test_the_model_itself_is_never_overwritten(studio, tiny_model, tmp_path):
    before = tiny_model.read_bytes()
    (tmp_path / "link").symlink_to(tiny_model.parent)
    with pytest.raises(ConfigurationError, match="is the model itself"):
        adapt(tiny_model, "studio", [], tmp_path / "link" / tiny_model.name)
    assert tiny_model.read_bytes() == before


def test_the_command_adapts(studio, shipped, tmp_path, capsys):
    arguments = ["train", "--adapt", str(shipped), "--scene", "studio", "--data", str(studio), "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "leave-one-out, 24 pictures" in capsys.readouterr().out
    assert (tmp_path / "scene_gate.onnx").is_file()
    assert main([*arguments[:3], "--data", str(studio), "--out", str(tmp_path)]) == 2


def test_the_fit_is_ridge_regression_with_honest_left_out_errors():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 5))
    own = features[:, :1]
    labels = own + features[:, 2:3] + 0.1 * rng.normal(size=(60, 1)) + 3.0
    found = fit_linear(features, own, labels)
    assert found.after > 0.85
    assert found.before < 0.6
    fitted = features @ found.weights + found.offset
    assert np.abs(fitted - labels).mean() < 0.15
    for left in (0, 17):
        kept = np.arange(60) != left
        x = np.column_stack([np.ones(60), own[:, 0], features])
        one = _ridge(x[kept], labels[kept, 0], 0.1 * 60 / 59)  # the penalty counts pictures
        np.testing.assert_allclose(x @ one.solution, _ridge(x, labels[:, 0], 0.1).left_out[left], rtol=1e-6)
    noise = fit_linear(features, own, rng.normal(size=(60, 1)))
    assert abs(noise.after) < 0.2
