"""Partitions: the laws that all of them keep, the statistics of each, and every refusal."""

import doctest
import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from fedspike.data.partition import (
    IID,
    Centralised,
    Classes,
    Dirichlet,
    EqualDirichlet,
    Partition,
    Quantity,
    Resampled,
    Shards,
    class_counts,
    equal_dirichlet,
)
from fedspike.data.partition import partition as room
from fedspike.errors import InputError

STUDY = np.random.default_rng(1).permutation(np.repeat(np.arange(10), 6000))  # 10 x 6,000, mixed
SIGMAS = 5.0  # a bound that chance crosses less than once in a million


def balanced(classes: int, each: int) -> np.ndarray:
    return np.tile(np.arange(classes), each)


@st.composite
def labels_and_clients(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Any class numbers, unequal class sizes, shuffled, with at least 20 samples per client."""
    values = draw(st.lists(st.integers(-50, 300), min_size=1, max_size=8, unique=True))
    clients = draw(st.integers(1, 7))
    least = 20 * clients
    sizes = [draw(st.integers(least, least + 40)) for _ in values]
    labels = np.repeat(values, sizes)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels), clients


ANY_PARTITION: st.SearchStrategy[Partition] = st.one_of(
    st.just(IID()),
    st.integers(1, 8).map(Classes),
    # From alpha = 1 a client of >= 20 expected samples is rarely empty: redraws cannot run out.
    st.floats(1.0, 1e9).map(Dirichlet),
    st.floats(1.0, 1e9).map(Quantity),
    st.floats(1e-15, 1e9).map(EqualDirichlet),
    st.integers(1, 5).map(Shards),
    st.just(Centralised()),
)


def feasible(partition: Partition, labels: np.ndarray, clients: int) -> bool:
    classes = np.unique(labels).size
    match partition:
        case Centralised():
            return clients == 1
        case Classes(k):
            return k <= classes <= k * clients
        case _:
            return True


@given(ANY_PARTITION, labels_and_clients(), st.integers(-5, 2**40))
@example(Centralised(), (balanced(3, 5), 1), 0)
@settings(deadline=None)
def test_every_partition_is_disjoint_covering_ascending_and_leaves_nobody_empty(
    partition: Partition, data: tuple[np.ndarray, int], seed: int
) -> None:
    labels, clients = data
    assume(feasible(partition, labels, clients))
    before = labels.copy()
    shards = partition(labels, clients=clients, seed=seed)
    assert len(shards) == clients
    assert all(shard.dtype == np.int64 and shard.size >= 1 for shard in shards)
    assert all((np.diff(shard) > 0).all() for shard in shards)
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(labels.size))
    again = partition(labels, clients=clients, seed=seed)
    assert all(map(np.array_equal, shards, again))
    assert np.array_equal(labels, before)


@given(ANY_PARTITION, labels_and_clients())
@settings(deadline=None)
def test_only_the_order_of_the_class_numbers_matters(
    partition: Partition, data: tuple[np.ndarray, int]
) -> None:
    labels, clients = data
    assume(feasible(partition, labels, clients))
    contiguous = np.unique(labels, return_inverse=True)[1].astype(np.uint8)
    assert all(
        map(np.array_equal, partition(labels, clients, 3), partition(contiguous, clients, 3))
    )


RANDOM: list[Partition] = [
    IID(),
    Classes(3),
    Classes(10),
    Dirichlet(0.5),
    EqualDirichlet(0.5),
    Shards(2),
    Quantity(1.0),
    Resampled(20),
    Resampled(20, 0.5),
]


@pytest.mark.parametrize("partition", RANDOM, ids=str)
def test_different_seeds_give_different_partitions(partition: Partition) -> None:
    labels = balanced(10, 100)
    drawn = {tuple(map(bytes, partition(labels, clients=10, seed=seed))) for seed in range(20)}
    assert len(drawn) == 20


# ---- IID


@given(samples=st.integers(1, 500), clients=st.integers(1, 20))
def test_iid_sizes_differ_by_at_most_one(samples: int, clients: int) -> None:
    assume(clients <= samples)
    sizes = [shard.size for shard in IID()(np.zeros(samples, dtype=np.int64), clients=clients)]
    assert max(sizes) - min(sizes) <= 1


def test_iid_class_counts_are_hypergeometric() -> None:
    """600 of 6,000 drawn without replacement: mean 60, variance n p (1-p) (N-n) / (N-1)."""
    labels, seeds = balanced(10, 600), 20
    counts = np.array(
        [class_counts(labels, IID()(labels, clients=10, seed=seed), 10) for seed in range(seeds)]
    )
    variance = 600 * 0.1 * 0.9 * (6000 - 600) / (6000 - 1)
    assert abs(counts - 60).max() < 6 * math.sqrt(variance)  # 2,000 cells, so one sigma more
    # The table's margins are fixed, so 81 cells are free, and a chi-square's variance is 2 x that.
    spread = np.square(counts - 60).mean() / variance
    assert abs(spread - 1) < SIGMAS * math.sqrt(2 / (seeds * 81))


# ---- Classes


@given(data=labels_and_clients(), k=st.integers(1, 8), seed=st.integers(0, 1000))
@settings(deadline=None)
def test_exactly_k_classes_on_every_client_and_every_class_on_floor_or_ceil_clients(
    data: tuple[np.ndarray, int], k: int, seed: int
) -> None:
    labels, clients = data
    classes = np.unique(labels).size
    assume(feasible(Classes(k), labels, clients))
    contiguous = np.unique(labels, return_inverse=True)[1]
    counts = class_counts(contiguous, Classes(k)(labels, clients, seed), classes)
    holds = counts > 0
    assert (holds.sum(axis=1) == k).all()
    assert set(holds.sum(axis=0)) <= {clients * k // classes, -(-clients * k // classes)}
    for column in counts.T:
        held = column[column > 0]
        assert held.max() - held.min() <= 1


@pytest.mark.parametrize("k", range(1, 11))
@pytest.mark.parametrize("seed", range(3))
def test_the_studys_clients_hold_6000_samples_equally_of_each_class(k: int, seed: int) -> None:
    shards = Classes(k)(STUDY, seed=seed)
    counts = class_counts(STUDY, shards, 10)
    assert [shard.size for shard in shards] == [6000] * 10
    assert ((counts > 0).sum(axis=0) == k).all()
    assert set(counts[counts > 0]) <= {6000 // k, -(-6000 // k)}


@given(
    clients=st.integers(2, 4),
    k=st.integers(1, 3),
    sizes=st.lists(st.integers(4, 12), min_size=2, max_size=4),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_client_sizes_are_as_equal_as_the_holdings_allow(
    clients: int, k: int, sizes: list[int], seed: int
) -> None:
    """Against all ways of dealing the spare samples: none has a smaller sum of squared sizes."""
    assume(k <= len(sizes) <= k * clients)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    counts = class_counts(labels, Classes(k)(labels, clients, seed), len(sizes))
    ways = []
    for column, size in zip(counts.T, sizes, strict=True):
        holders = np.flatnonzero(column)
        floor, spare = np.where(column > 0, size // holders.size, 0), size % holders.size
        ways.append(
            [
                floor + np.isin(np.arange(clients), lucky)
                for lucky in itertools.combinations(holders, spare)
            ]
        )
    best = min(np.square(sum(way)).sum() for way in itertools.product(*ways))
    assert np.square(counts.sum(axis=1)).sum() == best


@pytest.mark.parametrize(("clients", "k", "classes"), [(4, 2, 4), (3, 2, 4), (3, 2, 3), (5, 1, 3)])
def test_every_balanced_assignment_is_equally_likely(clients: int, k: int, classes: int) -> None:
    """Chi-square against the full list, made by trying all; its mean is df, its variance 2 df."""
    rows = list(itertools.combinations(range(classes), k))
    allowed = {clients * k // classes, -(-clients * k // classes)}
    every = [
        table
        for table in itertools.product(rows, repeat=clients)
        if set(np.bincount(np.ravel(table), minlength=classes)) <= allowed
    ]
    labels, draws = balanced(classes, clients), 20 * len(every)
    seen: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for seed in range(draws):
        counts = class_counts(labels, Classes(k)(labels, clients, seed), classes)
        seen[tuple(tuple(np.flatnonzero(row).tolist()) for row in counts)] += 1
    assert set(seen) == set(every)
    chi_square = sum((seen[table] - 20) ** 2 / 20 for table in every)
    freedom = len(every) - 1
    assert abs(chi_square - freedom) < SIGMAS * math.sqrt(2 * freedom)


# ---- Dirichlet and Quantity


@pytest.mark.parametrize("alpha", [0.02, 0.1, 1.0, 10.0])
def test_proportions_have_the_moments_of_the_dirichlet_distribution(alpha: float) -> None:
    """E p = 1/J and E sum p^2 = (alpha + 1) / (J alpha + 1), J clients: the skew, in closed form.

    20 classes make a client with none of any so rare that redrawing does not shift the moments.
    """
    labels, clients = balanced(20, 1000), 4
    shares = np.concatenate(
        [
            class_counts(labels, Dirichlet(alpha)(labels, clients, seed), 20).T / 1000
            for seed in range(50)
        ]
    )  # [1000 draws, client]
    error = SIGMAS / math.sqrt(len(shares))
    assert (abs(shares.mean(axis=0) - 1 / clients) < error * shares.std(axis=0)).all()
    skew = np.square(shares).sum(axis=1)
    assert abs(skew.mean() - (alpha + 1) / (clients * alpha + 1)) < error * skew.std() + 1e-3


@pytest.mark.parametrize("client", [0, 2, 4])
def test_sizes_of_quantity_skew_follow_the_beta_distribution(client: int) -> None:
    """One of 5 Dirichlet(1) proportions is Beta(1, 4), P(p <= x) = 1 - (1 - x)^4 (Kolmogorov)."""
    labels, draws = np.zeros(20_000, dtype=np.int64), 400
    sizes = [Quantity(1.0)(labels, 5, seed)[client].size for seed in range(draws)]
    expected = 1 - (1 - np.sort(sizes) / labels.size) ** 4
    ranks = np.arange(draws)
    distance = max((expected - ranks / draws).max(), ((ranks + 1) / draws - expected).max())
    assert distance < 1.95 / math.sqrt(draws)  # exceeded once in 1,000


def test_quantity_skew_has_the_same_content_everywhere() -> None:
    """Class counts given a client's size are hypergeometric, as for IID."""
    labels = balanced(4, 5000)
    for seed in range(5):
        counts = class_counts(labels, Quantity(0.5)(labels, 5, seed), 4)
        sizes = counts.sum(axis=1, keepdims=True)
        variance = sizes * 0.25 * 0.75 * (20_000 - sizes) / (20_000 - 1)
        assert (abs(counts - sizes / 4) < SIGMAS * np.sqrt(variance) + 1).all()
        assert sizes.max() > 2 * sizes.min()


def test_dirichlet_tends_to_equal_parts_of_every_class() -> None:
    """At alpha = 1e9 a proportion deviates by about 3e-6: what remains is rounding."""
    counts = class_counts(STUDY, Dirichlet(1e9)(STUDY), 10)
    assert abs(counts - 600).max() <= 1


@pytest.mark.parametrize("kind", [Dirichlet, Quantity])
def test_redrawing_reaches_min_samples_and_keeps_a_draw_that_is_good_enough(
    kind: type[Dirichlet] | type[Quantity],
) -> None:
    labels = balanced(3, 200)
    redrawn = 0
    for seed in range(30):
        free, held = kind(0.5)(labels, 5, seed), kind(0.5, 30)(labels, 5, seed)
        assert min(shard.size for shard in held) >= 30
        same = all(map(np.array_equal, free, held))
        assert same == (min(shard.size for shard in free) >= 30)
        redrawn += not same
    assert redrawn >= 5  # or the law above was not put to the test


# ---- EqualDirichlet


@given(
    alpha=st.floats(1e-15, 1e9),
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    clients=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_equal_dirichlet_deals_any_data_into_sizes_within_one(
    alpha: float, sizes: list[int], clients: int, seed: int
) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    assume(clients <= labels.size)
    dealt = [len(shard) for shard in EqualDirichlet(alpha)(labels, clients, seed)]
    assert dealt == [len(shard) for shard in IID()(labels, clients, seed)]


@pytest.mark.parametrize("alpha", [0.1, 1.0])
def test_the_first_clients_have_the_moments_of_their_dirichlet_distribution(alpha: float) -> None:
    """E q = p and E sum q^2 = sum p (alpha C p + 1) / (alpha C + 1), as seen in n draws from q."""
    sizes, samples = np.array([500, 1000, 500, 2000]), 100
    labels, p = np.repeat(np.arange(4), sizes), sizes / sizes.sum()
    first = [
        class_counts(labels, EqualDirichlet(alpha)(labels, 40, seed)[:3], 4) / samples
        for seed in range(80)
    ]
    shares = np.concatenate(first)
    error = SIGMAS / math.sqrt(len(shares))
    assert (abs(shares.mean(axis=0) - p) < error * shares.std(axis=0)).all()
    square = (p * (alpha * 4 * p + 1)).sum() / (alpha * 4 + 1)
    square += (1 - square) / samples
    skew = np.square(shares).sum(axis=1)
    assert abs(skew.mean() - square) < error * skew.std()


def test_equal_dirichlet_goes_from_one_class_to_equal_parts() -> None:
    """100 clients, as in the source; the last of them hold what is left."""

    def distance(partition: Partition) -> float:
        counts = class_counts(STUDY, partition(STUDY, clients=100), 10)
        assert (counts.sum(axis=1) == 600).all()
        if partition == EqualDirichlet(1e-9):  # a client holds two only where one runs out
            assert ((counts > 0).sum(axis=1) == 1).sum() >= 90
        return float(abs(counts / 600 - 0.1).sum(axis=1).mean() / 2)

    distances = [distance(EqualDirichlet(alpha)) for alpha in (1e-9, 0.1, 1.0, 1e9)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 0.89
    assert distances[-1] < 1.5 * distance(IID())


class Fixed(np.random.Generator):
    """Draws these proportions first."""

    def dirichlet(self, concentration: np.ndarray) -> np.ndarray:  # type: ignore[override]
        """These of all four classes, others as they come."""
        every = len(concentration) == len(PROPORTIONS)
        return np.array(PROPORTIONS) if every else super().dirichlet(concentration)


PROPORTIONS = (0.7, 0.2, 0.1, 0.0)


def test_drawing_many_at_once_is_drawing_one_after_the_other() -> None:
    """The counts of 3 draws, with classes that run out: their chances by hand, and how often they come."""
    left, draws = np.array([2, 1, 1, 2]), 3000

    def chances(left: tuple[int, ...], samples: int) -> dict[tuple[int, ...], float]:
        if not samples:
            return {left: 1.0}
        total = sum(q for q, rest in zip(PROPORTIONS, left, strict=True) if rest)
        ends: dict[tuple[int, ...], float] = {}
        for k, q in enumerate(PROPORTIONS):
            if q and left[k]:
                rest = tuple(n - (i == k) for i, n in enumerate(left))
                for end, chance in chances(rest, samples - 1).items():
                    ends[end] = ends.get(end, 0.0) + chance * q / total
        return ends

    expected, generator = chances(tuple(left.tolist()), 3), Fixed(np.random.Philox(1))
    drawn = (equal_dirichlet._drawn(3, np.ones(4), left, generator) for _ in range(draws))
    seen = Counter(tuple((left - counts).tolist()) for counts in drawn)
    assert set(seen) <= set(expected)
    chi_square = sum((seen[end] - draws * p) ** 2 / (draws * p) for end, p in expected.items())
    freedom = len(expected) - 1
    assert abs(chi_square - freedom) < SIGMAS * math.sqrt(2 * freedom)


def test_where_nothing_of_its_proportions_is_left_a_client_draws_others() -> None:
    left = np.array([2, 1, 1, 60])
    drawn = equal_dirichlet._drawn(14, np.ones(4), left, Fixed(np.random.Philox(1)))
    assert drawn.tolist() == [2, 1, 1, 10]


# ---- Shards


def test_shards_as_in_the_source() -> None:
    """McMahan et al. 2017: 60,000 samples, 100 clients, 2 shards of 300 of one class each.

    The second shard of a client is of the class of its first with probability 19 / 199.
    """
    alone = []
    for seed in range(20):
        counts = class_counts(STUDY, Shards(2)(STUDY, clients=100, seed=seed), 10)
        assert (counts.sum(axis=1) == 600).all()
        assert (counts % 300 == 0).all()
        alone.append((counts == 600).sum())
    expected = 100 * 19 / 199
    standard_error = math.sqrt(expected / 20)  # about Poisson: rare and nearly independent
    assert abs(np.mean(alone) - expected) < SIGMAS * standard_error


@given(samples=st.integers(1, 300), clients=st.integers(1, 10), each=st.integers(1, 5))
def test_shards_are_runs_of_the_sorted_labels(samples: int, clients: int, each: int) -> None:
    assume(clients * each <= samples)
    labels = np.arange(samples)[::-1].copy()  # every sample its own class: a run is seen as a run
    shards = Shards(each)(labels, clients=clients)
    sizes = [shard.size for shard in shards]
    assert max(sizes) - min(sizes) <= each
    for shard in shards:
        assert np.count_nonzero(np.diff(np.sort(labels[shard])) > 1) <= each - 1


# ---- class counts


@given(data=labels_and_clients(), seed=st.integers(0, 99))
@settings(deadline=None)
def test_class_counts_is_counting(data: tuple[np.ndarray, int], seed: int) -> None:
    labels, clients = data
    labels = abs(labels).astype(np.uint64)
    shards = IID()(labels, clients, seed)[1:]  # not everything has to be held by somebody
    counts = class_counts(labels, shards, classes=301)
    for client, shard in enumerate(shards):
        assert Counter(labels[shard].tolist()) == {
            kind: count for kind, count in enumerate(counts[client].tolist()) if count
        }


# ---- what is refused


TEN = balanced(10, 10)


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        (lambda: IID()(TEN, clients=0), ["clients = 0", ">= 1"]),
        (lambda: IID()(TEN, clients=101), ["clients = 101", "100 samples", "lower clients to 100"]),
        (lambda: IID()(TEN[:0], clients=1), ["0 samples", "pass some samples"]),
        (lambda: IID()(TEN.reshape(10, 10)), ["(10, 10)", "one-dimensional", "argmax"]),
        (lambda: IID()(TEN.astype(np.float32)), ["float32", "whole numbers"]),
        (lambda: IID()(TEN > 4), ["type bool", "whole numbers"]),
        (lambda: Centralised()(TEN, clients=10), ["clients = 10", "one client", "partition IID"]),
        (lambda: Classes(0), ["classes = 0", ">= 1"]),
        (lambda: Classes(11)(TEN), ["11", "10 classes", "set classes = 10 or less"]),
        (lambda: Classes(4)(np.array([0, 5, 7] * 9)), ["3 classes", "set classes = 3"]),
        (
            lambda: Classes(3)(TEN, clients=3),
            ["some class would sit on no client", ">= 10", "classes to 4 or clients to 4"],
        ),
        (
            lambda: Classes(2)(np.array([4] + [7] * 9), clients=4),
            ["class 4 has 1 samples for 4 clients", "lower clients or classes"],
        ),
        (  # 2 of the 4 classes sit on 2 clients, 2 on one: refused whichever the seed would choose
            lambda: Classes(2)(np.array([0] + [1, 2, 3] * 5), clients=3, seed=5),
            ["class 0 has 1 samples for 2 clients"],
        ),
        (lambda: Dirichlet(0.0), ["alpha = 0.0", "> 0"]),
        (lambda: Dirichlet(-1.0), ["alpha = -1.0", "> 0"]),
        (lambda: Dirichlet(math.nan), ["alpha = nan", "> 0"]),
        (lambda: Dirichlet(math.inf), ["alpha = inf", "<= 1e+09", "partition IID"]),
        (lambda: Dirichlet(1.0, min_samples=0), ["min_samples = 0", ">= 1"]),
        (
            lambda: Dirichlet(1.0, min_samples=11)(TEN),
            ["min_samples = 11", "100 samples", "lower min_samples to 10"],
        ),
        (
            lambda: Dirichlet(1e-3)(TEN[:50], clients=20),
            ["alpha = 0.001", "1000 draws", "raise alpha", "lower clients"],
        ),
        (lambda: EqualDirichlet(0.0), ["alpha = 0.0", "> 0"]),
        (lambda: EqualDirichlet(math.nan), ["alpha = nan"]),
        (lambda: EqualDirichlet(1.0)(TEN, clients=101), ["clients = 101", "lower clients to 100"]),
        (lambda: Quantity(math.nan), ["alpha = nan"]),
        (lambda: Quantity(1.0, min_samples=0), ["min_samples = 0"]),
        (lambda: Quantity(1e-6)(TEN), ["1000 draws", "raise alpha"]),
        (lambda: Shards(0), ["shards_per_client = 0", ">= 1"]),
        (lambda: Shards(11)(TEN), ["110 shards of 100 samples", "shards_per_client to 10"]),
        (lambda: class_counts(TEN, [], classes=9), ["from 0 to 9", "largest label + 1"]),
        (lambda: class_counts(TEN - 1, [], classes=10), ["from -1 to 8", "from 0 to 9"]),
        (lambda: class_counts(TEN / 2, [], classes=10), ["float64", "whole numbers"]),
    ],
)
def test_a_users_mistake_says_what_was_passed_and_what_to_change(
    call: Callable[[], object], parts: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_the_examples_in_the_docstrings_run() -> None:
    for module in (room, equal_dirichlet):
        result = doctest.testmod(module)
        assert result.failed == 0 < result.attempted
