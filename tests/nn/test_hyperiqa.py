"""The HyperIQA family: against an independent network in the public layout, and its rescaling rules."""

import pytest
import torch
import torchvision
from torch.nn import AvgPool2d, Conv2d, Linear, Module, ModuleList, ReLU, Sequential
from torch.nn import functional as F

from pqa import nn
from pqa.errors import ConfigurationError, ModelError
from pqa.nn.models.hyperiqa import load_public
from pqa.nn.models.sem_hyperiqa import strips

SHAPE = {
    "backbone": "resnet50.tv_in1k",
    "backbone_options": {"layers": (1, 1, 1, 1)},
    "side": 64,
    "cell": 2,
    "width": 32,
    "local": 4,
    "narrow": (24, 20),
    "crops": 1,
}
SCENES = {"scenes": ("a", "b", "c"), "scene_width": 12, "rescale_width": 10}
WIDTHS = (32, 16, 8, 4, 2)


class PublicTrunk(torchvision.models.ResNet):
    """ResNet-50's stages with the local distortion heads, named as in the public checkpoints."""

    def __init__(self):
        super().__init__(torchvision.models.resnet.Bottleneck, [1, 1, 1, 1])
        del self.fc, self.avgpool
        for i, (wide, narrow, side) in enumerate([(256, 16, 8), (512, 32, 4), (1024, 64, 2)], start=1):
            self.add_module(f"lda{i}_pool", Sequential(Conv2d(wide, narrow, 1, bias=False), AvgPool2d(2)))
            self.add_module(f"lda{i}_fc", Linear(narrow * side**2, 4))
        self.lda4_pool = AvgPool2d(2)
        self.lda4_fc = Linear(2048, 20)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        local = []
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
            pooled = self.get_submodule(f"lda{i}_pool")(x)
            local.append(self.get_submodule(f"lda{i}_fc")(pooled.flatten(1)))
        return torch.cat(local, 1), x


