"""Light DSFD: its count, the public file's names, its heads, its export, and the decoding around it."""

import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.light_dsfd import export_network, main, read
from pqa.data import assets
from pqa.errors import MissingWeights, ModelError
from pqa.faces.detectors import load_detector
from pqa.faces.dsfd import FILE, Dsfd, DsfdDetector, anchors, decode
from pqa.nn.models.light_dsfd import LightDsfd, load_public
from pqa.pixels.source import open_picture
from pqa.session import open_session
from pqa.weights import VARIABLE


def test_parameters_as_published():
    with torch.device("meta"):
        assert sum(value.numel() for value in LightDsfd().parameters()) == 14_218_678


def norm(name, width):
    return {f"{name}.{key}": (width,) for key in ("weight", "bias", "running_mean", "running_var")}


def public_shapes():
    """Names and shapes of the public file, written down from its code: heads, pyramid, extra stages, ResNet-18."""
    shapes = {"stem_layer.0.weight": (64, 3, 7, 7)} | norm("stem_layer.1", 64)
    before = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name, channels = f"layer{stage}.0.{block}", before if block == 0 else width
            shapes |= {f"{name}.conv1.weight": (width, channels, 3, 3), f"{name}.conv2.weight": (width, width, 3, 3)}
            shapes |= norm(f"{name}.bn1", width) | norm(f"{name}.bn2", width)
            if channels != width:
                shapes |= {f"{name}.downsample.0.weight": (width, channels, 1, 1)} | norm(f"{name}.downsample.1", width)
        before = width
    for stage, channels in ((5, 512), (6, 256)):
        for unit, (width, inside, kernel) in enumerate(((128, channels, 1), (256, 128, 3))):
            name = f"layer{stage}.{unit}"
            shapes |= {f"{name}.conv.weight": (width, inside, kernel, kernel), f"{name}.conv.bias": (width,)}
            shapes |= norm(f"{name}.bn", width)
    for level, channels in enumerate((64, 128, 256, 512, 256, 256), start=1):
        shapes |= {f"latlayer{level}.conv.weight": (128, channels, 1, 1), f"latlayer{level}.conv.bias": (128,)}
        shapes |= norm(f"latlayer{level}.bn", 128)
    neck = "bi_fpn.0.layers"
    for level in range(1, 7):
        for end in ("_td", "_du"):
            if (end == "_td" and level < 6) or (end == "_du" and level > 1):
                name = f"{neck}.conv{level}{end}.op"
                shapes |= {f"{name}.1.weight": (128, 1, 3, 3), f"{name}.2.weight": (128, 128, 1, 1)}
                shapes |= norm(f"{name}.3", 128)
        shapes |= {f"{neck}.conv{level}.op.1.weight": (128, 128, 1, 1)} | norm(f"{neck}.conv{level}.op.2", 128)
        shapes |= {f"{neck}.w{level}": (2 if level in (1, 6) else 3,)}
        out = f"{neck}.out_layers.{level - 1}"
        shapes |= {f"{out}.weight": (128, 128, 1, 1), f"{out}.bias": (128,)}
    for level in range(6):
        boxes, classes = ((4, 4), (8, 6))[level] if level < 2 else (12, 8)
        for branch, head, width in (("loc", "loc", boxes), ("conf", "conf", classes)):
            layer = f"{branch}_layers.{level}.layers.0"
            shapes |= {f"{layer}.weight": (128, 128, 3, 3), f"{layer}.bias": (128,)}
            shapes |= {f"{head}_head.{level}.weight": (width, 128, 1, 1), f"{head}_head.{level}.bias": (width,)}
    return shapes


