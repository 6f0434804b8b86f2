"""What server and nodes say to each other: tensors as Flower's records, and one typed record beside them.

    server -> node   query: Question              node -> server: Holding
    server -> node   train: Task and a tree       node -> server: Report and a tree

The typed record travels as MessagePack, which has names for nan and infinity.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from msgspec import Meta

from fedspike.algorithms import Tree
from fedspike.errors import InputError
from fedspike.layers.activity import Activity

GROUP = "tensors/"  # before the name of a tree's group
RECORD, BYTES = "record", "bytes"
Number = Annotated[int, Meta(ge=0, lt=2**31)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="message"):
    """A typed record; what is not of this form is refused when it is read."""


class Question(Message, frozen=True, tag="question"):
    """Which clients do you host?"""

    classes: Number


class Holding(Message, frozen=True, tag="holding"):
    """The clients of a node: how many samples each has of every class, and how the node is called."""

    node: str
    shape: tuple[Number, ...]  # of an image
    class_counts: dict[Number, tuple[Number, ...]]  # client -> samples of each class


class Task(Message, frozen=True, tag="task"):
    """Train these clients in this round.

    Each starts with what it remembered after a round, if it remembers anything. The tensors that come with
    the task are for all its clients, or for one where a group is called "3/model".
    """

    plan: dict[str, Any]  # of `federation.plan.plain`
    classes: Number
    round: Number
    clients: tuple[Number, ...]
    remembered: dict[Number, Number]  # client -> that round


class Report(Message, frozen=True, tag="report"):
    """What a node did, beside the tree: its client's reply, or one that stands for all its clients'.

    `samples[client]` are those of one epoch, the client's weight, and `losses[client]` is of its mean sample.
    `joules` are by sensor and domain, empty without sensors; they are the whole machine's, and for all its
    clients together.
    """

    round: Number
    samples: dict[Number, Number]
    activity: dict[Number, Activity]
    losses: dict[Number, float]
    seconds: dict[str, float]
    joules: dict[str, float]


M = TypeVar("M", bound=Message)


def pack(message: Message, tree: Tree | None = None) -> RecordDict:
    """A message and its tensors as the content of a Flower message.

    >>> content = pack(Question(classes=10), {"model": {"bias": torch.zeros(2)}})
    >>> unpack(content, Question), tree_of(content)
    (Question(classes=10), {'model': {'bias': tensor([0., 0.])}})
    """
    records = RecordDict({RECORD: ConfigRecord({BYTES: msgspec.msgpack.encode(message)})})
    for group, tensors in (tree or {}).items():
        arrays = {name: Array(tensor.numpy()) for name, tensor in tensors.items()}
        records[GROUP + group] = ArrayRecord(arrays)
    return records


def for_all(received: Mapping[int, Tree]) -> Tree:
    """What clients receive, as one tree: a group that is the same for all once, else under "3/model"."""
    first, *others = received.values()
    tree = {}
    for group, tensors in first.items():
        if all(other.get(group) is tensors for other in others):
            tree[group] = tensors
        else:
            tree |= {f"{client}/{group}": own[group] for client, own in received.items()}
    return tree


def for_one(tree: Tree, client: int) -> Tree:
    """What one client receives, of a tree for all.

    >>> mine, shared = {"b": torch.ones(1)}, {"b": torch.zeros(1)}
    >>> tree = for_all({2: {"own": mine, "model": shared}, 3: {"own": shared, "model": shared}})
    >>> list(tree), for_one(tree, 2)
    (['2/own', '3/own', 'model'], {'own': {'b': tensor([1.])}, 'model': {'b': tensor([0.])}})
    """
    groups = [(*key.rpartition("/"), tensors) for key, tensors in tree.items()]
    return {group: tensors for owner, _, group, tensors in groups if owner in ("", str(client))}


def unpack(content: RecordDict, kind: type[M]) -> M:
    """The typed record. Raises InputError where there is none of this kind."""
    try:
        encoded = content.config_records[RECORD][BYTES]
        if not isinstance(encoded, bytes):
            raise TypeError(f"{type(encoded).__name__} in the place of bytes")
        return msgspec.msgpack.decode(encoded, type=kind)
    except (KeyError, TypeError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(
            f"an answer that is no {kind.__name__}: {error}",
            expected="server and nodes with the same version of fedspike",
            fix="install the same version on all of them",
        ) from error


def tree_of(content: RecordDict) -> Tree:
    """The tensors. Raises InputError where an array cannot be read; nothing is ever unpickled."""
    try:
        return {
            key.removeprefix(GROUP): {
                name: torch.from_numpy(array.numpy()) for name, array in record.items()
            }
            for key, record in content.array_records.items()
        }
    except (TypeError, ValueError, EOFError) as error:
        raise InputError(
            f"an array that cannot be read: {error}",
            expected="numpy arrays of plain numbers",
            fix="install the same version of fedspike on all nodes",
        ) from error