class PublicHyper(Module):
    """HyperIQA of one picture at a time, from the paper's description, named as in the public checkpoints."""

    def __init__(self):
        super().__init__()
        self.res = PublicTrunk()
        self.conv1 = Sequential(Conv2d(2048, 24, 1), ReLU(), Conv2d(24, 20, 1), ReLU(), Conv2d(20, 16, 1), ReLU())
        for i in range(4):
            self.add_module(f"fc{i + 1}w_conv", Conv2d(16, WIDTHS[i] * WIDTHS[i + 1] // 4, 3, padding=1))
            self.add_module(f"fc{i + 1}b_fc", Linear(16, WIDTHS[i + 1]))
        self.fc5w_fc, self.fc5b_fc = Linear(16, 2), Linear(16, 1)

    def forward(self, x):
        vector, deep = self.res(x)
        features = self.conv1(deep)
        mean = features.mean((2, 3))
        scores = []
        for n in range(len(x)):
            value = vector[n]
            for i in range(4):
                matrix = self.get_submodule(f"fc{i + 1}w_conv")(features[n : n + 1]).view(WIDTHS[i + 1], WIDTHS[i])
                value = torch.sigmoid(F.linear(value, matrix, self.get_submodule(f"fc{i + 1}b_fc")(mean[n])))
            scores.append(F.linear(value, self.fc5w_fc(mean[n])[None], self.fc5b_fc(mean[n])))
        return torch.stack(scores), features


class PublicSem(Module):
    """SEM-HyperIQA around it."""

    def __init__(self):
        super().__init__()
        self.hyperNet = PublicHyper()
        self.sceneClassNet = Module()
        self.sceneClassNet.layers = ModuleList([Linear(48, 12), ReLU(), Linear(12, 12), ReLU(), Linear(12, 3)])
        self.rescaleNet = Module()
        self.rescaleNet.layers = ModuleList(
            [Linear(3, 10), ReLU(), Linear(10, 10), ReLU(), Linear(10, 10), ReLU(), Linear(10, 2)]
        )

    def forward(self, x):
        quality, features = self.hyperNet(x)
        logits = F.adaptive_avg_pool2d(features, (1, 3)).flatten(1)
        for layer in self.sceneClassNet.layers:
            logits = layer(logits)
        probabilities = logits.softmax(1)
        return self.rescaled(quality, probabilities), probabilities, quality

    def rescaled(self, quality, vector):
        for layer in self.rescaleNet.layers:
            vector = layer(vector)
        return vector[:, :1] * quality + vector[:, 1:]


@pytest.fixture(scope="module")
def public():
    torch.manual_seed(0)
    network = PublicSem()
    for module in network.modules():  # running statistics other than zero and one
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.randn(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def run(model, pictures):
    with torch.no_grad():
        return dict(zip(model.outputs, model.eval()(pictures), strict=True))


def built(name, public, **changes):
    model = nn.build(name, "tiny", **SHAPE, squeeze=(16, 32, 64), **SCENES, **changes)
    load_public(model, {f"module.{key}": value for key, value in public.state_dict().items()})
    return model


def test_a_public_hyperiqa_checkpoint_gives_the_same_scores(public, pictures):
    model = nn.build("hyperiqa", "tiny", **SHAPE, squeeze=(16, 32, 64))
    load_public(model, public.hyperNet.state_dict())
    with torch.no_grad():
        expected, _ = public.hyperNet(pictures)
    assert expected.std() > 1e-3
    torch.testing.assert_close(run(model, pictures)["score"], expected, rtol=1e-4, atol=1e-5)


def test_a_public_sem_checkpoint_gives_the_same_scores_and_scenes(public, pictures):
    got = run(built("sem_hyperiqa", public), pictures)
    with torch.no_grad():
        score, probabilities, quality = public(pictures)
        known = public.rescaled(quality, torch.eye(3)[[1]].expand(5, 3))
    torch.testing.assert_close(got["score"], score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got["scene_probabilities"], probabilities, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got["score_by_scene"][:, 1], known, rtol=1e-4, atol=1e-5)


def test_another_checkpoint_is_refused(public):
    with pytest.raises(ModelError, match="not a public checkpoint of HyperIqa"):
        load_public(nn.build("hyperiqa", "tiny"), public.hyperNet.state_dict())


def test_full_averages_the_rescaled_scores_of_the_likeliest_scenes(public, pictures):
    for top in (0, 2):
        got = run(built("fhiqa", public, top=top), pictures)
        for n in range(5):
            p, by_scene = got["scene_probabilities"][n], got["score_by_scene"][n, :, 0]
            chosen = sorted(range(3), key=lambda s: -p[s])[: top or 3]
            expected = sum(p[s] * by_scene[s] for s in chosen) / sum(p[s] for s in chosen)
            torch.testing.assert_close(got["score"][n, 0], expected)


def test_full_with_one_scene_is_sem_on_the_top_class(public, pictures):
    full = run(built("fhiqa", public, top=1), pictures)
    sem = run(built("sem_hyperiqa", public, rescaling="known"), pictures)
    torch.testing.assert_close(full["score"], sem["score"])
    top = sem["scene_probabilities"].argmax(1)
    with torch.no_grad():
        expected = public.rescaled(public(pictures)[2], F.one_hot(top, 3).float())
    torch.testing.assert_close(full["score"], expected, rtol=1e-4, atol=1e-5)


def test_crops_are_averaged_before_rescaling(public, pictures):
    model = built("sem_hyperiqa", public)
    crops = nn.build("sem_hyperiqa", "tiny", **SHAPE | {"crops": 5}, squeeze=(16, 32, 64), **SCENES)
    crops.load_state_dict(model.state_dict())
    one = run(crops, pictures[None])
    with torch.no_grad():
        _, probabilities, quality = public(pictures)
        expected = public.rescaled(quality.mean(0, keepdim=True), probabilities.mean(0, keepdim=True))
    torch.testing.assert_close(one["score"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("length", "count"), [(42, 50), (7, 3), (2, 4), (10, 10)])
def test_strips_are_adaptive_pooling(length, count):
    rows = torch.randn(3, length, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(rows @ strips(length, count), F.adaptive_avg_pool1d(rows, count))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"side": 100}, "multiple of 32 x cell = 64, got 100"),
        ({"width": 30}, "must halve four times"),
        ({"side": 128, "width": 32}, "fill the 4 x 4 map"),
    ],
)
def test_shapes_that_cannot_be_are_refused(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        nn.build("hyperiqa", "tiny", **changes)


def test_top_is_bounded_by_the_scenes():
    with pytest.raises(ConfigurationError, match="top must be 0 to 3"):
        nn.build("fhiqa", "tiny", top=4)


def test_an_unknown_way_of_rescaling_offers_the_nearest():
    with pytest.raises(ConfigurationError, match="unknown rescaling 'knwon'; did you mean 'known'"):
        nn.build("sem_hyperiqa", "tiny", rescaling="knwon")
