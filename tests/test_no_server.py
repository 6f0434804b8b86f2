"""Clients without a server: the graphs, what goes over their links, and what comes of it."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedspike as fs
from dataset_example import refusal
from fedspike.algorithms import Gossip, RelaySum
from fedspike.algorithms.graphs import (
    Complete,
    Edges,
    FleetGraph,
    Graph,
    Matrix,
    RandomRegular,
    Ring,
    Torus,
    Tree,
)
from fedspike.data.partition.likeness import evenly
from fedspike.experiment import document, sweep
from fedspike.experiment.plans import toml_of
from fedspike.federation.cohort import train_cohort
from fedspike.federation.rounds import Round
from fedspike.federation.state import State
from fedspike.parts.optimisers import SGD
from fedspike.records import reader
from fedspike.report.analysis.naming import of_methods
from running import sample

GRAPHS = [
    Ring(),
    Complete(),
    Torus(),
    RandomRegular(2),
    Tree(),
    Tree(children=1),
    Tree(children=49),
]
SAMPLE = sample(tested=100)
MODEL_BYTES = 4 * (784 * 6 + 6 + 6 * 10 + 10)


def plan_of(algorithm: Any, **changes: Any) -> fs.Plan:
    usual: dict[str, Any] = {
        "network": fs.ANN(fs.FullyConnected((6,))),
        "data": SAMPLE,
        "partition": fs.Classes(3),
        "learner": fs.Backpropagation(None, SGD(0.1), batch_size=20),
        "fleet": fs.Fleet(clients=6, samples_per_round=40),
        "rounds": 3,
    }
    return fs.Plan(algorithm=algorithm, **usual | changes)


def trained(algorithm: Any, **changes: Any) -> list[Round]:
    return list(fs.rounds(plan_of(algorithm, **changes)))


def models(state: State) -> torch.Tensor:
    """[client, number], float64."""
    return torch.cat([w.flatten(1) for w in state.server["models"].values()], 1).double()


@given(st.sampled_from(GRAPHS), st.integers(3, 60), st.integers(0, 9))
def test_weights_are_symmetric_and_doubly_stochastic_and_reach_everybody(
    graph: Graph, clients: int, seed: int
) -> None:
    whole = graph.over(clients, seed)
    assert whole.pairs == graph.over(clients, seed).pairs
    W = whole.W
    assert np.array_equal(W, W.T)
    assert W.min() >= 0
    np.testing.assert_allclose(W.sum(0), 1, rtol=0, atol=1e-12)
    linked = {(i, j) for i, j in np.argwhere(np.triu(W, 1)).tolist()}
    assert linked == set(whole.pairs)
    assert np.linalg.matrix_power(W + np.eye(clients), clients).min() > 0
    tree = whole.spanning_tree()
    assert len(tree.pairs) == clients - 1
    assert {tuple(sorted(pair)) for pair in tree.pairs} <= set(whole.pairs)
    assert len(tree.parts) == 1


def test_degrees_are_those_of_the_graphs() -> None:
    degrees = {
        graph.kind: {len(own) for own in graph.over(20, 0).neighbours}
        for graph in (Ring(), Complete(), Torus(), RandomRegular(6))
    }
    assert degrees == {"ring": {2}, "complete": {19}, "torus": {4}, "random-regular": {6}}
    assert RandomRegular().links(20, 0) != RandomRegular().links(20, 1)
    assert {len(own) for own in Tree(children=19).over(20, 0).neighbours} == {1, 19}
    np.testing.assert_allclose(Complete().over(5, 0).W, 0.2, rtol=0, atol=1e-15)


def test_the_tree_of_a_ring_is_a_chain_and_that_of_a_grid_is_as_low_as_it_can_be() -> None:
    def longest(tree: FleetGraph) -> int:
        near, ways = np.eye(tree.clients) + (tree.W > 0), 1
        while not np.linalg.matrix_power(near, ways).all():
            ways += 1
        return ways

    assert longest(Ring().over(9, 0).spanning_tree()) == 8
    assert longest(Torus().over(25, 0).spanning_tree()) == 8
    chain = Tree(children=1).over(9, 0)
    assert {*map(frozenset, chain.spanning_tree().pairs)} == {*map(frozenset, chain.pairs)}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: plan_of(Gossip(graph=Edges(client=(0, 3), neighbour=(1, 4)))),
            "the graph edges in 4 parts: clients 0, 1; client 2; clients 3, 4; client 5 ... "
            "fix: link client 0 and client 2",
        ),
        (
            lambda: plan_of(Gossip(graph=Edges(client=(0,), neighbour=(6,)))),
            "the graph edges with client 6, of clients 0 to 5 ... set fleet.clients = 7",
        ),
        (lambda: Edges(client=(2,), neighbour=(2,)), "a link from client 2 to itself"),
        (lambda: Edges(client=(2,)), "client = 1 and neighbour = 0 numbers"),
        (
            lambda: Matrix(rows=((0.5, 0.5), (0.5, 0.4))),
            "row 1 sums to 0.9 ... doubly stochastic",
        ),
        (lambda: Matrix(rows=((0.5, 0.5), (1.0, 0.0))), "column 0 sums to 1.5"),
        (
            lambda: Matrix(rows=((0.5, 0.5, 0.0), (0.0, 0.5, 0.5), (0.5, 0.0, 0.5))),
            "0.5 in row 0, column 1, and 0 in row 1, column 0 ... symmetric",
        ),
        (lambda: Matrix(rows=((1.0, 0.0),)), "1 rows, and 2 numbers in row 0"),
        (lambda: Matrix(), "no rows"),
        (
            lambda: plan_of(Gossip(graph=Matrix(rows=((0.5, 0.5), (0.5, 0.5))))),
            "a mixing matrix of 2 clients, for 6 ... set fleet.clients = 2",
        ),
        (
            lambda: plan_of(Gossip(graph=Torus(rows=4))),
            "rows = 4 with 6 clients ... set rows = 2, or fleet.clients = 8",
        ),
        (
            lambda: plan_of(Gossip(graph=RandomRegular(3)), fleet=fs.Fleet(clients=7)),
            "degree = 3 with 7 clients ... set degree = 4",
        ),
        (
            lambda: plan_of(Gossip(), fleet=fs.Fleet(clients=1001)),
            "a graph over 1001 clients ... at most 1000",
        ),
        (lambda: plan_of(Gossip(), remedies=(fs.Clipping(),)), "send no update, but model"),
        (lambda: plan_of(Gossip(), remedies=(fs.HeteroFL(),)), "heterofl with gossip"),
        (lambda: Gossip().start({}), "a graph over no clients yet"),
    ],
)
def test_graphs_that_cannot_be(make: Any, words: str) -> None:
    with refusal(*words.split(" ... ")):
        make()


def test_graphs_of_files(tmp_path: Path) -> None:
    links, weights = tmp_path / "links.csv", tmp_path / "weights.csv"
    links.write_text("client,neighbour\n0,1\n\n2,1\n1,2\n")
    weights.write_text("0.5, 0.5, 0\n0.5,0.25,0.25\n0,0.25,0.75\n")
    edges, matrix = Edges(path=str(links)), Matrix(path=str(weights))
    assert edges == Edges(client=(0, 2, 1), neighbour=(1, 1, 2))
    assert edges.over(3, 0).pairs == matrix.over(3, 0).pairs == ((0, 1), (1, 2))
    assert matrix.over(3, 0).W.tolist() == [[0.5, 0.5, 0], [0.5, 0.25, 0.25], [0, 0.25, 0.75]]
    for kind, text, words in (
        (Edges, "client,neighbour\n0,x\n", "links.csv, line 2: 0,x"),
        (Edges, "0,1\n", "links.csv, line 1: 0,1"),
        (Edges, "", "links.csv, line 1: nothing"),
        (Matrix, "1,0\n0,half\n", "links.csv, line 2: 0,half"),
        (Matrix, "nan\n", "links.csv, line 1: nan"),
    ):
        links.write_text(text)
        with refusal(words):
            kind(path=str(links))
    with refusal("nowhere.csv: No such file"):
        Edges(path="nowhere.csv")


def rows_of_a_ring(n: int) -> list[list[float]]:
    return [
        [0.5 if i == j else 0.25 * ((i - j) % n in (1, n - 1)) for j in range(n)] for i in range(n)
    ]


def test_runs_over_large_graphs_of_ones_own_have_short_names_that_tell_them_apart() -> None:
    rows, ends = rows_of_a_ring(30), f"{[*range(29)]}, graph.neighbour = {[*range(1, 30)]}"
    graphs = [f'"matrix", graph.rows = {rows}', f'"edges", graph.client = {ends}']
    points = [f'{{algorithm.kind = "gossip", graph.kind = {graph}}}' for graph in graphs]
    options = ["network=ann", "fleet.clients=30", f"sweep.together=[{', '.join(points)}]"]
    runs = sweep.read("quickstart", options).runs
    assert len({run.name for run in runs}) == len(runs) == 4
    assert max(len(run.name) for run in runs) < 130
    methods = [{"algorithm.kind": "gossip", "graph": toml_of(run.plan)["graph"]} for run in runs]
    assert all(len(name) < 120 for name in of_methods(methods))


def test_a_large_matrix_is_read_back_from_a_runs_own_settings(tmp_path: Path) -> None:
    weights, settings = tmp_path / "weights.csv", tmp_path / "config.toml"
    weights.write_text("\n".join(",".join(map(str, row)) for row in rows_of_a_ring(90)))
    options = ["network=ann", "partition.kind=iid", "algorithm.kind=gossip", "graph.kind=matrix"]
    options += [f"graph.path={weights}", "fleet.clients=90"]
    [run] = sweep.read("quickstart", options).runs
    settings.write_text(tomli_w.dumps(toml_of(run.plan)))
    assert document.read(settings).values == toml_of(run.plan)  # or it would not be resumed
    [again] = sweep.read(str(settings)).runs
    assert again.settings_sha256 == run.settings_sha256


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gossip_is_its_equation(dropout: float) -> None:
    """Over each round: x <- W x of what the clients trained, twice, by a loop over clients and neighbours."""
    fleet = fs.Fleet(clients=6, samples_per_round=40, dropout=dropout)
    plan = plan_of(Gossip(graph=Torus(rows=2), mixings=2), fleet=fleet, rounds=4)
    rounds = list(fs.rounds(plan))
    W = Torus(rows=2).over(6, 0).W
    for before, after in pairwise(rounds):
        alone = plan_of(fs.LocalOnly(), fleet=fleet, rounds=after.number)
        x = models(before.state)
        for client in after.clients:
            x[client] = _trained_alone(alone, before.state, client, after.number)
        there = set(after.clients)
        for _ in range(2):
            mixed = x.clone()
            for i in there:
                others = [j for j in there if j != i and W[i, j]]
                mixed[i] = (1 - sum(W[i, j] for j in others)) * x[i]
                mixed[i] += sum(W[i, j] * x[j] for j in others)
            x = mixed
        torch.testing.assert_close(models(after.state), x, rtol=0, atol=1e-6)
        away = [k for k in range(6) if k not in there]
        assert torch.equal(models(after.state)[away], models(before.state)[away])
    assert bool(dropout) == any(len(round.clients) < 6 for round in rounds)


def _trained_alone(plan: fs.Plan, state: State, client: int, number: int) -> torch.Tensor:
    """What a client makes of its model in a round, with nobody else."""
    received = {"model": {n: w[client] for n, w in state.server["models"].items()}}
    memory = {client: {"own": received["model"]}}
    work = train_cohort(plan.site(), [client], {client: received}, memory, number)
    own = work.memories[client]["own"]
    return torch.cat([own[name].flatten() for name in received["model"]]).double()


def relayed(there: list[set[int]]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """RelaySum on a tree of 7 over rounds with these clients there: trained models, and what came of them."""
    algorithm = RelaySum(graph=Tree()).among(7, 0)
    generator = torch.Generator().manual_seed(1)
    server = algorithm.start({"w": torch.randn(3, generator=generator, dtype=torch.float64)})
    before, after = [], []
    for present in there:
        x = torch.randn(7, 3, generator=generator, dtype=torch.float64)
        for client in set(range(7)) - present:
            x[client] = server["models"]["w"][client]
        came = x.clone()
        came[[k for k in range(7) if k not in present]] = torch.nan
        server = algorithm.next_state(server, {"model": {"w": came}}, 1.0)
        before.append(x)
        after.append(server["models"]["w"])
    return before, after


def test_relay_sum_is_the_mean_of_everybodys_model_as_old_as_it_is_far() -> None:
    """x_i = mean over j of x_j of so many rounds ago as there are clients between them; else its own."""
    before, after = relayed([set(range(7))] * 6)
    tree = Tree().over(7, 0)
    near = np.eye(7) + (tree.W > 0)
    far = sum((np.linalg.matrix_power(near, ways) == 0).astype(int) for ways in range(6))
    for t, means in enumerate(after):
        for i in range(7):
            own = before[t][i]
            late = [(j, t - max(0, far[i, j] - 1)) for j in range(7)]
            mean = sum(before[s][j] if s >= 0 else own for j, s in late) / 7
            torch.testing.assert_close(means[i], mean, rtol=0, atol=1e-12)


def test_relay_sum_relays_what_came_and_no_more() -> None:
    """By messages, one after the other, as its authors' code does it, with clients that are away."""
    there = [{0, 1, 2, 4, 5}, {0, 1, 2, 3, 4, 5, 6}, {1, 3, 4, 6}, set(range(7)), set(range(7))]
    before, after = relayed(there)
    near = Tree().over(7, 0).neighbours
    messages = {(i, j): torch.zeros(3).double() for i in range(7) for j in near[i]}
    counts = dict.fromkeys(messages, 0)
    for present, x, means in zip(there, before, after, strict=True):
        sums = {
            (i, j): (
                x[i] + sum(messages[k, i] for k in near[i] if k != j),
                1 + sum(counts[k, i] for k in near[i] if k != j),
            )
            for i, j in messages
        }
        for link, (m, c) in sums.items():
            goes = present.issuperset(link)
            messages[link], counts[link] = (m, c) if goes else (torch.zeros(3).double(), 0)
        for i in range(7):
            heard = sum(counts[k, i] for k in near[i])
            mean = ((7 - heard) * x[i] + sum(messages[k, i] for k in near[i])) / 7
            torch.testing.assert_close(means[i], mean, rtol=0, atol=1e-12)


