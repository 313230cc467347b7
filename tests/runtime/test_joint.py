"""Joint scores: a picture seen together with its set, from the model file to every interface."""

import base64
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch

import pqa
from export.command import untrained_spec
from export.onnx import export
from pqa import nn
from pqa.cli.main import main
from pqa.errors import ModelError
from pqa.pixels.source import open_picture
from pqa.runtime import assess, joint
from pqa.runtime.store import load_model
from pqa.spec import SETS_KEY, SPEC_KEY
from service.settings import Settings
from tests.serving import serving

TOLERANCE = 1e-5
"""Of the range, which is 0 to 1 here."""


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = nn.build("scene_gate", "tiny")
    with torch.no_grad():  # away from its start, where the set head corrects nothing
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        built.joint.correct.weight.mul_(5.0)
    return built.eval()


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("sets") / "sets.onnx"
    generator = np.random.default_rng(0)
    proof = [
        generator.normal(size=(8, *((3, *view.size) if len(view.size) == 2 else view.size))).astype(np.float32)
        for view in model.views
    ]
    spec = dataclasses.replace(untrained_spec(model, "scene_gate", "tiny"), trained=True)
    assert export(model, spec, proof, file).sets
    return file


@pytest.fixture(scope="module")
def assessor(path):
    return pqa.load(path)


@pytest.fixture(scope="module")
def shots(portrait_set):
    return sorted(map(str, portrait_set.glob("*.jpg")))


def jointly(ranking):
    return {row.id: row.joint_score for group in ranking.groups for row in group.ranking}


@pytest.mark.parametrize("scene_mode", ["image", "group", "known"])
@pytest.mark.parametrize("attribute", ["overall", "exposure"])
def test_it_is_what_torch_makes_of_the_embeddings(assessor, model, shots, scene_mode, attribute):
    images = [pqa.Image(shot, shot, "warm") for shot in shots]
    ranking = assessor.rank(images, attribute=attribute, scene_mode=scene_mode)
    rows = {row.id: row for row in ranking.groups[0].ranking}
    embedding = np.stack([assessor.assess(image).embedding for image in images])
    score = np.array([[estimate.score for estimate in rows[shot].attributes.values()] for shot in shots], np.float32)
    with torch.no_grad():
        expected = model.joint(torch.from_numpy(embedding), torch.from_numpy(score)).numpy()
    column = model.config.attributes.index(attribute)
    got = np.array([rows[shot].joint_score for shot in shots])
    np.testing.assert_allclose(got, expected[:, column], atol=TOLERANCE)
    assert np.abs(got - score[:, column]).min() > 1e-3  # it does say something of its own
    # The independent score is that of the picture alone, and it makes the order.
    assert [row.score for row in ranking.groups[0].ranking] == sorted(score[:, column], reverse=True)


def test_scene_modes_mix_the_scores_by_scene(assessor, shots):
    """Each picture's own posterior, the set's mean posterior, or the named scene; the joint score follows its score."""
    images = [pqa.Image(shot, shot, "warm") for shot in shots]
    seen = [assessor.assess(image) for image in images]
    pooled = np.mean([one.scene_probabilities for one in seen], axis=0)
    vectors = {
        "image": [one.scene_probabilities for one in seen],
        "group": [pooled] * len(seen),
        "known": [np.eye(4)[assessor.predictor.spec.scenes.index("warm")]] * len(seen),
    }
    joints = []
    for mode, mixed in vectors.items():
        ranking = assessor.rank(images, scene_mode=mode)
        rows = {row.id: row for row in ranking.groups[0].ranking}
        for shot, one, vector in zip(shots, seen, mixed, strict=True):
            assert rows[shot].score == pytest.approx((vector @ one.score_by_scene)[0], abs=TOLERANCE)
        joints.append([rows[shot].joint_score for shot in shots])
    assert np.abs(np.diff(joints, axis=0)).max(axis=1).min() > 1e-4


def test_the_order_of_the_set_changes_no_joint_score(assessor, shots):
    straight, backwards = (jointly(assessor.rank(order)) for order in (shots, shots[::-1]))
    assert straight == backwards


def test_the_company_changes_the_joint_score_alone(assessor, shots):
    four, three = (assessor.rank(chosen, scene_mode="image").groups[0].ranking for chosen in (shots, shots[:3]))
    four, three = ({row.id: row for row in rows} for rows in (four, three))
    for shot in shots[:3]:
        assert three[shot].score == four[shot].score
        assert abs(three[shot].joint_score - four[shot].joint_score) > 1e-4


def test_the_set_head_knows_nothing_of_the_machine_it_was_made_on(path):
    graph = base64.b64decode({entry.key: entry.value for entry in onnx.load(path).metadata_props}[SETS_KEY])
    assert not any(trace in graph for trace in (b"site-packages", b'File "', b"stack_trace"))


def test_each_scene_is_a_set_of_its_own(assessor, shots):
    together = jointly(assessor.rank([pqa.Image(shot, shot, f"scene {i // 2}") for i, shot in enumerate(shots)]))
    apart = jointly(assessor.rank(shots[:2])) | jointly(assessor.rank(shots[2:]))
    assert together == apart