def public_tensors():
    generator = torch.Generator().manual_seed(0)
    shapes = public_shapes()
    tensors = {f"module.{name}": 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name, value in tensors.items():
        if name.endswith("running_var"):
            value.abs_().add_(0.5)
    return tensors


@pytest.fixture(scope="module")
def model():
    built = LightDsfd()
    load_public(built, public_tensors() | {"module.auxiliary.weight": torch.zeros(1)})
    return built.eval()


def test_the_public_names_fill_every_tensor(model):
    tensors = public_tensors()
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    assert len(names) == len(tensors)
    pairs = {
        "neck.up.0.1.weight": "bi_fpn.0.layers.conv2_du.op.1.weight",
        "neck.down.4.3.bias": "bi_fpn.0.layers.conv5_td.op.3.bias",
        "neck.shares.5": "bi_fpn.0.layers.w6",
        "deeper.1.0.0.bias": "layer6.0.conv.bias",
        "lateral.2.1.running_mean": "latlayer3.bn.running_mean",
        "face_branch.3.0.weight": "conf_layers.3.layers.0.weight",
    }
    for ours, theirs in pairs.items():
        torch.testing.assert_close(model.state_dict()[ours], tensors[f"module.{theirs}"])


def test_weights_of_another_network_are_refused():
    tensors = public_tensors()
    fewer = dict(list(tensors.items())[1:])
    with pytest.raises(ModelError, match=r"1 tensors are missing .trunk.network.conv1.weight., 0 are unknown"):
        load_public(LightDsfd(), fewer)
    with pytest.raises(ModelError, match=r"0 tensors are missing .*1 are unknown .fc.weight"):
        load_public(LightDsfd(), tensors | {"module.fc.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match="size mismatch"):
        load_public(LightDsfd(), tensors | {"module.latlayer1.conv.bias": torch.zeros(3)})


def test_max_in_out_heads():
    """Four maps a, b, c, d with constant values: the finest level takes d against the best of a, b, c, others turn it."""
    built = LightDsfd().eval()
    with torch.no_grad():
        for head in built.face:
            head.weight.zero_()
            head.bias[:4] = torch.tensor([1.0, 3.0, 2.0, 5.0])
        _, probability = built(torch.zeros(1, 3, 64, 64))
    finest = 16 * 16
    torch.testing.assert_close(probability[0, :finest], torch.full((finest,), 2.0).sigmoid())
    torch.testing.assert_close(probability[0, finest:], torch.full((64 + 16 + 4 + 1 + 1,), -2.0).sigmoid())


def test_the_pyramid_joins_its_terms_as_defined(model):
    """One level of the pyramid by hand: the second, which has all three terms."""
    generator = torch.Generator().manual_seed(1)
    maps = [torch.randn(1, 128, 32 >> level or 1, 32 >> level or 1, generator=generator) for level in range(6)]
    neck = model.neck

    def enlarged(small, like):
        return torch.nn.functional.interpolate(small, like.shape[2:], mode="bilinear", align_corners=True)

    with torch.no_grad():
        coarse = maps[5]
        for level in (4, 3, 2, 1):
            coarse = neck.down[level](enlarged(coarse, maps[level]) * maps[level])
        fine = neck.up[0](torch.nn.functional.max_pool2d(maps[0], 3, 2, 1) * maps[1])
        a, b, c = neck.shares[1].softmax(0)
        expected = neck.out[1](a * coarse + b * fine + c * neck.same[1](maps[1]))
        torch.testing.assert_close(neck(maps)[1], expected)


@pytest.fixture(scope="module")
def graph(model):
    return export_network(model)


@pytest.mark.parametrize("size", [(64, 96), (75, 133)])
def test_export_agrees_with_torch_at_any_size(model, graph, size):
    image = np.random.default_rng(0).uniform(-120, 140, (1, 3, *size)).astype(np.float32)
    got = open_session(graph).run(list(model.outputs), {"image": image})
    with torch.no_grad():
        expected = model(torch.from_numpy(image))
    assert got[0].shape[1] == len(anchors(*size))
    assert expected[1].std() > 1e-3
    for name, value, reference in zip(model.outputs, got, expected, strict=True):
        np.testing.assert_allclose(value, reference.numpy(), atol=2e-5, err_msg=name)


def test_anchors_by_hand():
    got = anchors(640, 640)
    assert len(got) == sum((640 // stride) ** 2 for stride in (4, 8, 16, 32, 64, 128))
    edge = 16 / np.sqrt(1.5)
    np.testing.assert_allclose(got[0] * 640, [2, 2, edge, 1.5 * edge], rtol=1e-5)
    np.testing.assert_allclose(got[1] * 640, [6, 2, edge, 1.5 * edge], rtol=1e-5)
    np.testing.assert_allclose(got[-1] * 640, [576, 576, 512 / np.sqrt(1.5), 512 * np.sqrt(1.5)], rtol=1e-5)
    assert anchors(100, 100).max() == 1.0


def test_decoding_by_hand():
    prior = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    np.testing.assert_allclose(decode(np.zeros((1, 4), np.float32), prior), [[0.4, 0.3, 0.6, 0.7]], rtol=1e-6)
    moved = decode(np.array([[1.0, -1.0, 0.0, 5 * np.log(2.0)]], np.float32), prior)
    np.testing.assert_allclose(moved, [[0.42, 0.06, 0.62, 0.86]], rtol=1e-5)


class Graph:
    """A session whose faces are given: probabilities by the anchor nearest to (centre, side), in a picture of 640 x 640."""

    def __init__(self, faces):
        self.priors = anchors(640, 640)
        self.probability = np.zeros((1, len(self.priors)), np.float32)
        for x, y, side, probability in faces:
            wanted = np.array([x, y, side / np.sqrt(1.5), side * np.sqrt(1.5)]) / 640
            self.probability[0, np.abs(self.priors - wanted).sum(1).argmin()] = probability

    def run(self, names, feed):
        assert feed["image"].shape == (1, 3, 640, 640)
        return [np.zeros((1, len(self.priors), 4), np.float32), self.probability]


def detect(faces, side=640):
    dsfd = Dsfd.__new__(Dsfd)
    dsfd._session = Graph(faces)
    return DsfdDetector(dsfd).detect(open_picture(np.zeros((side, side, 3), np.uint8)))


@pytest.mark.parametrize(
    ("probabilities", "kept"),
    [
        ((0.9, 0.85, 0.75), [0.85, 0.9]),
        ((0.75, 0.5, 0.3), [0.75]),
        ((0.25, 0.1, 0.21), [0.21, 0.25]),
        ((0.1, 0.1, 0.1), []),
    ],
)
def test_the_first_level_that_a_face_reaches_decides(probabilities, kept):
    places = ((104, 104, 64), (304, 304, 128), (504, 504, 128))
    faces = detect([(*place, value) for place, value in zip(places, probabilities, strict=True)])
    assert sorted(round(face.confidence, 2) for face in faces) == kept
    areas = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in faces]
    assert areas == sorted(areas, reverse=True)


def test_overlapping_boxes_leave_the_surest():
    (face,) = detect([(352, 352, 256, 0.9), (416, 352, 256, 0.95), (416, 416, 256, 0.85)])
    assert face.confidence == pytest.approx(0.95)


def test_boxes_are_in_pixels_of_the_full_picture():
    (small,), (large,) = detect([(304, 304, 128, 0.9)]), detect([(304, 304, 128, 0.9)], side=1280)
    np.testing.assert_allclose(large.box, 2 * np.array(small.box), rtol=1e-6)
    assert small.box[3] - small.box[1] == pytest.approx(128 * np.sqrt(1.5), rel=1e-5)
    assert small.landmarks == ()


def test_colours_reach_the_graph_as_bgr_less_the_mean():
    class Seen(Graph):
        def run(self, names, feed):
            self.image = feed["image"]
            return super().run(names, feed)

    dsfd = Dsfd.__new__(Dsfd)
    dsfd._session = Seen([])
    dsfd.detect_array(np.full((640, 640, 3), (10, 20, 30), np.uint8))
    np.testing.assert_allclose(dsfd._session.image[0, :, 0, 0], [30 - 104, 20 - 117, 10 - 123])


def test_the_file_is_made_by_the_command_and_found_by_name(tmp_path, monkeypatch, capsys):
    save_file(public_tensors(), tmp_path / "dsfdv2_r18.safetensors")
    main([str(tmp_path / "dsfdv2_r18.safetensors"), str(tmp_path / "made" / FILE)])
    assert FILE in capsys.readouterr().out
    monkeypatch.setenv(VARIABLE, str(tmp_path / "made"))
    detector, source = load_detector("light_dsfd"), open_picture(open_picture(assets.ASTRONAUT).reduced(96))
    assert detector.detect(source) == detector.detect(source)
    assert detector.detect(open_picture(np.zeros((1, 1, 3), np.uint8))) is not None


def test_without_its_file_the_error_says_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(MissingWeights, match=f"{VARIABLE} is not set.*python -m export.light_dsfd"):
        load_detector("light_dsfd")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(MissingWeights, match=r"not in .*dsfdv2_r18.pth"):
        load_detector("light_dsfd")
    (tmp_path / FILE).write_bytes(b"not a graph")
    with pytest.raises(ModelError, match="not a model"):
        load_detector("light_dsfd")


class Sly:
    def __reduce__(self):
        return (print, ("ran",))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_pickles_are_refused_and_never_run(tmp_path, name, capsys):
    (tmp_path / name).write_bytes(pickle.dumps({"a": Sly()}, protocol=2))
    with pytest.raises(ModelError, match=r"expected a safetensors file .*docs/models.md"):
        read(tmp_path / name)
    assert capsys.readouterr().out == ""
