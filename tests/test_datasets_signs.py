"""Drawn signs: addressed, of 43 classes that differ, and never said to be photographs; vehicles on roads."""

import itertools

import numpy as np
import pytest

import fedspike as fs
from dataset_example import refusal
from fedspike.data import check
from fedspike.data.partition import class_counts, roads
from fedspike.data.signs import CLASSES, outlines, scenes
from fedspike.data.signs.faces import faces

SMALL = fs.Signs(train_samples=300, test_samples=43)
LABELS = np.arange(8600) % CLASSES


@pytest.fixture(scope="module")
def drawn() -> fs.Dataset:
    return SMALL.load()


def test_a_sample_depends_on_its_address_alone(drawn: fs.Dataset) -> None:
    more = fs.Signs(train_samples=301, test_samples=44).load()
    np.testing.assert_array_equal(more.x_train[:300], drawn.x_train)
    np.testing.assert_array_equal(more.x_test[:43], drawn.x_test)
    other = fs.Signs(train_samples=300, test_samples=43, edition=1).load()
    # Neither another edition nor the other part has a sample again.
    for one, two in ((drawn.x_train, other.x_train), (drawn.x_train[:43], drawn.x_test)):
        assert np.abs(one - two).mean(axis=(1, 2, 3)).min() > 0.02


def test_samples_are_drawn_alike_in_whatever_company(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(70) % CLASSES
    together = scenes.drawn(labels, 0, "signs-train")
    monkeypatch.setattr(scenes, "AT_ONCE", 7)
    np.testing.assert_array_equal(scenes.drawn(labels, 0, "signs-train"), together)


def test_the_data_set_is_sound_and_says_that_it_is_drawn(drawn: fs.Dataset) -> None:
    assert drawn.x_train.shape == (300, 3, 32, 32)
    assert drawn.classes == CLASSES == 43
    assert "drawn" in drawn.source
    assert "not GTSRB" in drawn.source
    facts = check(fs.Signs(train_samples=86, test_samples=43))
    assert set(facts.train.samples_per_class) == {2}
    assert facts.sha256 == check(fs.Signs(train_samples=86, test_samples=43)).sha256


def test_every_class_has_a_face_of_its_own() -> None:
    painted = faces()
    seen = painted[..., :3] * painted[..., 3:] + 0.5 * (1 - painted[..., 3:])
    distances = [np.abs(one - two).mean() for one, two in itertools.combinations(seen, 2)]
    assert len(painted) == CLASSES
    assert min(distances) > 0.004  # left and right, cars and trucks: a dozen pixels at least
    assert 0.3 < painted[..., 3].mean() < 0.8


def test_left_and_right_are_mirrors_of_each_other() -> None:
    painted = faces()
    for left, right in ((19, 20), (34, 33), (37, 36), (39, 38)):
        np.testing.assert_allclose(painted[left, :, ::-1], painted[right], atol=0.13)


def test_a_mask_covers_as_much_as_its_outline() -> None:
    circle = outlines.mask([outlines.disc(0.1, -0.2, 0.5)], side=64, reach=1.0)
    assert circle.sum() / 64**2 * 4 == pytest.approx(np.pi * 0.25, rel=0.01)
    ring = [outlines.box(-0.5, -0.5, 0.5, 0.5), outlines.box(0.0, 0.0, 0.9, 0.9)]
    together = outlines.mask(ring, side=64, reach=1.0).sum() / 64**2 * 4
    assert together == pytest.approx(
        1 + 0.81 - 0.25, rel=0.01
    )  # what two have in common counts once


def test_vehicles_meet_the_signs_of_their_place() -> None:
    shards = fs.Roads()(LABELS, clients=20, seed=3)
    np.testing.assert_array_equal(np.sort(np.concatenate(shards)), np.arange(len(LABELS)))
    assert all((np.diff(shard) > 0).all() for shard in shards)
    counts = class_counts(LABELS, shards, CLASSES)
    # Speed limits of 120 stand on motorways: there are three of twenty vehicles there.
    motorway = np.argsort(counts[:, 8])[-3:]
    assert counts[motorway, 8].sum() > 0.7 * counts[:, 8].sum()
    assert counts[motorway][:, 29].sum() < 0.1 * counts[:, 29].sum()  # no bicycles
    even = class_counts(LABELS, fs.Roads(seldom=1.0)(LABELS, clients=20), CLASSES)
    assert (even == 10).all()
    other = fs.Roads()(LABELS, clients=20, seed=4)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(shards, other, strict=True))


def test_places_are_whole_and_every_class_stands_somewhere() -> None:
    assert sum(place.vehicles for place in roads.PLACES.values()) == pytest.approx(1)
    for place in roads.PLACES.values():
        assert not set(place.often) & set(place.sometimes)
        assert {*place.often, *place.sometimes} <= set(range(CLASSES))
    met = {sign for place in roads.PLACES.values() for sign in place.often}
    assert met == set(range(CLASSES))


@pytest.mark.parametrize(
    ("labels", "clients", "words"),
    [
        (np.arange(50) % 10, 2, ["10 classes", "43 classes of traffic signs", "data.kind"]),
        (np.arange(86) % 43, 80, ["clients = 80", "meets no sign", "lower clients"]),
    ],
)
def test_what_is_no_traffic_sign_is_refused(
    labels: np.ndarray, clients: int, words: list[str]
) -> None:
    with refusal(*words):
        fs.Roads()(labels, clients=clients)
