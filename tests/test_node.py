"""What keeps a node from its work, or a while from it: each said in words, with its fix, and waited out."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from flwr.app import ConfigRecord, Message, RecordDict

from fedspike.federation.places.flower import messages
from fedspike.federation.places.flower.hosted import ABSENT
from fedspike.federation.places.flower.messages import (
    Holding,
    OtherVersion,
    Question,
    unpack,
)
from fedspike.federation.places.flower.nodes import Nodes
from fedspike.networks import ANN, FullyConnected
from fleet_in_process import dealt_out
from test_messages import toy


def of_version(version: bytes | None, message: dict[str, Any]) -> RecordDict:
    """What another version may send: our record, with a message of any form in it."""
    record = {} if version is None else {messages.VERSION: version}
    return RecordDict(
        {
            messages.RECORD: ConfigRecord(
                {**record, messages.MESSAGE: msgspec.msgpack.encode(message)}
            )
        }
    )


@pytest.mark.parametrize(
    ("version", "kind", "words", "fix"),
    [
        (
            b"9.1",
            Question,
            "the server has fedspike 9.1",
            "on this node, pip install 'fedspike==9.1'",
        ),
        (b"9.1", Holding, "the node has fedspike 9.1", f"'fedspike=={messages.INSTALLED}'"),
        (None, Question, "of an unknown version", "the server's version of fedspike on this node"),
        (b"1'; rm -r ~;'", Question, "of an unknown version", "the server's version"),
    ],
)
def test_another_version_is_named_whatever_the_form_of_its_message(
    version: bytes | None, kind: Any, words: str, fix: str
) -> None:
    content = of_version(version, {"message": "question", "a field of tomorrow": 3})
    with pytest.raises(OtherVersion) as told:
        unpack(content, kind)
    assert words in told.value.passed
    assert fix in told.value.fix
    assert "rm" not in str(told.value)


def test_a_node_of_another_version_is_refused_on_both_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The node refuses the question, and the server its refusal; a reader of `status` sees the second."""
    grid = dealt_out(toy(ANN(FullyConnected((4,)))), tmp_path, nodes=3)
    ours, push = messages.INSTALLED, grid.devices[2].answer

    def answer(message: Message) -> Message:
        with monkeypatch.context() as patch:
            patch.setattr(messages, "INSTALLED", "0.0.9")
            return push(message)

    monkeypatch.setattr(grid.devices[2], "answer", answer)
    nodes = Nodes(grid, tmp_path, 3, (3, 3))
    nodes.meet()
    nodes._publish([])
    published = json.loads((tmp_path / ABSENT).read_bytes())["refused"]["node 2"]
    assert "the node has fedspike 0.0.9" in published
    assert f"pip install 'fedspike=={ours}'" in published
    assert published == nodes.absent()[0]["error"]
    assert f"the server has fedspike {ours}, and here is 0.0.9" in caplog.text
    assert set(nodes.hosts.values()) == {1, 3}
