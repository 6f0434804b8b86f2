"""A wrong answer of a part of one's own is one error, before training, that names the part and the line."""

from pathlib import Path

import msgspec
import pytest
import tomli_w

from fedspike.cli import main
from fedspike.errors import InputError
from fedspike.federation.sent_plan import read_plain
from fedspike.parts.neurons import LIF, Neuron
from fedspike.records import reader
from test_outside import FILE, OUTSIDE

GOOD = (OUTSIDE / "integrator.py").read_text()
RETURN = "        return torch.stack(spikes)\n"
# What stands in place of what in a good neuron, and what the error must say.
WRONG: list[tuple[str, str, list[str]]] = [
    (RETURN, "        return spikes[0]\n", ["spikes gives torch.float32 of shape [2, 3, 4]"]),
    (RETURN, "        return spikes\n", ["Integrator.spikes gives a list"]),
    (RETURN, "        return None\n", ["Integrator.spikes gives a NoneType"]),
    (RETURN, "        return torch.stack(spikes).bool()\n", ["torch.bool of shape [6, 2, 3, 4]"]),
    (RETURN, "        return 2 * torch.stack(spikes)\n", ["spikes gives 0 to 2", "0.0 or 1.0"]),
    (RETURN, "        return torch.stack(spikes) / 0\n", ["numbers that are not finite"]),
    (RETURN, "        return torch.stack(spikes).detach()\n", ["without a gradient", "fire("]),
    (RETURN, "        return spikes.stack()\n", ["AttributeError", "Integrator.spikes", ", line "]),
    ("self.threshold * S.detach()", "self.beta * S", ["no attribute 'beta'", ", line "]),
    ('{"add": 1, "read_bias"', '{"add": -1, "read_bias"', ["operations() says", "whole numbers"]),
    ('{"add": 1, "read_bias"', '{"ad": 1, "read_bias"', ["operations() says ad", "mean add"]),
    ('{"add": 1, "read_bias"', '{"add": 1, "read_bais"', ["says read_bais", "mean read_bias"]),
    ('"neuron": {\n', '"neurone": {\n', ["operations() says", "in phase encode"]),
    ("        return {\n", "        return 7\n        return {\n", ["operations() says 7"]),
    (", place: Place)", ")", ["operations", "TypeError"]),
    (', tag="integrator"', "", ["no kind of part in it", 'tag="mine"']),
    ('tag="integrator"', 'tag="lif"', ['Integrator with the kind "lif"', 'tag="my-lif"']),
]


@pytest.mark.parametrize(("text", "wrong", "words"), WRONG)
def test_a_wrong_answer_is_one_error(
    text: str, wrong: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, file = tmp_path / "integrator.py", tmp_path / "mine.toml"
    assert text in GOOD
    own.write_text(GOOD.replace(text, wrong))
    file.write_text(tomli_w.dumps({**FILE, "neuron": {"kind": "integrator"}}))
    command = ["run", str(file), "--use", str(own), "--output", str(tmp_path / "runs")]
    assert main(command) == 2
    message = capsys.readouterr().err
    assert [word for word in words if word not in message] == [], message
    assert "expected: " in message
    assert not list((tmp_path / "runs").glob("*/rounds.jsonl"))


def test_a_kind_of_its_own_is_demanded() -> None:
    class Never(LIF):
        """It has no tag, and would be stored as the neuron that it is made from."""

    with pytest.raises(InputError, match='Never has the kind "lif" of LIF') as caught:
        Never()
    assert caught.value.fix == 'class Never(LIF, tag="never")'

    class Other(Neuron, tag="lif"):
        """It is in memory, too, and is not what an order means."""

    assert type(read_plain(msgspec.to_builtins(LIF()), Neuron)) is LIF


def test_a_neuron_that_nobody_counted_is_compared_and_said(tmp_path: Path) -> None:
    """Beside a conventional network: no break-even above the synapses, and the bill says what it lacks."""
    own, file = tmp_path / "integrator.py", tmp_path / "mine.toml"
    own.write_text(GOOD[: GOOD.index("    def operations")])
    file.write_text(
        tomli_w.dumps(
            {**FILE, "neuron": {"kind": "integrator"}, "sweep": {"network": ["ann", "snn"]}}
        )
    )
    folder = tmp_path / "runs"
    assert main(["run", str(file), "--use", str(own), "--output", str(folder)]) == 0
    assert main(["energy", str(folder)]) == 0
    _, snn = reader.read(folder).runs
    assert snn.network_operations.not_counted == ("neuron",)
    assert "neuron (not counted)" in snn.bill["horowitz45-int8"]["compute"].not_priced
    assert "neuron (not counted)" in (folder / "report.html").read_text()
