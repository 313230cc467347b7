"""What one command can do beyond a plain run, and bad input, told before the first step."""

import csv
import json
import math
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import pqa
from pqa.cli.main import main
from pqa.data.sets import read
from pqa.errors import ConfigurationError, DataError
from tests.rated_portraits import write_portraits
from training.gather import bagged, few, fold, gather
from training.loading import divide, sampler_of
from training.recipe import Batches, changed, from_json
from training.recipes import RECIPES, smoke
from training.run import BEST, Machine, build_models, fit

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def portraits(tmp_path_factory):
    return write_portraits(tmp_path_factory.mktemp("portraits"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def copy(portraits, tmp_path):
    """The same portraits, to be changed."""
    return shutil.copytree(portraits, tmp_path / "copy")


def command(data, cache, out, *more, recipe="hyperiqa"):
    arguments = ["--recipe", recipe, "--data", data, "--cache", cache, "--out", out, "--smoke", *more]
    return main(["train", *map(str, arguments)])


def told(capsys):
    return capsys.readouterr().err.splitlines()[-1]


def relabel(folder, change):
    """Put `change(number, row)` in place of every row of the labels; None leaves it out."""
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = [new for number, row in enumerate(rows) if (new := change(number, row)) is not None]
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)


def test_seeds_are_runs_of_their_own_with_mean_and_deviation(portraits, cache, tmp_path, capsys):
    assert command(portraits, cache, tmp_path, "--seeds", 2) == 0
    summary = json.loads((tmp_path / "metrics.json").read_text())
    scores = [run["srcc"] for run in summary["runs"]]
    assert summary["mean"]["srcc"] == pytest.approx(np.mean(scores))
    assert summary["deviation"]["srcc"] == pytest.approx(np.std(scores, ddof=1))
    assert [from_json((tmp_path / f"seed-{n}" / "recipe.json").read_text()).seed for n in range(2)] == [0, 1]
    one, other = (load_file(tmp_path / f"seed-{n}" / BEST) for n in range(2))
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert "mean of 2: srcc" in capsys.readouterr().out


def test_a_run_is_reported_on_the_report_part(portraits, cache, tmp_path):
    assert command(portraits, cache, tmp_path) == 0
    data = few(gather([read(portraits)]))
    report = [row.image for row in data.part("report")]
    with (tmp_path / "predictions.csv").open(newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == report
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["pictures"] == {part: len(data.part(part)) for part in ("train", "choose", "report")}
    (found,) = metrics["report"].values()
    assert found["labels"]["pictures"] == len(report)
    assert [scene["scene"] for scene in found["models"][0]["scenes"]] == sorted(
        {row.scene for row in data.part("report")}
    )


def test_an_ensemble_is_one_model_file_with_the_mean_of_its_members(portraits, cache, tmp_path):
    starts = []
    for seed in range(2):
        starts += ["--start", tmp_path / f"{seed}.safetensors"]
        model = build_models(changed(smoke(RECIPES["hyperiqa"]), [f"seed={seed + 10}"]), ())[0]
        save_file(model.state_dict(), starts[-1])
    assert command(portraits, cache, tmp_path / "out", "--bag", 2, *starts, "--set=optimiser.rate=0") == 0
    names = ("hyperiqa.onnx", "member-0/hyperiqa.onnx", "member-1/hyperiqa.onnx")
    shots = sorted((portraits / "place_0").rglob("*.jpg"))
    joined, *members = ([row.score for row in pqa.load(tmp_path / "out" / name).score(shots)] for name in names)
    np.testing.assert_allclose(joined, np.mean(members, axis=0), rtol=1e-4, atol=1e-5)
    # Each began with weights of its own (at a rate of zero only batch norms moved).
    assert not np.allclose(*members, atol=1e-3)
    ranking = pqa.load(tmp_path / "out" / "hyperiqa.onnx").rank(shots)
    assert ranking.groups[0].ranking[0].score_std > 0


def test_folds_divide_the_scenes_and_leave_the_report_part_alone(portraits):
    data = gather([read(portraits)])
    kept = {row.image for row in data.rows if row.part != "report"}
    judged = []
    for number in range(4):
        one = fold(data, number, 4)
        assert {row.image for row in one.rows} == kept
        parts = {part: {row.scene for row in one.part(part)} for part in ("train", "choose", "report")}
        assert all(parts.values())
        assert sum(map(len, parts.values())) == len(set.union(*parts.values()))
        judged += [row.image for row in one.part("report")]
    assert sorted(judged) == sorted(kept)
    with pytest.raises(ConfigurationError, match="folds must be 3 to 5"):
        fold(data, 0, 6)


def test_members_of_a_bag_see_nine_tenths(portraits):
    data = gather([read(portraits)])
    parts = [{row.image for row in bagged(data, member).part("train")} for member in range(20)]
    whole = {row.image for row in data.part("train")}
    assert all(part < whole or part == whole for part in parts)
    assert 0.8 < np.mean([len(part) / len(whole) for part in parts]) < 1.0
    assert len(set(map(frozenset, parts))) > 10
    assert {row.image for row in bagged(data, 0).part("choose")} == {row.image for row in data.part("choose")}


def test_two_sets_are_joined_as_scenes_of_their_own(portraits, cache, tmp_path):
    other = write_portraits(tmp_path / "other", seed=1)
    data = gather([read(portraits), read(other)])
    assert data.names == ("own", "own#2")
    assert data.per_scene
    assert len({row.scene for row in data.rows}) == 12
    assert len({row.image for row in data.rows}) == 72
    fitted = fit(changed(smoke(RECIPES["sem_hyperiqa"]), []), few(data), tmp_path / "out", Machine("cpu", cache=cache))
    assert {name.partition("/")[0] for name in fitted.scenes} <= {"own", "own#2"}


def test_three_attributes_are_trained_served_and_judged(portraits, cache, tmp_path):
    attributes = [word for name in ("overall", "detail", "exposure") for word in ("--attribute", name)]
    assert command(portraits, cache, tmp_path, *attributes, "--set=batches.balance=0.5") == 0
    row = pqa.load(tmp_path / "hyperiqa.onnx").score([sorted((portraits / "place_0").rglob("*.jpg"))[0]])[0]
    assert list(row.attributes) == ["overall", "detail", "exposure"]
    assert len({value.score for value in row.attributes.values()}) == 3
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert list(metrics["report"]) == ["overall", "detail", "exposure"]
    assert all((tmp_path / f"report-{name}.html").is_file() for name in row.attributes)


def test_balance_draws_rare_ratings_more_often_and_copes_with_missing_ones(copy):
    """In place_0 of eight usable ratings one is far from the others, and one is missing."""
    relabel(
        copy, lambda number, row: {**row, "detail": "" if number == 1 else "100" if number == 2 else f"{number % 2}"}
    )
    rows = gather([read(copy, attributes=("detail", "overall"))]).part("train")
    names = [row.image for row in rows]
    rare, missing = names.index("place_0/phone_2/2.jpg"), names.index("place_0/phone_1/1.jpg")
    assert math.isnan(rows[missing].labels[0])
    division = divide(rows, (), (), "scene")
    drawn = [
        i for seed in range(20) for batch in sampler_of(Batches(size=4, balance=1.0), division, seed) for i in batch
    ]
    share = [drawn.count(index) / len(drawn) for index in range(len(rows))]
    assert share[rare] > 0.3
    assert 0.2 / len(rows) < share[missing] < 3 / len(rows)


def test_a_set_on_one_scale_makes_pairs_of_all_its_pictures(copy, tmp_path):
    """Without scenes all pictures are one scene, whose labels compare."""
    text = (copy / "labels.csv").read_text().splitlines()
    (copy / "labels.csv").write_text("\n".join([f"scene,{text[0]}", *(f"all,{line}" for line in text[1:])]))
    data = gather([read(copy)])
    assert not data.per_scene
    division = divide(data.part("train"), (), (), "scene")
    batches = list(sampler_of(Batches("pairs", size=8), division, 0))
    folders = [data.part("train")[index].image.partition("/")[0] for batch in batches for index in batch]
    assert any(a != b for a, b in zip(folders[::2], folders[1::2], strict=True))


def test_keys_and_types_of_set_are_checked(portraits, cache, tmp_path, capsys):
    for text, says in (
        ("schedule.warmpu=3", "did you mean 'warmup'"),
        ("epochs=many", "epochs"),
        ("optimiser.kind=adagrad", "adagrad"),
        ('terms=[{"loss": "hubber"}]', "did you mean 'huber'"),
        ('terms=[{"loss": "huber", "options": {"delat": 1}}]', "did you mean 'delta'"),
        ("epochs", "expected KEY=VALUE"),
        ("branch_weight=1", "needs the output 'branches'"),
        ("training.cropz=1", "did you mean 'crops'"),
    ):
        assert command(portraits, cache, tmp_path / "out", "--set", text) == 2
        assert says in told(capsys)
    assert not (tmp_path / "out" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ("--set=batches.kind=groups", "--set=batches.scenes=9", "--set=batches.size=18"),
            "a batch of 9 scenes needs as many",
        ),
        (
            ("--set=batches.kind=groups", "--set=batches.scenes=3", "--set=batches.size=8"),
            "cannot be divided into 3 scenes",
        ),
        (("--set=batches.across_scenes=true",), "compare within a scene only"),
        (('--set=terms=[{"loss": "scale_shift_invariant"}]', "--set=batches.size=2"), "no batch has enough to compare"),
        (("--set=scene_weight=1",), "needs the output 'scene_probabilities'"),
        (("--start", "nowhere.safetensors"), "found no such file"),
        (("--start", __file__), "expected weights as safetensors"),
        (("--devices", "0"), "this machine cannot run it so"),
        (("--accelerator", "tpu"), "this machine cannot run it so"),
        (("--seeds", "1"), "counted from two"),
        (("--folds", "9"), "folds must be 3 to"),
        (("--kind", "own", "--kind", "own"), "one --kind for each --data"),
        (("--attribute", "sharpness"), "unknown attribute"),
        (("--split", "device", "--kind", "koniq"), "expected koniq10k"),
    ],
)
def test_wrong_settings_are_told_before_the_first_step(portraits, cache, tmp_path, capsys, settings, says):
    assert command(portraits, cache, tmp_path, *settings) == 2
    assert says in told(capsys)
    assert not (tmp_path / "last.ckpt").exists()


