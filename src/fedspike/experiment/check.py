"""Values of a TOML file -> a `Configuration`, or one error that names the key and the cure."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from fedspike.errors import InputError
from fedspike.experiment import config, schema
from fedspike.experiment.config import Configuration
from fedspike.experiment.document import Document, Key

MOST_BITS = 16  # as config.Bits
USUAL_DIGITS, USUAL_BURST = 8, 5  # of the phase code: a byte's; of the burst code: its source's
EXPERIMENT_KEYS = ("centralised_baseline", "sweep")  # of a whole file, not of one run


def configuration(document: Document, values: dict[str, Any]) -> Configuration:
    """The checked, resolved configuration of `values`, which `document` tells the origin of.

    Raises InputError, naming file, line and key, at the first key that cannot be used.
    """
    values = {name: _with_kind(name, value) for name, value in values.items()}
    _known_keys(document, values, Configuration, ())
    # All networks' tables are checked, also the ones that this run's network does not need.
    unsaid = {
        name: _with_kind(name, {}) for name in ("snn", "code", "neuron", "normalisation", "qann")
    }
    try:
        settings = msgspec.convert({**unsaid, **values}, Configuration)
    except msgspec.ValidationError as error:
        raise _wrong_value(document, values, str(error)) from error
    settings = _fitted(settings)
    _possible(document, settings)
    return resolve(settings)


def numbers(document: Document, value: object, key: Key = ()) -> None:
    """Raise InputError at nan, inf and integers beyond 64 bits, which no key can hold.

    nan in particular would pass a comparison such as "not <= 0".
    """
    if isinstance(value, dict):
        for name, inner in value.items():
            numbers(document, inner, (*key, name))
    elif isinstance(value, list):
        for inner in value:
            numbers(document, inner, key)
    elif (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, int) and abs(value) >= 2**63
    ):
        shown = value if isinstance(value, float) else "a number of more than 64 bits"
        raise document.error(
            key, f"{'.'.join(key)} = {shown}", expected="a finite number", fix="write a number"
        )


def resolve(settings: Configuration) -> Configuration:
    """The same run written out: what it does not use is left out, "all" clients are counted."""
    fleet = settings.fleet
    if fleet.clients_per_round == "all":
        fleet = msgspec.structs.replace(fleet, clients_per_round=fleet.clients)
    if isinstance(settings.partition, config.Centralised):
        fleet = _one_client(fleet)
    qann = _quantised(settings) if settings.network == "qann" else None
    settings = msgspec.structs.replace(settings, fleet=fleet, qann=qann)
    if settings.network == "snn":
        return settings
    return msgspec.structs.replace(settings, **dict.fromkeys(config.SPIKING))


def _fitted(settings: Configuration) -> Configuration:
    """A code's "auto" becomes what fits the time steps, a loss that is not given the read-out's."""
    snn, code, loss = settings.snn or config.SNN(), settings.code, settings.loss
    if isinstance(code, config.Phase) and code.period == "auto":
        code = config.Phase(period=min(USUAL_DIGITS, snn.time_steps))
    if isinstance(code, config.Burst) and code.most_spikes == "auto":
        fitting = (snn.time_steps + 1) // 2  # two steps apart, from the first step on
        code = config.Burst(most_spikes=min(USUAL_BURST, fitting))
    if loss is None:
        loss = config.SpikeCount() if snn.read_out == "count" else config.CrossEntropy()
    return msgspec.structs.replace(settings, code=code, loss=loss)


def _quantised(settings: Configuration) -> config.QANN:
    """The baseline's settings with its bits: for T time steps ceil(log2(T+1)), the binary digits of T."""
    qann = settings.qann or config.QANN()
    if qann.bits != "snn":
        return qann
    snn = settings.snn or config.SNN()
    return msgspec.structs.replace(qann, bits=snn.time_steps.bit_length())