def test_relay_sum_sends_a_sum_and_a_count_over_each_link_of_a_tree() -> None:
    for graph in (Ring(), Torus(), Tree(children=5)):
        for round in trained(RelaySum(graph=graph), rounds=2):
            assert round.uplink_bytes == round.downlink_bytes == 2 * 5 * (MODEL_BYTES + 4)


def test_on_a_complete_graph_it_is_fedavg_with_equal_weights() -> None:
    fleet = fs.Fleet(clients=5, samples_per_round=40)
    mean = fs.FedAvg(rule=fs.Mean(by="clients"))
    ours, theirs = (
        list(fs.rounds(plan_of(one, fleet=fleet), dtype=torch.float64))[-1].state
        for one in (Gossip(graph=Complete()), mean)
    )
    for name, weight in theirs.model.items():
        torch.testing.assert_close(ours.model[name], weight, rtol=0, atol=1e-12)
        for own in ours.server["models"][name]:
            torch.testing.assert_close(own, weight, rtol=0, atol=1e-12)


def test_bytes_are_a_model_each_way_over_each_link_between_those_who_are_there() -> None:
    fleet = fs.Fleet(clients=6, samples_per_round=40, dropout=0.3)
    for graph, mixings in ((Ring(), 1), (Torus(), 1), (Complete(), 3)):
        rounds = trained(Gossip(graph=graph, mixings=mixings), fleet=fleet)
        assert len({round.clients for round in rounds}) > 1
        for round in rounds:
            links = sum({*link} <= {*round.clients} for link in graph.links(6, 0))
            assert round.uplink_bytes == round.downlink_bytes == 2 * mixings * links * MODEL_BYTES
            assert round.unpacked_bytes == round.uplink_bytes


