"""Samplers: every picture at least once, scenes and pairs kept whole, determinism, replicas, weights, what is refused."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from pqa.errors import ConfigurationError, DataError
from pqa.nn.models.sar import SCENARIOS
from training.samplers import (
    SCENARIO_SHARES,
    SceneGroups,
    ScenePairs,
    WeightedPictures,
    inverse_density,
    outside_band,
    scenario,
)

quick = settings(max_examples=60, deadline=None)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=6)


def scenes_of(counts):
    """Names of scenes, pictures of all mixed."""
    names = [f"scene_{i}" for i, count in enumerate(counts) for _ in range(count)]
    return [names[i] for i in np.random.default_rng(0).permutation(len(names))]


def samplers(replica=0, replicas=1, seed=0):
    """One of each kind, over eight scenes; all share among two and four processes."""
    scenes = scenes_of([5, 9, 1, 4, 12, 7, 3, 2])
    share = {"seed": seed, "replica": replica, "replicas": replicas}
    yield SceneGroups(scenes, 12, 4, **share)
    yield SceneGroups(scenes, 8, 0, **share)
    yield ScenePairs(scenes, 4, leads=2, **share)
    yield ScenePairs(scenes, 4, fixed=True, **share)
    yield WeightedPictures(np.arange(1.0, 44.0), 8, **share)


KINDS = range(5)


@quick
@given(sizes, st.data())
def test_scene_groups(counts, data):
    groups = data.draw(st.integers(1, len(counts)))
    each = data.draw(st.integers(1, 5))
    scenes = scenes_of(counts)
    sampler = SceneGroups(scenes, groups * each, groups, seed=data.draw(st.integers(0, 9)))
    batches = list(sampler)
    assert len(batches) == len(sampler) == -(-sum(-(-count // each) for count in counts) // groups)
    assert {picture for batch in batches for picture in batch} == set(range(len(scenes)))
    for batch in batches:
        assert len(batch) == groups * each
        chunks = np.reshape(batch, (groups, each))
        assert all(len({scenes[picture] for picture in chunk}) == 1 for chunk in chunks)
        # Drawn again only where the scene has too few to fill its last chunk.
        for chunk in chunks:
            count = scenes.count(scenes[chunk[0]])
            assert len(set(chunk.tolist())) >= min(each, count) - (-count % each)


def test_pictures_come_again_only_to_fill_up():
    scenes = scenes_of([8, 8, 4])
    drawn = Counter(picture for batch in SceneGroups(scenes, 8, 2, seed=0) for picture in batch)
    assert len(drawn) == 20
    assert sum(drawn.values()) == 24  # five chunks of four; one again for the last batch
    plain = Counter(picture for batch in SceneGroups(scenes, 5, 0, seed=0) for picture in batch)
    assert set(plain.values()) == {1}


def test_no_batch_holds_a_chunk_twice():
    scenes = scenes_of([4] * 7)
    for seed in range(20):
        for batch in SceneGroups(scenes, 16, 4, seed=seed):
            assert len(set(batch)) == 16


@quick
@given(sizes, st.integers(1, 12))
def test_plain_shuffling(counts, batch):
    scenes = scenes_of(counts)
    batches = list(SceneGroups(scenes, batch, 0, seed=1))
    assert all(len(found) == batch for found in batches)
    assert {picture for found in batches for picture in found} == set(range(len(scenes)))


@quick
@given(sizes, st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_scene_pairs(counts, leads, pairs, across):
    scenes = scenes_of(counts)
    if len(scenes) == 1 or (max(counts) == 1 and not across):
        with pytest.raises(DataError, match="share a scene"):
            ScenePairs(scenes, pairs, seed=0, across_scenes=across)
        return
    sampler = ScenePairs(scenes, pairs, seed=0, leads=leads, across_scenes=across)
    found = np.reshape(list(sampler), (-1, 2))
    assert len(found) == len(sampler) * pairs
    assert (found[:, 0] != found[:, 1]).all()
    if not across:
        assert all(scenes[i] == scenes[j] for i, j in found)
    paired = [i for i in range(len(scenes)) if across or scenes.count(scenes[i]) > 1]
    led = Counter(found[: leads * len(paired), 0].tolist())  # the rest fills the last batch
    assert sorted(led) == paired
    assert set(led.values()) == {leads}
    for leader in paired:
        partners = set(found[found[:, 0] == leader, 1].tolist())
        others = len(scenes) if across else scenes.count(scenes[leader])
        assert len(partners) >= leads or leads > others - 1


def test_the_list_of_pqe():
    scenes = scenes_of([30, 26, 34])
    sampler = ScenePairs(scenes, 6, leads=2, fixed=True, seed=4)
    epochs = []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        epochs.append([tuple(pair) for pair in np.reshape(list(sampler), (-1, 2)).tolist()])
    assert len(epochs[0]) == 2 * 90
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_is_a_function_of_seed_and_epoch(kind):
    first, again, other = (list(samplers(seed=seed))[kind] for seed in (0, 0, 1))
    epochs = []
    for epoch in (0, 1, 2):
        first.set_epoch(epoch)
        epochs.append(list(first))
    assert epochs[0] != epochs[1] != epochs[2]
    again.set_epoch(2)
    assert list(again) == list(again) == epochs[2]
    other.set_epoch(2)
    assert list(other) != epochs[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("replicas", [2, 4])
def test_the_shares_of_replicas_are_the_batch_of_one(kind, replicas):
    whole = list(samplers())[kind]
    shares = [list(samplers(replica, replicas))[kind] for replica in range(replicas)]
    for sampler in (whole, *shares):
        sampler.set_epoch(3)
        assert len(sampler) == len(list(sampler)) == len(whole)
    for batch, *parts in zip(whole, *shares, strict=True):
        assert [picture for part in parts for picture in part] == batch
        assert len({len(part) for part in parts}) == 1


def test_replicas_take_whole_groups():
    scenes = scenes_of([5, 9, 1, 4, 12, 7, 3, 2])
    for replica in range(2):
        for batch in SceneGroups(scenes, 12, 4, seed=0, replica=replica, replicas=2):
            assert all(len({scenes[i] for i in chunk}) == 1 for chunk in np.reshape(batch, (2, 3)))
        for batch in ScenePairs(scenes, 4, seed=0, replica=replica, replicas=2):
            assert all(scenes[i] == scenes[j] for i, j in np.reshape(batch, (2, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loader_takes_them(kind):
    sampler = list(samplers())[kind]
    loader = DataLoader(list(range(43)), batch_sampler=sampler)
    assert [batch.tolist() for batch in loader] == list(sampler)
    assert loader.batch_sampler.sampler is sampler


@pytest.mark.parametrize(
    ("batch", "groups", "said"),
    [
        (8, 4, "of 4 scenes needs as many in the data, which have 3"),
        (8, -1, "of -1 scenes"),
        (0, 0, "of 0 pictures"),
        (7, 2, "7 pictures cannot be divided into 2"),
        (0, 2, "0 pictures cannot be divided"),
    ],
)
def test_batches_that_cannot_be_formed_raise(batch, groups, said):
    with pytest.raises(ConfigurationError, match=said):
        SceneGroups(["a", "b", "c"] * 5, batch, groups, seed=0)


def test_what_else_is_refused():
    with pytest.raises(DataError, match="expected pictures"):
        SceneGroups([], 4, 0, seed=0)
    with pytest.raises(ConfigurationError, match=r"3 groups .* cannot be shared by 2"):
        SceneGroups(["a", "b", "c"], 6, 3, seed=0, replicas=2)
    with pytest.raises(ConfigurationError, match="replica must be 0 to 1, got 2"):
        SceneGroups(["a", "b"], 4, 2, seed=0, replica=2, replicas=2)
    with pytest.raises(ConfigurationError, match="leads = 0"):
        ScenePairs(["a", "a"], 1, seed=0, leads=0)
    with pytest.raises(ConfigurationError, match="a batch of 0 groups"):
        ScenePairs(["a", "a"], 0, seed=0)


@quick
@given(st.lists(st.floats(0, 10), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3), st.integers(1, 7))
def test_weighted_pictures_come_as_often_as_their_weight_says(weights, batch):
    sampler = WeightedPictures(weights, batch, seed=0)
    drawn = [picture for found in sampler for picture in found]
    assert len(drawn) == len(sampler) * batch
    counts = Counter(drawn[: len(weights)])
    for picture, weight in enumerate(weights):
        expected = weight / sum(weights) * len(weights)
        assert np.floor(expected - 1e-6) <= counts[picture] <= np.ceil(expected + 1e-6)


def test_weights_hold_on_the_mean_of_epochs():
    sampler = WeightedPictures([0.5, 2.3, 0.2, 1.0], 2, seed=0)
    counts = Counter()
    for epoch in range(400):
        sampler.set_epoch(epoch)
        counts.update(picture for batch in sampler for picture in batch)
    assert [counts[picture] / 400 for picture in range(4)] == pytest.approx([0.5, 2.3, 0.2, 1.0], abs=0.1)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [[1.0], [2.0]]])
def test_weights_that_are_none_raise(weights):
    with pytest.raises(DataError, match="a weight for each picture"):
        WeightedPictures(weights, 2, seed=0)


def test_inverse_density_levels_the_bins():
    labels = np.concatenate([np.zeros(90), np.full(9, 5.0), np.full(1, 10.0)])
    weights = inverse_density(labels, bins=10)
    assert weights.mean() == pytest.approx(1.0)
    assert [weights[labels == value].sum() for value in (0.0, 5.0, 10.0)] == pytest.approx([100 / 3] * 3)
    assert inverse_density(labels, power=0.0).tolist() == [1.0] * 100
    half = inverse_density(labels, bins=10, power=0.5)
    assert half[-1] / half[0] == pytest.approx(np.sqrt(90))
    assert inverse_density([2.0, 2.0]).tolist() == [1.0, 1.0]


def test_outside_band_counts_more():
    weights = outside_band([0.1, 0.4, 0.6, 0.8, 0.9], 0.4, 0.8, times=3.0)
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(weights / weights[1], [3, 1, 1, 1, 3])
    below = outside_band([1200.0, 1400.0], 1300.0, float("inf"))
    assert below[0] == 2 * below[1]


@pytest.mark.parametrize("labels", [[], [1.0, float("nan")], [[1.0]]])
def test_labels_that_are_none_raise(labels):
    with pytest.raises(DataError, match="a label for each picture"):
        inverse_density(labels)
    with pytest.raises(DataError, match="a label for each picture"):
        outside_band(labels, 0.0, 1.0)


def test_rules_out_of_range_raise():
    with pytest.raises(ConfigurationError, match="one bin or more, got 0"):
        inverse_density([1.0], bins=0)
    with pytest.raises(ConfigurationError, match="low <= high"):
        outside_band([1.0], 1.0, 0.0)
    with pytest.raises(ConfigurationError, match="times above 0"):
        outside_band([1.0], 0.0, 1.0, times=0.0)


def test_scenarios_are_drawn_as_published():
    assert set(SCENARIO_SHARES) == set(SCENARIOS)
    drawn = [scenario(7, epoch, step) for epoch in range(10) for step in range(300)]
    assert drawn == [scenario(7, epoch, step) for epoch in range(10) for step in range(300)]
    shares = Counter(drawn)
    assert [shares[name] / 3000 for name in ("global", "local", "joint")] == pytest.approx([0.3, 0.3, 0.4], abs=0.03)
    assert drawn[:300] != drawn[300:600] != [scenario(8, 1, step) for step in range(300)]
