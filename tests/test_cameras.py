"""The cameras of the clients: what they do, that it hangs on seed and client alone, and every refusal."""

import math

import numpy as np
import pytest
from msgspec.structs import replace
from scipy.ndimage import rotate

import fedspike as fs
from fedspike.data.disturbances import rotated
from fedspike.errors import InputError
from fedspike.experiment import sweep
from fedspike.experiment.plans import toml_of
from fedspike.federation.devices import Given, Held
from fedspike.federation.sent_plan import from_plain, plain
from running import sample

IMAGES = np.random.default_rng(0).random((6, 9, 9), np.float32)
ALL = fs.Cameras(noise=0.2, rotation=30, blur=0.7, contrast=0.5)
PLAN = fs.Plan(
    network=fs.ANN(fs.FullyConnected((6,))),
    data=sample(tested=37),
    fleet=fs.Fleet(clients=4),
    rounds=1,
    cameras=ALL,
)


@pytest.mark.parametrize("degrees", [-180.0, -37.5, 0.0, 1e-3, 12.0, 90.0, 180.0])
def test_turned_as_scipy_turns(degrees: float) -> None:
    expected = rotate(IMAGES, degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")
    assert rotated(IMAGES, degrees) == pytest.approx(expected, abs=1e-4)
    colours = IMAGES.reshape(2, 3, 9, 9)
    assert (rotated(colours, degrees).reshape(6, 9, 9) == rotated(IMAGES, degrees)).all()


def test_what_a_client_sees_hangs_on_seed_and_client_alone() -> None:
    shards = {0: np.array([1, 4]), 2: np.array([0, 3, 5])}
    seen = ALL.seen(IMAGES, shards, clients=4, seed=7)
    assert (seen[2] == IMAGES[2]).all()  # nobody's here
    assert seen.dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1
    for client, shard in shards.items():
        alone = ALL.seen(IMAGES[shard], {client: np.arange(len(shard))}, clients=4, seed=7)
        assert (alone == seen[shard]).all()
        fewer = ALL.seen(IMAGES, {client: shard[:1]}, clients=4, seed=7)
        assert (fewer[shard[0]] == seen[shard[0]]).all()
        other = ALL.seen(IMAGES, {client: shard}, clients=4, seed=8)
        assert (other[shard] != seen[shard]).any()
    assert (fs.Cameras().seen(IMAGES, shards, clients=4, seed=7) == IMAGES).all()


def test_noise_grows_with_the_clients_number() -> None:
    grey = np.full((40, 20, 20), 0.5, np.float32)
    shards = {k: np.arange(10 * k, 10 * k + 10) for k in range(4)}
    seen = fs.Cameras(noise=0.1).seen(grey, shards, clients=4, seed=0)
    for client, shard in shards.items():  # 4,000 numbers: a deviation is known to 1.1 %
        assert (seen[shard] - 0.5).std() == pytest.approx(0.1 * (client + 1) / 4, rel=0.06)


def test_contrast_keeps_the_mean_and_shrinks_the_rest_alike() -> None:
    seen = fs.Cameras(contrast=0.5).seen(IMAGES, {3: np.arange(6)}, clients=4, seed=0)
    own, before = seen.reshape(6, -1), IMAGES.reshape(6, -1)
    assert own.mean(1) == pytest.approx(before.mean(1), abs=1e-6)
    factors = own.std(1) / before.std(1)
    assert 0.5 <= factors.min() < 1
    assert factors == pytest.approx(factors[0], rel=1e-4)


def test_networks_see_the_same_and_nodes_what_the_simulation_shows() -> None:
    site = PLAN.site()
    x, _ = site.samples
    spiking = replace(PLAN, network=fs.SNN(2), seed=3, partition_seed=0).site()
    assert (spiking.samples[0] == x).all()
    clean = replace(PLAN, cameras=None).site().samples[0]
    assert ((x != clean).sum(1) > 0).all()
    for own in ((1, 3), (2,)):  # what two nodes hold, in files of their own
        held = np.concatenate([site.devices.shards[k] for k in own])
        data, first, shards = PLAN.data, 0, [np.zeros(1, np.int64)] * 4
        for client in own:
            size = len(site.devices.shards[client])
            shards[client] = np.arange(first, first + size)
            first += size
        here = fs.Dataset(
            *("node", data.x_train[held], data.y_train[held], data.x_test, data.y_test),
            *(data.classes, "node", {}),
        )
        node = from_plain(plain(PLAN), here, Given(tuple(shards), own=own)).site()
        assert (node.samples[0] == x[held]).all()
    counts = tuple(map(tuple, PLAN.class_counts()))
    server = replace(PLAN, partition=Held(counts)).site()
    assert (server.samples[0] == clean).all()  # it trains nobody


def test_a_file_says_it_and_one_without_it_is_as_before() -> None:
    options = ["network=ann", "partition.kind=iid"]
    [before] = sweep.read("quickstart", options).runs
    assert "cameras" not in toml_of(before.plan)
    noisy, turned = sweep.read(
        "quickstart", [*options, "cameras.noise=0.1", "sweep.cameras.rotation=[0, 45]"]
    ).runs
    assert (noisy.plan.cameras, turned.plan.cameras) == (
        fs.Cameras(noise=0.1),
        fs.Cameras(noise=0.1, rotation=45),
    )
    assert turned.name == "ann-iid-rotation45-seed0"
    assert toml_of(turned.plan)["cameras"] == {
        **{"noise": 0.1, "rotation": 45.0, "blur": 0.0, "contrast": 0.0}
    }


@pytest.mark.parametrize("key", ["noise", "rotation", "blur", "contrast"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, "much"])
def test_bad_amounts_are_refused(key: str, value: object) -> None:
    with pytest.raises(InputError, match=f"Cameras: {key} = "):
        fs.Cameras(**{key: value})


def test_what_is_no_image_can_have_noise_alone() -> None:
    rows = fs.Dataset(
        "rows", IMAGES[:, 0], np.arange(6) % 2, IMAGES[:, 1], np.arange(6) % 2, 2, "rows", {}
    )
    for key in ("rotation", "blur", "contrast"):
        with pytest.raises(InputError, match=rf"cameras.{key} = 0.5 over samples of shape \(9,\)"):
            replace(PLAN, data=rows, cameras=fs.Cameras(**{key: 0.5})).site()
    seen = replace(PLAN, data=rows, cameras=fs.Cameras(noise=0.5)).site().samples[0]
    assert (seen.numpy() != rows.x_train).any(1).all()


def test_a_sample_of_two_clients_cannot_be_seen_in_two_ways() -> None:
    shared = Given((np.arange(5), np.arange(4, 9), np.arange(9, 12), np.arange(12, 15)))
    with pytest.raises(InputError, match="clients share samples"):
        replace(PLAN, partition=shared).site()
