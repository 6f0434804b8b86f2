"""What a search found: for programs, and as an experiment's file with the best settings of each network."""

from collections.abc import Iterator, Sequence
from typing import Any

import tomli_w

from fedspike.experiment.document import TOGETHER, leaves
from fedspike.experiment.tuning.objective import OBJECTIVE
from fedspike.experiment.tuning.searches import Tuning
from fedspike.experiment.tuning.tuning import Standing

FILE, RESULT = "best.toml", "tuning.json"
LONGEST_NAME = 90  # characters, of an experiment's name before what is added to it
OF_A_FILE = ("sweep", "tune", "tuned", "name")  # keys that the new file has of its own


def result(
    tuning: Tuning, standings: Sequence[Standing], validation_samples: int
) -> dict[str, Any]:
    """What was searched and found, as plain values."""
    return {
        "name": tuning.experiment.name,
        "objective": OBJECTIVE,
        "validation": tuning.budget.validation,
        "validation_samples": validation_samples,
        "trials": tuning.budget.trials,
        "searched": {key: tuning.experiment.source.tune[key] for key in tuning.keys},
        "networks": [_network(one) for one in standings],
    }


def _network(one: Standing) -> dict[str, Any]:
    best = one.best
    return {
        "name": one.search.name,
        "network": one.search.plan.network.kind,
        "sweep": dict(one.search.chosen),
        "seeds": list(one.search.seeds),
        "searched": [axis.key for axis in one.search.axes],
        "best": None if best is None else {**_of(best), "settings": best.settings},
        "own": None if one.own is None else _of(one.own),
        "failed": sum(1 for trial in one.trials if trial.failed),
        "trainings": len(one.trials) * len(one.search.seeds),
        "seconds": sum(trial.seconds for trial in one.trials),
        "trials": [{**_of(trial), "settings": trial.settings} for trial in one.trials],
    }


def _of(trial: Any) -> dict[str, Any]:
    facts = {"trial": trial.number, "accuracy": trial.accuracy, "accuracies": trial.accuracies}
    return facts | ({"failed": trial.failed} if trial.failed else {})


def toml(tuning: Tuning, standings: Sequence[Standing]) -> str:
    """An experiment's file with the best settings of each network, and what was searched in comments."""
    source = tuning.experiment.source
    chosen = [{**one.search.chosen, **(one.best.settings if one.best else {})} for one in standings]
    whole = {
        key for keys in chosen for key, v in keys.items() if "." not in key and isinstance(v, dict)
    }
    base = {k: v for k, v in source.values.items() if k not in OF_A_FILE and k not in whole}
    if source.options.get(("data", "data_dir"), "").startswith("--data-dir"):
        base["data"] = {k: v for k, v in base["data"].items() if k != "data_dir"}
    name = f"{tuning.experiment.name[:LONGEST_NAME]}-tuned"
    tuned = dict.fromkeys(key.removesuffix(".kind") for key in tuning.keys)
    head = [f"# {line}" for text in _comments(tuning, standings) for line in text.splitlines()]
    top = tomli_w.dumps({"name": name} | base | {"tuned": list(tuned)})
    return "\n".join([*head, "", top, "[sweep]", *_sweep(standings, chosen), ""])


def _sweep(standings: Sequence[Standing], chosen: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The lines of [sweep]: a table for each network, and the seeds, in the tables where they differ."""
    seeds = {one.search.seeds for one in standings}
    if len(seeds) == 1:
        yield f"seed = {inline(list(seeds.pop()))}"
        tables = list(chosen)
    else:
        tables = [
            {**keys, "seed": seed}
            for one, keys in zip(standings, chosen, strict=True)
            for seed in one.search.seeds
        ]
    if any(tables):
        yield f"{TOGETHER} = ["
        for keys in tables:
            flat = {name: v for key, one in keys.items() for name, v in leaves({key: one}).items()}
            yield f"    {inline(flat)},"
        yield "]"


def _comments(tuning: Tuning, standings: Sequence[Standing]) -> Iterator[str]:
    share = f"{tuning.budget.validation:g}"
    yield f"The best settings that a search found for each network of {tuning.experiment.name}: {OBJECTIVE}."
    yield f"A share of {share} of the training samples was held out for it; no test sample was used."
    yield f"Up to {tuning.budget.trials} trials for each, beside the file's own settings, over:"
    for key in tuning.keys:
        yield f"    {inline({key: tuning.experiment.source.tune[key]})[2:-2]}"
    for one in standings:
        yield f"{one.search.name}: {in_words(one)}"


def in_words(one: Standing) -> str:
    """What a search found, in a sentence."""
    best, own = one.best, one.own
    own_words = f"{own.accuracy:.2%}" if own and own.accuracy is not None else "failed"
    if best is None:
        return f"all trials failed; it keeps the file's own settings ({one.trials[0].failed})"
    if not one.search.axes:
        return f"{own_words} with the file's own settings; nothing that was searched is a key of it"
    if best is own:
        return f"{own_words} with the file's own settings, which no trial surpassed"
    settings = ", ".join(f"{key} = {inline(value)}" for key, value in best.settings.items())
    return (
        f"{best.accuracy:.2%} in trial {best.number} ({settings}), {own_words} with the file's own"
    )


def inline(value: Any) -> str:
    """A value as TOML in one line.

    >>> inline({"optimiser.learning_rate": 0.01, "remedies": [{"kind": "clipping", "norm": 1.0}]})
    '{ optimiser.learning_rate = 0.01, remedies = [{ kind = "clipping", norm = 1.0 }] }'
    """
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {inline(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return tomli_w.dumps({"v": value})[4:].strip()
