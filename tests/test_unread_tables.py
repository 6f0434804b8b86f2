"""A table that no run reads is an error with its line, and its advice makes a file that is read."""

import re

import pytest

from fedspike.errors import InputError
from fedspike.experiment import document, sweep

HEAD = 'name = "mine"\nnetwork = "snn"\n'
ONLINE = '[neuron]\nkind = "competitive"\n[read_out]\nkind = "membrane"\n[learner]\nkind = "stdp"\n'
UNREAD = {
    "a graph beside a server": (
        "[graph]\ndegree = 3\nkind = 'random-regular'\n",
        "line 5: graph.kind decides nothing beside algorithm.kind = fedavg",
    ),
    "an empty table": (
        "[graph]\n",
        "line 3: graph.kind decides nothing beside algorithm.kind = fedavg",
    ),
    "a rule without a server": (
        '[algorithm]\nkind = "gossip"\n[rule]\nkind = "median"\n',
        "line 6: rule.kind decides nothing beside algorithm.kind = gossip",
    ),
    "a loss beside a local rule": (
        f"{ONLINE}[loss]\nkind = 'cross-entropy'\n",
        "line 10: loss.kind decides nothing beside learner.kind = stdp",
    ),
    "a local rule beside gradients": (
        "[plasticity]\nkind = 'pair'\n",
        "line 4: plasticity.kind decides nothing beside learner.kind = backpropagation",
    ),
    "a sweep of it": (
        '[sweep]\ngraph.kind = ["ring", "torus"]\nalgorithm.kind = ["fedavg", "fedprox"]\n',
        "line 4: graph.kind decides nothing beside algorithm.kind = fedavg and fedprox",
    ),
}
READ = {
    "by one run": '[graph]\nkind = "torus"\n[sweep]\nalgorithm.kind = ["fedavg", "gossip"]\n',
    "by a twin": 'network = "ann"\n[code]\nkind = "rate"\n[neuron]\nbeta = 0.9\n[surrogate]\nkind = "atan"\n',
    "of what is searched": '[graph]\nkind = "torus"\n[tune]\nalgorithm.kind = ["fedavg", "gossip"]\n',
    "of what was searched": 'tuned = ["algorithm"]\n[graph]\nkind = "torus"\n',
}


def expand(text: str, *options: str) -> sweep.Experiment:
    source = document.parse(text, "mine.toml")
    for option in options:
        source = source.override(*document.parse_option(option), f"--set {option}")
    return sweep.expand(source)


def test_each_is_an_error_that_names_its_line_and_helps() -> None:
    for what, (text, words) in UNREAD.items():
        with pytest.raises(InputError) as caught:
            expand(HEAD + text)
        error = caught.value
        assert error.passed.replace('"', "") == f"mine.toml, {words}", what
        found = re.fullmatch(r'leave \[(\w+)\] out, or set (\w+)\.kind = "([\w-]+)"', error.fix)
        assert found, error.fix
        assert error.expected.startswith(f'{found[2]}.kind = "{found[3]}"')
        without = re.sub(
            rf"^\[{found[1]}\]\n(\w.*\n)*|^{found[1]}\..*\n", "", HEAD + text, flags=re.M
        )
        expand(without)
        if "stdp" not in error.fix:  # which needs a neuron and a read-out, too
            neuron = ["neuron.kind=lif", "read_out.kind=count"] if "stdp" in text else []
            expand(HEAD + text, f"{found[2]}.kind={found[3]}", *neuron)


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_what_some_run_or_another_network_reads_may_stand(text: str) -> None:
    head = HEAD if "network" not in text else 'name = "mine"\n'
    assert expand(head + text).runs


def test_options_have_the_last_word() -> None:
    """A kind of an option may leave a table of the file without a use; a table of an option may not be."""
    file = HEAD + '[algorithm]\nkind = "gossip"\n[graph]\nkind = "torus"\n'
    assert expand(file, "algorithm.kind=fedavg").runs
    with pytest.raises(InputError, match=r"^--set graph.rows=2: graph.rows decides nothing beside"):
        expand(file, "algorithm.kind=fedavg", "graph.rows=2")