def test_the_simulated_time_is_that_of_the_links() -> None:
    clock = fs.ByOperations(uplink_kbps=100.0, downlink_kbps=400.0)
    fleet = fs.Fleet(clients=6, samples_per_round=40, clock=clock)
    (round,) = trained(Gossip(graph=Tree(children=5)), fleet=fleet, rounds=1)
    for client, links in ((0, 5), (3, 1)):
        assert round.spent[client].upload_s == pytest.approx(links * 8 * MODEL_BYTES / 1e5)
        assert round.spent[client].download_s == pytest.approx(links * 8 * MODEL_BYTES / 4e5)


def test_the_model_for_whoever_asks_is_the_mean_and_the_distance_is_from_it() -> None:
    for round in trained(Gossip()):
        x = models(round.state)
        mean = torch.cat([w.flatten() for w in round.state.model.values()])
        torch.testing.assert_close(x.mean(0), mean.double(), rtol=0, atol=1e-7)
        apart = (x - x.mean(0)).square().sum(1).mean().sqrt()
        assert round.consensus_distance == pytest.approx(float(apart), rel=1e-6)
        assert apart > 0.01
    assert trained(fs.FedAvg(), rounds=1)[0].consensus_distance is None


def test_samples_are_dealt_evenly_and_each_is_tested_by_its_clients_model() -> None:
    """Of one class each, whose clients hardly mix: a tenth, though each is always right on its own class."""
    clients = evenly(100, range(10), seed=3)
    assert np.bincount(clients).tolist() == [10] * 10
    assert not np.array_equal(clients, evenly(100, range(10), seed=4))
    alone = Matrix(rows=tuple(tuple(row) for row in (np.eye(10) * 0.98 + 0.002).tolist()))
    settings: dict[str, Any] = {
        "partition": fs.Classes(1),
        "fleet": fs.Fleet(clients=10, samples_per_round=40),
    }
    (round,) = trained(Gossip(graph=alone), **settings, rounds=1)
    assert round.accuracy < 0.3
    assert round.tested.samples == 100
    own = trained(fs.LocalOnly(), **settings, rounds=1)[-1]
    assert own.accuracy > 0.9


def test_the_record_says_how_far_apart_the_models_are(tmp_path: Path) -> None:
    summary = fs.run(plan_of(Gossip(graph=Torus()), rounds=2), tmp_path / "run")
    (folder,) = (path.parent for path in (tmp_path / "run").rglob("rounds.jsonl"))
    distances = [round.consensus_distance for round in reader.rounds(folder)]
    assert distances == [
        round.consensus_distance for round in trained(Gossip(graph=Torus()), rounds=2)
    ]
    assert summary.uplink_bytes_per_round == 2 * 9 * MODEL_BYTES
