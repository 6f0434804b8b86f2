"""What `fedspike run` is asked for: the experiment, with more rounds than its file says if that is wanted."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

from fedspike.cli.commands import kinds_of
from fedspike.errors import InputError

MOST = 10**9


def experiment_of(options: Namespace, say: Callable[[str], None]) -> Any:
    """The experiment of the options; `--more-rounds N` becomes a `--set rounds` in them.

    So the command that goes on after a stop, and the one that reproduces the result, say how many there are
    in all. Raises InputError where the options cannot be used.
    """
    from fedspike.experiment import sweep

    def read() -> Any:
        return sweep.read(options.experiment, options.set, options.seeds, options.data_dir, kinds)

    more, kinds = _count(options.more_rounds), kinds_of(options)
    experiment = read()
    if not more:
        return experiment
    if "rounds" in experiment.source.sweep:
        raise InputError(
            f"--more-rounds {more}, where rounds are swept",
            expected="one number of rounds, to which more are added",
            fix="leave it out, or write --set rounds=N",
        )
    before = experiment.runs[0].plan.rounds
    rounds = before + more
    others = [one for one in options.set if one.partition("=")[0].strip() != "rounds"]
    options.set = [*others, f"rounds={rounds}"]
    say(f"{rounds} rounds: {before}, and {more} more")
    experiment = read()
    for sentence in dict.fromkeys(_of_schedule(run.plan) for run in experiment.runs):
        if sentence:
            say(sentence)
    return experiment


def _of_schedule(plan: Any) -> str:
    """A sentence on a learning rate that does not change any more; "" where it always does, or never."""

    def rate(round: int) -> float:
        return float(plan.learner.in_round(round).learning_rate)

    changes, stays = (
        1,
        plan.rounds,
    )  # the last round before it is as in the last one of all, and the first
    if rate(1) == rate(plan.rounds):
        return ""
    while stays - changes > 1:
        between = (changes + stays) // 2
        if rate(between) == rate(plan.rounds):
            stays = between
        else:
            changes = between
    if stays == plan.rounds:
        return ""
    return (
        f"worth knowing: the learning rate falls for {stays} rounds, and stays as it is in those to "
        f"{plan.rounds}. With a schedule over all rounds every round would be another one: that takes a new "
        "folder"
    )


def _count(text: str | None) -> int:
    """How many rounds more; 0 where the option is left out."""
    if text is None:
        return 0
    if text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= MOST and len(text) <= 10:
        return int(text)
    raise InputError(
        f"--more-rounds {text}",
        expected=f"a whole number from 1 to {MOST}",
        fix="write for example --more-rounds 50",
    )