def test_a_missing_folder_and_an_empty_one_are_told(cache, tmp_path, capsys):
    assert command(tmp_path / "nowhere", cache, tmp_path / "out") == 2
    assert "expected the folder of a data set, got none" in told(capsys)
    assert command(tmp_path, cache, tmp_path / "out") == 2
    assert "no data set is recognised" in told(capsys)


def test_half_of_the_pictures_missing(copy, cache, tmp_path, capsys):
    for path in sorted(copy.rglob("*.jpg"))[::2]:
        path.unlink()
    assert command(copy, cache, tmp_path / "out") == 2
    assert "18 of 36 pictures are missing" in told(capsys)
    data = gather([read(copy, allow_missing=True)])
    assert len(data.rows) == 18
    assert "18 of 36 left out" in " ".join(warning.message for warning in data.warnings)


def test_unreadable_pictures_are_left_out_up_to_half(copy, cache, tmp_path):
    recipe, machine = smoke(RECIPES["hyperiqa"]), Machine("cpu", cache=cache)
    pictures = sorted((copy / "place_0").rglob("*.jpg"))
    pictures[0].write_bytes(b"no picture")
    pictures[1].write_bytes(pictures[1].read_bytes()[:300])
    data = gather([read(copy)])
    fitted = fit(recipe, data, tmp_path / "out", machine)
    (warning,) = fitted.warnings
    assert warning.message.startswith("2 of 30 pictures left out: place_0/")
    for path in copy.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="30 of 30 pictures cannot be read"):
        fit(recipe, data, tmp_path / "all", machine)


