"""Simulated time: from what clients do and send to a round's duration, and to what is recorded of it."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedspike as fs
from fedspike.energy.account import Work, bills, until, work
from fedspike.energy.bill import highest_level
from fedspike.energy.counts import DONE, count, entries
from fedspike.energy.levels import Level
from fedspike.energy.profiles import Profile, shipped
from fedspike.energy.spending import spent_mj
from fedspike.errors import InputError
from fedspike.federation.clocks.clock import Effort, Spent
from fedspike.federation.rounds import Round
from fedspike.federation.state import State
from fedspike.randomness import stream
from fedspike.records import joined, reader
from fedspike.report.analysis.course import course
from fedspike.report.analysis.results import Results
from fedspike.report.figures import accuracy_spent
from running import finish

CLOCK = fs.ByOperations(operations_per_second=1e6, straggling=0.2)


def play(algorithm: Any = None, rounds: int = 3, **fleet: Any) -> list[Round]:
    return list(fs.rounds(plan(algorithm, rounds, **fleet)))


def plan(algorithm: Any = None, rounds: int = 3, **fleet: Any) -> fs.Plan:
    settings = {"clients": 6, "samples_per_round": 16, "speed_spread": 0.7, "clock": CLOCK}
    return fs.Plan(
        network=fs.SNN(3, fs.FullyConnected((4,))),
        data=fs.load_data("fashion-mnist-sample"),
        fleet=fs.Fleet(**settings | fleet),
        learner=fs.Backpropagation(batch_size=8),
        algorithm=algorithm or fs.FedAvg(),
        rounds=rounds,
    )


def total(round: Round) -> dict[int, float]:
    return {client: own.total_s for client, own in round.spent.items()}


def test_seconds_are_bits_by_rate_and_operations_by_speed() -> None:
    clock = fs.ByOperations(operations_per_second=100, downlink_kbps=2, uplink_kbps=0.5)
    effort = Effort(operations=300, downlink_bytes=1000, uplink_bytes=250, slowness=1.5)
    faint = Effort(300, 1000, 250, slowness=1.5, radio_slowness=2.0)
    assert clock.spent(faint, stream(0, "straggling")) == Spent(8.0, 4.5, 8.0)
    assert clock.spent(effort, stream(0, "straggling")) == Spent(4.0, 4.5, 4.0)
    slow = fs.ByOperations(straggling=0.5)
    often = [
        slow.spent(Effort(64 * 10**6, 0, 0, 1.0), stream(n, "x")).training_s for n in range(2000)
    ]
    assert min(often) > 1
    assert np.mean(often) == pytest.approx(1.5, abs=4 * 0.5 / np.sqrt(2000))


def test_a_round_lasts_until_its_last_answer_or_until_enough() -> None:
    for round in play():
        assert round.duration_s == max(total(round).values())
    for round in play(clients_per_round=3, over_selection=2.0):
        assert len(round.clients) == 6
        refused = {rejection.sender for rejection in round.rejections}
        first = sorted(total(round), key=total(round).__getitem__)[:3]
        assert refused == set(range(6)) - set(first)
        assert round.duration_s == sorted(total(round).values())[2]


def test_who_is_later_than_the_deadline_is_dropped() -> None:
    (whole,) = play(rounds=1)
    ordered = sorted(total(whole).items(), key=lambda item: item[1])
    deadline = (ordered[3][1] + ordered[4][1]) / 2
    (short,) = play(rounds=1, deadline_s=deadline)
    late = {client for client, _ in ordered[4:]}
    assert {(r.sender, r.reason) for r in short.rejections} == {(k, "too late") for k in late}
    assert short.duration_s == deadline
    assert short.spent == whole.spent  # they did their work all the same
    (patient,) = play(rounds=1, deadline_s=ordered[-1][1])
    assert not patient.rejections
    one, other = patient.state.tensors(), whole.state.tensors()
    assert all(torch.equal(one[name], other[name]) for name in one)
    (gone,) = play(rounds=1, deadline_s=1e4, dropout=0.5)
    assert gone.missing
    assert gone.duration_s == 1e4


def test_late_answers_come_when_their_time_is_over() -> None:
    """Of FedBuff: the durations from the order of a client to its answer are its seconds."""
    rounds = play(fs.FedBuff(buffer=2), rounds=6)
    durations = [round.duration_s or 0.0 for round in rounds]
    ages = set()
    for round in rounds:
        for client, seconds in total(round).items():
            ages.add(age := round.staleness.get(client, 0))
            waited = durations[round.number - 1 - age : round.number]
            assert sum(waited[:-1]) - 1e-9 < seconds <= sum(waited) + 1e-9
    assert ages > {0}


@pytest.mark.parametrize("algorithm", [fs.FedAvg(), fs.FedBuff(buffer=2)], ids=["all", "buffer"])
def test_a_run_goes_on_at_its_hour_bit_for_bit(algorithm: Any) -> None:
    daily = {"availability": fs.Daily(), "clients_per_round": 4}
    whole = play(algorithm, 4, **daily)
    stored = State.from_tensors(2, whole[1].state.tensors())
    assert stored.clock_s == whole[1].state.clock_s > 0
    later = list(fs.rounds(plan(algorithm, 4, **daily), state=stored))
    for a, b in zip(whole[2:], later, strict=True):
        assert (a.clients, a.spent, a.duration_s) == (b.clients, b.spent, b.duration_s)
        one, other = a.state.tensors(), b.state.tensors()
        assert all(torch.equal(one[name], other[name]) for name in one)


FILE = """\
name = "timed"
rounds = 3
[data]
kind = "fashion-mnist-sample"
[fleet]
clients = 3
samples_per_round = 20
speed_spread = 0.5
radio_spread = 0.8
[clock]
kind = "by-operations"
operations_per_second = 1e6
uplink_kbps = 40
[architecture]
hidden = [4]
[snn]
time_steps = 3
[sweep]
network = ["ann", "snn"]
"""


def test_time_bytes_and_joules_are_those_of_the_round_records(tmp_path: Path) -> None:
    folder = finish(FILE, tmp_path / "timed")
    seconds = {}
    for run in reader.read(folder).runs:
        records, network = reader.rounds(folder / run.name), run.network_operations
        plan = fs.Fleet(3, speed_spread=0.5)
        whole = work(network, records)
        for record in records:
            assert record.duration_s == max(own.total_s for own in record.spent.values())
            for client, own in record.spent.items():
                done = entries(count(network, record.activity[client]))
                z = stream(0, "speed", client=client).standard_normal()
                number = sum(n for _, _, kind, n in done if kind in DONE)
                assert own.training_s == number / 1e6 * np.exp(plan.speed_spread * z)
                r = np.exp(0.8 * stream(0, "radio", client=client).standard_normal())
                assert own.upload_s == 8 * r * (record.uplink_bytes // 3) / 40e3
                assert own.download_s == 8 * r * (record.downlink_bytes // 3) / 1e6
        totals = list(itertools.accumulate(record.duration_s or 0.0 for record in records))
        assert run.simulated_s == totals[-1]
        assert run.uplink_bytes_per_round * run.rounds == sum(r.uplink_bytes for r in records)
        exchanged = whole.training()
        assert run.counts["exchange"] == exchanged["exchange"]
        assert all(run.counts[phase] == exchanged[phase] for phase in exchanged)
        seconds[run.network] = sum(own.training_s for r in records for own in r.spent.values())
        for name, profile in shipped().items():
            level = highest_level(profile)
            spent, bill = (
                spent_mj(course(network, records).works, profile, level),
                run.bill[name][level],
            )
            assert (spent is None) == (not bill.is_comparable)
            if spent is not None:
                assert spent[-1] == bill.run.nominal_mj
                assert spent[1] == _billed(until(records, 2, network), profile, level)
                assert sorted(spent) == spent
    assert seconds["ann"] != seconds["snn"]


def test_the_lines_of_the_figure_end_where_the_summaries_do(tmp_path: Path) -> None:
    results = Results(*joined.read([finish(FILE, tmp_path / "timed")]))
    spent = accuracy_spent.spent(results)
    assert spent is not None
    runs = {run.network.upper(): run for run in results.runs}
    amounts = {
        "simulated time": lambda run: run.simulated_s,
        "bytes": lambda run: (
            run.rounds * (run.uplink_bytes_per_round + run.downlink_bytes_per_round)
        ),
        "energy": lambda run: run.bill[results.profile]["training"].run.nominal_mj / 1000,
    }
    assert [(one.label, one.axis.name) for one in spent.panels] == [
        ("IID", name) for name in amounts
    ]
    for panel in spent.panels:
        assert {line.name for line in panel.lines} == {"ANN", "SNN"}
        for line in panel.lines:
            run, last = runs[line.name], line.points[-1]
            assert last["amount"] == amounts[panel.axis.name](run)
            assert [point["mean"] / 100 for point in line.points] == pytest.approx(run.accuracy)


def _billed(work: Work | None, profile: Profile, level: Level) -> float:
    """Millijoule of all of it."""
    assert work is not None
    return bills(work, None, [profile], ())[profile.name][level].run.nominal_mj


def test_without_a_clock_nothing_is_said_of_time() -> None:
    (round,) = play(rounds=1, clock=fs.Untimed())
    assert (round.duration_s, round.spent, round.state.clock_s) == (None, {}, 0.0)
    assert "clock" not in round.state.tensors()


@pytest.mark.parametrize("algorithm", [fs.FedAvg(), fs.FedBuff(buffer=1)], ids=["all", "buffer"])
def test_a_round_for_which_nobody_is_there_takes_time(algorithm: Any) -> None:
    """So that somebody is there at last: client 4 in the third hour of every four."""
    trace = fs.Trace(client=(4, 4), first=(3, 3), last=(3, 4), unit="hours")
    played = play(algorithm, rounds=4, availability=trace)
    assert [(round.clients, round.duration_s) for round in played[:2]] == [((), 3600.0)] * 2
    assert [list(round.spent) for round in played[2:]] == [[4], [4]]


def test_a_trace_in_hours_is_stored_with_its_empty_rounds(tmp_path: Path) -> None:
    hours = 'kind = "trace"\nclient = [1]\nfirst = [3]\nlast = [9]\nunit = "hours"'
    folder = finish(FILE + f"[availability]\n{hours}\n", tmp_path / "timed")
    for run in reader.read(folder).runs:
        records = reader.rounds(folder / run.name)
        assert [list(record.spent) for record in records] == [[], [], [1]]
        assert [record.duration_s for record in records[:2]] == [3600.0, 3600.0]


def test_deadlines_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"deadline_s = 3\.0 of rounds that take no time"):
        fs.Fleet(deadline_s=3.0)
    with pytest.raises(InputError, match=r"fedbuff with deadline_s = 3\.0"):
        plan(fs.FedBuff(buffer=2), deadline_s=3.0)