def test_none_where_there_is_no_set(assessor, shots, tiny_model, monkeypatch):
    assert jointly(assessor.rank(shots[:1])) == {shots[0]: None}
    assert jointly(assessor.rank([shots[0], b"no picture"])) == {shots[0]: None}
    assert [row.joint_score for row in assessor.score(shots)] == [None] * 4
    assert set(jointly(pqa.load(tiny_model).rank(shots)).values()) == {None}  # a model without a set head
    monkeypatch.setattr(assess, "MAX_SET", 3)
    assert set(jointly(assessor.rank(shots)).values()) == {None}
    assert None not in jointly(assessor.rank(shots[:3])).values()


def test_one_joint_score_through_every_interface(assessor, path, shots, capsys):
    names = [Path(shot).name for shot in shots]
    expected = {Path(shot).name: value for shot, value in jointly(assessor.rank(shots)).items()}
    assert main(["rank", *shots, "--model", str(path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {Path(row["id"]).name: row["joint_score"] for row in printed["groups"][0]["ranking"]} == expected

    def answered(response):
        assert response.status_code == 200, response.text
        assert "embedding" not in response.text
        return {row["id"]: row["joint_score"] for row in response.json()["groups"][0]["ranking"]}

    files = {name: Path(shot).read_bytes() for name, shot in zip(names, shots, strict=True)}
    with serving(Settings(models=(str(path),))) as live:
        assert answered(live.http.post("/rank", files=[("images", item) for item in files.items()])) == expected
        hashes = [open_picture(data).sha256 for data in files.values()]
        named = [{"id": name, "sha256": sha256} for name, sha256 in zip(names, hashes, strict=True)]
        assert answered(live.http.post("/rank", json={"images": named})) == expected
        named[0] = {"id": names[0], "data": base64.b64encode(files[names[0]]).decode()}
        assert answered(live.http.post("/rank", json={"images": named[::-1]})) == expected


def test_the_shipped_model_has_none(shots):
    shipped = pqa.load()
    assert shipped.predictor.model.set_head is None
    assert set(jointly(shipped.rank(shots[:2])).values()) == {None}


def rewritten(path, out, *, sets=None, spec=None):
    """The file with its set head replaced (None: without one), and fields of its spec."""
    proto = onnx.load(path)
    props = {entry.key: entry.value for entry in proto.metadata_props}
    props.pop(SETS_KEY)
    if sets is not None:
        props[SETS_KEY] = sets
    props[SPEC_KEY] = json.dumps(json.loads(props[SPEC_KEY]) | (spec or {}))
    onnx.helper.set_model_props(proto, props)
    onnx.save(proto, out)
    return out


@pytest.mark.parametrize(
    ("sets", "says"),
    [
        (None, "no set head"),
        ("no base64!", "not base64"),
        (base64.b64encode(b"no graph").decode(), "not a model"),
    ],
)
def test_a_damaged_set_head_is_said_when_the_file_is_opened(path, tmp_path, sets, says):
    with pytest.raises(ModelError, match=rf"bad.onnx: .*{says}"):
        load_model(rewritten(path, tmp_path / "bad.onnx", sets=sets))


def test_a_foreign_set_head_is_refused(path, tmp_path):
    whole = base64.b64encode(path.read_bytes()).decode()
    with pytest.raises(ModelError, match="expected a set head with the shapes"):
        load_model(rewritten(path, tmp_path / "bad.onnx", sets=whole))


def test_a_promise_without_embeddings_is_refused(make_model, tmp_path):
    with pytest.raises(ModelError, match="promises joint scores"):
        load_model(make_model(tmp_path / "bad.onnx", sets=True))


def test_a_head_that_fails_is_a_model_error(path):
    head = load_model(path).set_head
    assert isinstance(head, joint.SetHead)
    with pytest.raises(ModelError, match="not finite"):
        head.scores(np.full((2, 16), np.nan, np.float32), np.zeros((2, 3), np.float32))
    boundless = joint.SetHead(SimpleNamespace(run=lambda names, feed: [np.full((2, 3), np.inf, np.float32)]))
    with pytest.raises(ModelError, match="not finite"):
        boundless.scores(np.zeros((2, 16), np.float32), np.zeros((2, 3), np.float32))
    with pytest.raises(ModelError, match="failed on 2 pictures"):
        head.scores(np.zeros((2, 5), np.float32), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("count", [1, 2, 256])
def test_any_size_of_set(path, model, count):
    generator = torch.Generator().manual_seed(count)
    embedding, score = torch.randn(count, 16, generator=generator), torch.rand(count, 3, generator=generator)
    got = load_model(path).set_head.scores(embedding.numpy(), score.numpy())
    with torch.no_grad():
        np.testing.assert_allclose(got, model.joint(embedding, score).numpy(), atol=TOLERANCE)
    if count == 1:
        assert (got == score.numpy()).all()


def test_the_graph_of_a_file_without_promise_may_still_give_embeddings(path, tmp_path, shots):
    plain = pqa.load(rewritten(path, tmp_path / "plain.onnx", spec={"sets": False}))
    assert set(jointly(plain.rank(shots[:2])).values()) == {None}