def test_labels_that_are_no_numbers_or_stand_twice(copy, cache, tmp_path, capsys):
    relabel(copy, lambda number, row: {**row, "overall": "nan" if number % 6 == 0 else row["overall"]})
    data = gather([read(copy)])
    assert len(data.rows) == 30
    assert not any(math.isnan(row.labels[0]) for row in data.rows)
    text = (copy / "labels.csv").read_text()
    (copy / "labels.csv").write_text(text + text.splitlines()[2] + "\n")
    assert command(copy, cache, tmp_path / "out") == 2
    assert "place_0/phone_1/1.jpg" in told(capsys)


def test_a_choose_part_that_orders_nothing_is_told(copy, cache, tmp_path, capsys):
    relabel(
        copy, lambda number, row: {**row, "overall": "1.0" if row["image"].startswith("place_3") else row["overall"]}
    )
    assert command(copy, cache, tmp_path / "out") == 2
    assert "two of unequal ratings in one scene" in told(capsys)


def test_a_scene_with_one_picture_is_told_and_trained_around(copy, cache, tmp_path):
    relabel(
        copy, lambda n, row: None if row["image"].startswith("place_0") and not row["image"].endswith("/0.jpg") else row
    )
    data = gather([read(copy)])
    assert "place_0" in next(warning.message for warning in data.warnings if warning.code == "lone_picture")
    recipe = changed(smoke(RECIPES["bdvqa"]), [])
    assert fit(recipe, few(data), tmp_path / "out", Machine("cpu", cache=cache)).best_score is not None


def test_a_full_disk_is_known_before_the_first_step(portraits, cache, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10, 10, 2**20))
    assert command(portraits, cache, tmp_path / "out") == 2
    assert "1 MiB are free" in told(capsys)
    assert not (tmp_path / "out" / "recipe.json").exists()


def test_weights_of_another_model_are_refused(portraits, cache, tmp_path, capsys):
    save_file(build_models(smoke(RECIPES["rq_net"]), ())[0].state_dict(), tmp_path / "other.safetensors")
    assert command(portraits, cache, tmp_path / "out", "--start", tmp_path / "other.safetensors") == 2
    assert "another model's?" in told(capsys)


def test_faces_are_found_once(portraits, tmp_path, monkeypatch):
    from training import facts

    seen = []
    look = facts._look
    monkeypatch.setattr(facts, "_look", lambda path, **rest: seen.append(path) or look(path, **rest))
    paths = sorted(portraits.rglob("*.jpg"))[:4]
    first = facts.find_facts(paths[:3], (), "mtcnn", tmp_path, workers=1)
    store = next(tmp_path.glob("facts-*.jsonl"))
    store.write_text(store.read_text() + '{"file": "cut off')  # as a run leaves it that was killed while writing
    assert facts.find_facts(paths, (), "mtcnn", tmp_path, workers=1)[:3] == first
    assert seen == paths
    assert all(fact.face is not None for fact in first)
