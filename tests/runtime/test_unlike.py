"""The flag of pictures that are unlike those a model learned from."""

import onnx
import pytest
from onnx import TensorProto, helper

import pqa
from pqa.spec import SPEC_KEY
from tests.conftest import tiny_graph, tiny_spec


@pytest.fixture
def with_distance(tmp_path):
    """The tiny model with its gate, from 0 to 1, as `distance`."""

    def make(**changes):
        model = tiny_graph()
        model.graph.node.append(helper.make_node("Identity", ["gate"], ["distance"]))
        model.graph.output.append(helper.make_tensor_value_info("distance", TensorProto.FLOAT, ["N"]))
        helper.set_model_props(model, {SPEC_KEY: tiny_spec(**changes).to_json()})
        path = tmp_path / "far.onnx"
        onnx.save(model, path)
        return path

    return make


@pytest.mark.parametrize(("limit", "flagged"), [(None, False), (2.0, False), (-1.0, True)])
def test_a_picture_beyond_the_limit_is_flagged(with_distance, astronaut, limit, flagged):
    (row,) = pqa.load(with_distance(unlike_above=limit)).score([astronaut])
    assert ("unlike_training" in row.flags) == flagged


def test_a_model_without_distances_flags_nothing(make_model, astronaut, tmp_path):
    (row,) = pqa.load(make_model(tmp_path / "near.onnx", unlike_above=-1.0)).score([astronaut])
    assert "unlike_training" not in row.flags
