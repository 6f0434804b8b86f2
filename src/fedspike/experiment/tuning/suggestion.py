"""The settings of the next trial: a function of its number and of the trials before it, and of nothing else.

TPE of Optuna (Bergstra, Bardenet, Bengio, Kegl, "Algorithms for Hyper-Parameter Optimization", NIPS 2011)
fits one density to the settings of the better trials and one to those of the others, and takes the candidate
for which their ratio is highest. Here Optuna stores nothing: every suggestion starts from a seed of its own
and is told the trials before it, so a search that was stopped goes on with the same trials.
"""

from collections.abc import Sequence
from importlib import metadata
from typing import Any

from fedspike import extras
from fedspike.experiment.tuning.space import Axis, Range, grid, size
from fedspike.randomness import stream

RANDOM = 5  # trials that are drawn evenly before TPE has enough to fit
DRAWS = 100  # attempts to draw settings that were not tried yet
LIE = 0.0  # the accuracy that a trial without one is taken to have, so that its like is not tried

Tried = tuple[dict[str, Any], float | None]


def demand_optuna() -> str:
    """Optuna's version. Raises InputError where it is not installed."""
    missing = "Optuna is not installed; it suggests the settings of a search"
    extras.demand(["optuna"], "tune", missing, expected="optuna 5")
    return metadata.version("optuna")


def suggest(
    axes: Sequence[Axis], tried: Sequence[Tried], number: int, trials: int
) -> dict[str, Any] | None:
    """The settings of trial `number` of `trials`; None where all that there are have been tried.

    `tried` has the settings of each trial before and its accuracy, None of one that failed or still runs.
    Where there are no more settings than trials, they are taken in turn. The first trials are the same for
    every network, as far as their keys are.
    """
    before = [settings for settings, _ in tried]
    if size(list(axes)) <= trials:
        return next((one for one in grid(list(axes)) if one not in before), None)
    drawn: dict[str, Any] = {}
    for draw in range(DRAWS):
        drawn = _drawn(axes, tried, _seed(number, draw), even=draw > 0)
        if drawn not in before:
            break
    return drawn


def _seed(number: int, draw: int) -> int:
    return int(stream(0, "tune", round=number, client=draw).integers(2**32))


def _drawn(
    axes: Sequence[Axis], tried: Sequence[Tried], seed: int, *, even: bool
) -> dict[str, Any]:
    """Settings from TPE, or drawn evenly."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = (
        optuna.samplers.RandomSampler(seed=seed)
        if even
        else optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM)
    )
    space = {axis.key: _distribution(axis) for axis in axes}
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, accuracy in tried:
        study.add_trial(
            optuna.trial.create_trial(
                value=LIE if accuracy is None else accuracy,
                params={axis.key: _coded(axis, settings[axis.key]) for axis in axes},
                distributions=space,
            )
        )
    drawn = study.ask(space).params
    return {axis.key: _meant(axis, drawn[axis.key]) for axis in axes}


def _distribution(axis: Axis) -> Any:
    from optuna import distributions

    if not isinstance(axis, Range):
        return distributions.CategoricalDistribution(range(len(axis.values)))
    if axis.whole:
        return distributions.IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _coded(axis: Axis, value: Any) -> Any:
    """A value as Optuna knows it: of a choice its place, for a choice may be a table."""
    return value if isinstance(axis, Range) else axis.values.index(value)


def _meant(axis: Axis, value: Any) -> Any:
    return axis.readable(value) if isinstance(axis, Range) else axis.values[value]
