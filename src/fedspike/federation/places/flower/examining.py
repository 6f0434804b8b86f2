"""Test samples for models that never leave their devices: what a server asks of nodes, and what they answer.

    server -> node    what each of its clients would receive now, and the client's test samples
    node -> server    the class that the client's own model gives each sample, and what was done for it

A node has no test samples of its own, and needs none: those of a client follow from how many samples of each
class it has in training, which the server knows. So the accuracy is a simulation's, to the sample, whoever
dealt the training samples. Labels stay at the server, which counts what is right.
"""

import math
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from flwr.app import MessageType, RecordDict
from jaxtyping import Int64
from torch import Tensor

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import count_bytes
from fedspike.errors import InputError
from fedspike.federation.evaluation import Examined, predict
from fedspike.federation.guard import form_fault
from fedspike.federation.order import Exam, Told
from fedspike.federation.places.flower import memory
from fedspike.federation.places.flower.claims import demand_tested
from fedspike.federation.places.flower.exchange import POLL_S, Answer, Post, in_words
from fedspike.federation.places.flower.hosted import Hosted
from fedspike.federation.places.flower.messages import (
    BESIDE_NUMBERS,
    SAME_VERSION,
    ExamReport,
    ExamTask,
    for_all,
    for_each,
    pack,
    tree_of,
    unpack,
)
from fedspike.federation.places.flower.nodes import NO_LONGER, Nodes
from fedspike.federation.sent_plan import from_plain, plain, print_of
from fedspike.layers.activity import Activity
from fedspike.randomness import stream

TEST, PIXELS, CLASS = "test", "pixels", "class"  # a group, and its tensor there and back
SILENT, AWAY = "no answer before the deadline", "it is not there"


def perform(task: ExamTask, content: RecordDict, hosted: Hosted, folder: Path) -> RecordDict:
    """What a node does; memories lie in `folder`. Raises InputError where the task is none for this node."""
    clients = tuple(task.remembered)
    hosted.demand_here(clients, task.samples, task.first)
    site = from_plain(task.plan, hosted.data, hosted.partition).site()
    server = site.algorithm.start(site.network.init(stream(site.seed, "init")))
    forms: dict[int, Tree] = {
        k: {
            **site.algorithm.order(server, k),
            TEST: {PIXELS: torch.empty(task.samples[k], math.prod(task.shape), device="meta")},
        }
        for k in clients
    }
    expected = "what the plan's algorithm sends its clients, and test samples"
    told: dict[int, Tree] = {}
    activity: dict[int, Activity] = {}
    for client, tree in for_each(content, forms, "an exam", expected).items():
        pixels = tree.pop(TEST)[PIXELS]
        remembered = memory.read(folder / print_of(task.plan), client, task.remembered[client])
        own = partial(site.algorithm.own, tree, remembered)
        model = Examined(
            site.network_of(client), own, torch.arange(len(pixels)), task.first[client]
        )
        nobody_s = torch.zeros(len(pixels), dtype=torch.int64)  # labels, which decide no class
        classes, activity[client] = predict([model], (pixels, nobody_s), site.seed, task.round)
        told[client] = {TEST: {CLASS: classes}}
    return pack(ExamReport(task.round, activity), apart(told))


def apart(trees: Mapping[int, Tree]) -> Tree:
    """Each client's groups under its number, "3/test", also where clients have the same."""
    return {f"{k}/{group}": own for k, tree in trees.items() for group, own in tree.items()}


def ask(nodes: Nodes, exam: Exam, within_s: float) -> Told:
    """What the nodes of an exam's clients answer within so many seconds, as far as it can be."""
    until, hosts = time.monotonic() + within_s, nodes.hosting(exam.received)
    while not hosts and time.monotonic() < until:
        time.sleep(POLL_S)
        hosts = nodes.hosting(exam.received)
    post, classes = Post(nodes.grid), dict[int, Int64[Tensor, " _sample"]]()
    activity: dict[int, Activity] = {}
    absent = {nodes.hosts[k] for k in exam.received if k in nodes.hosts} - hosts.keys()
    faults = dict.fromkeys(absent, AWAY) | dict.fromkeys(hosts, SILENT)
    messages = {node: _task(nodes, exam, clients) for node, clients in hosts.items()}
    post.send(messages, MessageType.EVALUATE, exam.round, within_s)
    while post.waiting and time.monotonic() < until:
        answers = post.fetch()
        revoked = nodes.revoked(answer.node for answer in answers) if answers else ()
        for answer in answers:
            faults[answer.node] = answer.error
            if answer.node in revoked:
                faults[answer.node] = NO_LONGER
            elif answer.content is not None:
                try:
                    told = _read(exam, hosts[answer.node], answer)
                except Exception as error:  # whatever a node sends, it is the node that did it
                    faults[answer.node] = in_words(error)
                else:
                    classes |= told.predicted
                    activity |= told.activity
                    del faults[answer.node]
        if not answers:
            time.sleep(POLL_S)
    return Told(classes, activity, tuple(_entry(nodes.name(n), why) for n, why in faults.items()))


def _task(nodes: Nodes, exam: Exam, clients: list[int]) -> RecordDict:
    task = ExamTask(
        *(plain(exam.plan), nodes.classes, nodes.shape, exam.round),
        {k: exam.remembered[k] for k in clients},
        {k: len(exam.pixels[k]) for k in clients},
        {k: exam.first[k] for k in clients},
    )
    trees = apart({k: {TEST: {PIXELS: exam.pixels[k]}} for k in clients})
    return pack(task, for_all({k: exam.received[k] for k in clients}) | trees)


def _read(exam: Exam, clients: list[int], answer: Answer) -> Told:
    """Raises InputError for what cannot have been found."""
    assert answer.content is not None
    report = unpack(answer.content, ExamReport)
    samples = {client: len(exam.pixels[client]) for client in clients}
    demand_tested(report, samples, exam)
    forms: Tree = apart(
        {k: {TEST: {CLASS: torch.empty(n, dtype=torch.int64)}} for k, n in samples.items()}
    )
    tree = tree_of(answer.content, count_bytes(forms) + BESIDE_NUMBERS * len(clients))
    classes = exam.site.network.architecture.layers[-1]
    fault = form_fault(forms, tree)
    predicted = {} if fault else {k: tree[f"{k}/{TEST}"][CLASS] for k in clients}
    if fault or not all(
        0 <= int(own.min()) <= int(own.max()) < classes for own in predicted.values()
    ):
        raise InputError(
            f"an answer to an exam with {fault[1] if fault else 'classes that are none'}",
            expected=f"a class from 0 to {classes - 1} for each sample",
            fix=SAME_VERSION,
        )
    return Told(predicted, report.activity)


def _entry(node: str, why: str) -> dict[str, object]:
    """That of a round's ledger."""
    words = f"its clients' own models are not tested: {why}"
    return {"node": node, "clients": [], "downlink_bytes": 0, "error": words}