def nearest(name: str, known: Iterable[str]) -> str:
    """Advice for an unknown name: the most similar known ones, else all of them.

    >>> nearest("clases", ["classes", "kind"])
    'did you mean classes?'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=2, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"use one of: {', '.join(known)}" if known else "remove it"


def _one_client(fleet: config.Fleet) -> config.Fleet:
    """A single client that trains on as many samples in a round as the fleet would have."""
    samples, cohort = fleet.samples_per_round, fleet.clients_per_round
    if samples != "all":
        samples *= fleet.clients if cohort == "all" else cohort
    return config.Fleet(clients=1, clients_per_round=1, samples_per_round=samples)


def _with_kind(name: str, value: object) -> object:
    """A table that does not say its kind has the usual one."""
    usual = schema.usual_kind(name)
    return {"kind": usual, **value} if usual and isinstance(value, dict) else value


def _known_keys(document: Document, values: dict[str, Any], table: Any, key: Key) -> None:
    """Raise at the first key that its table does not have."""
    kinds = schema.kinds(table)
    if kinds and (not isinstance(values["kind"], str) or values["kind"] not in kinds):
        raise document.error(
            (*key, "kind"),
            f"{key[0]}.kind = {schema.written(values['kind'])}",
            expected=f"one of {', '.join(map(schema.written, kinds))}",
            fix=nearest(str(values["kind"]), kinds),
        )
    fields = schema.fields(kinds[values["kind"]] if kinds else schema.tables(table)[0])
    known_keys = [*fields, *(["kind"] if kinds else []), *(() if key else EXPERIMENT_KEYS)]
    for name, value in values.items():
        if name not in known_keys:
            place = f"[{'.'.join(key)}]" if key else "the top level"
            place += f" of kind {schema.written(values['kind'])}" if kinds else ""
            raise document.error(
                (*key, name),
                f"unknown key {'.'.join((*key, name))}",
                expected=f"in {place}: {', '.join(sorted(known_keys))}",
                fix=schema.home_of(name, key) or nearest(name, known_keys),
            )
        if name in fields and schema.tables(fields[name]):
            if not isinstance(value, dict):
                raise document.error(
                    (*key, name),
                    f"{name} = {schema.written(value)}",
                    expected=f"a table [{name}]",
                    fix=f"write [{name}] on a line of its own and its keys below",
                )
            _known_keys(document, value, fields[name], (*key, name))


def _wrong_value(document: Document, values: dict[str, Any], message: str) -> InputError:
    """The error for a value of the wrong type or range; msgspec's message ends in its path."""
    path = message.rpartition("at `$")[2].rstrip("`")
    key = tuple(re.findall(r"\.(\w+)", path))
    if missing := re.match(r"Object missing required field `(\w+)`", message):
        name = ".".join((*key, missing[1]))
        return document.error(
            (*key, "kind"),  # which asks for it
            f"{name} is missing",
            expected=schema.described((*key, missing[1]), values),
            fix=f"add {name}",
        )
    value: Any = values
    for part in key:
        value = value.get(part) if isinstance(value, dict) else None
    return document.error(
        key,
        f"{'.'.join(key)} = {schema.written(value)}",
        expected=schema.described(key, values),
        fix=_fix(key, values),
    )


def _fix(key: Key, values: dict[str, Any]) -> str:
    name, default = ".".join(key), schema.default(key, values)
    return f"correct {name}" if default is None else f"set {name} = {default}, the default"


def _possible(document: Document, settings: Configuration) -> None:
    """Raise where keys that are each right cannot go together."""
    fleet, snn = settings.fleet, settings.snn or config.SNN()
    if fleet.clients_per_round != "all" and fleet.clients_per_round > fleet.clients:
        raise document.error(
            ("fleet", "clients_per_round"),
            f"fleet.clients_per_round = {fleet.clients_per_round}, fleet.clients = {fleet.clients}",
            expected=f"at most {fleet.clients} clients in a round",
            fix='set clients_per_round = "all", or raise fleet.clients',
        )
    if isinstance(settings.algorithm, config.Scaffold) and isinstance(
        settings.optimiser, config.Adam
    ):
        raise document.error(
            ("algorithm", "kind"),
            'algorithm.kind = "scaffold" with optimiser.kind = "adam"',
            expected="plain gradient descent on the clients, as SCAFFOLD's mathematics needs",
            fix='set optimiser.kind = "sgd" and optimiser.learning_rate = 0.1',
        )
    quantised = _quantised(settings).bits
    if settings.network == "qann" and quantised != "snn" and quantised > MOST_BITS:
        raise document.error(
            ("snn", "time_steps"),
            f"as many levels as the spike counts of {snn.time_steps} time steps",
            expected=f"at most {MOST_BITS} bits",
            fix=f"set qann.bits = {MOST_BITS}, or fewer time steps",
        )
    _possible_code(document, settings)
    if isinstance(settings.loss, config.SpikeCount):
        _possible_counts(document, settings.loss, snn)


def _possible_code(document: Document, settings: Configuration) -> None:
    """Raise, in the code's own words, where it cannot have so many time steps."""
    if settings.code is None or isinstance(settings.code, config.Rate):
        return
    from fedspike.experiment import build  # brings torch, which most files need not wait for

    try:
        build.description(settings)
    except InputError as error:
        key = ("snn", "time_steps")
        if "time_steps" not in error.passed:
            key = ("code", next(iter(schema.fields(type(settings.code)))))
        raise document.error(key, error.passed, expected=error.expected, fix=error.fix) from error


def _possible_counts(document: Document, loss: config.SpikeCount, snn: config.SNN) -> None:
    """Raise where there are no spikes to count, or the right class is asked for no more than the others."""
    if snn.read_out != "count":
        raise document.error(
            ("loss", "kind"),
            f'loss.kind = "spike-count" with snn.read_out = "{snn.read_out}"',
            expected="spike counts, which are what this loss has targets for",
            fix='set loss.kind = "cross-entropy" and no rates, or snn.read_out = "count"',
        )
    targets = [int(snn.time_steps * r) for r in (loss.correct_rate, loss.incorrect_rate)]
    if targets[0] <= targets[1]:
        raise document.error(
            ("loss", "correct_rate"),
            f"{targets[0]} spikes asked for the right class and {targets[1]} for the wrong ones"
            f" (correct_rate = {loss.correct_rate}, incorrect_rate = {loss.incorrect_rate},"
            f" time_steps = {snn.time_steps})",
            expected="more spikes, in whole spikes, for the right class",
            fix="set correct_rate = 0.8, incorrect_rate = 0.2 and at least 2 time steps",
        )
