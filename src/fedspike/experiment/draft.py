"""A first file of an experiment, from a few answers, with a comment for each key."""

import json
import re
from pathlib import Path
from typing import NamedTuple

from fedspike.data import NPZ, SOURCES, FashionMNISTSample
from fedspike.data.partition import IID, Classes, Dirichlet
from fedspike.errors import InputError
from fedspike.experiment import document, sweep
from fedspike.networks import ANN, NETWORKS, SNN
from fedspike.part import tag
from fedspike.reading import nearest
from fedspike.shell import command

SUFFIX = ".npz"
EVEN, BOTH = "even", "both"
USUAL_DATA = tag(FashionMNISTSample)
NETWORK_NAMES = (BOTH, tag(SNN), tag(ANN))
HOW = "the same on every device"


class Answers(NamedTuple):
    """What somebody has, as typed: `skew` is even, classes of each device, or Dirichlet's alpha."""

    data: str = USUAL_DATA
    clients: str = "10"
    skew: str = EVEN
    network: str = BOTH
    rounds: str = "15"


def draft(file: str, answers: Answers) -> str:
    """The text of a file that `fedspike run` takes as it stands.

    Raises InputError, naming the option of an answer, where one cannot be used.
    """
    text = "\n".join(
        [
            f"# Written by fedspike new. To train it:  {command('run', file)}",
            f"# What it would take:  {command('run', file, '--dry-run')}",
            "# All keys are in docs/configuration.md; fedspike explain lists the kinds that there are.",
            "",
            f'name = "{_name(file)}"  # results go to runs/ and this name',
            f"rounds = {_whole('rounds', answers.rounds)}  # of training on the devices and joining",
            *_network(answers.network),
            "",
            "[data]",
            *_data(answers.data),
            "",
            "[fleet]",
            f"clients = {_whole('clients', answers.clients)}  # devices",
            '# clients_per_round = 5  # who trains in a round, drawn anew; else "all"',
            "",
            "[partition]  # who has which samples",
            *_partition(answers.skew),
            "",
            f"[{tag(SNN)}]",
            "time_steps = 10  # for which an image is shown to the spiking network",
            "",
            "[learner]",
            "batch_size = 20",
            "",
            *_sweep(answers.network),
        ]
    )
    sweep.expand(document.parse(text, file))
    return text


def _name(file: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(file).stem).strip("-._")[:100] or "mine"


def _network(network: str) -> list[str]:
    if network not in NETWORK_NAMES:
        raise InputError(
            f"--network {network}",
            expected=f"one of {', '.join(NETWORK_NAMES)}",
            fix=nearest(network, NETWORK_NAMES),
        )
    return (
        []
        if network == BOTH
        else [f'network = "{network}"  # of {", ".join(tag(kind) for kind in NETWORKS)}']
    )


def _sweep(network: str) -> list[str]:
    """The networks side by side, and how to have more seeds."""
    both = ", ".join(f'"{tag(kind)}"' for kind in (ANN, SNN))
    lines = [f"network = [{both}]  # both, which are compared"] if network == BOTH else []
    seeds = "# seed = [0, 1, 2, 3, 4]  # several seeds, for intervals"
    return ["[sweep]  # every combination of these is a run", *lines, seeds, ""]


def _data(data: str) -> list[str]:
    names = [tag(kind) for kind in SOURCES if kind is not NPZ]
    if data.endswith(SUFFIX):
        return [
            f'kind = "{tag(NPZ)}"',
            f"path = {json.dumps(data)}  # x_train, y_train, x_test, y_test",
            "# range = [0, 255]  # what black and white are, where the values do not tell",
        ]
    if data not in names:
        raise InputError(
            f"--data {data}",
            expected=f"one of {', '.join(names)}, or a file {SUFFIX}",
            fix=nearest(data, names),
        )
    return [f'kind = "{data}"']


def _partition(skew: str) -> list[str]:
    if skew == EVEN:
        return [f'kind = "{tag(IID)}"  # {HOW}']
    if skew.isascii() and skew.isdigit() and int(skew[:6]) >= 1:
        return [f'kind = "{tag(Classes)}"', f"classes = {int(skew[:6])}  # that a device has seen"]
    if re.fullmatch(r"\d*\.\d+", skew, re.ASCII) and float(skew) > 0:
        return [
            f'kind = "{tag(Dirichlet)}"',
            f"alpha = {float(skew)}  # the lower, the more skewed",
        ]
    raise InputError(
        f"--skew {skew}",
        expected=f"{EVEN}, a whole number of classes on each device, or Dirichlet's alpha such as 0.3",
        fix=f"write --skew {EVEN}, --skew 3 or --skew 0.3",
    )


def _whole(option: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text[:10]) < 2**31:
        return int(text[:10])
    raise InputError(
        f"--{option} {text}", expected="a whole number >= 1", fix=f"write --{option} 10"
    )
