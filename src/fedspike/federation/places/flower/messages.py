"""What server and nodes say to each other: one typed record, and tensors as the bytes of safetensors.

    server -> node   query: Question              node -> server: Holding, or a Refusal
    server -> node   train: Task and a tree       node -> server: Report and a tree, or a Refusal
    server -> node   evaluate: ExamTask and trees node -> server: ExamReport and a tree, or a Refusal

The typed record travels as MessagePack, which has names for nan and infinity. Nothing that comes in is used
before its type, its range and its size were looked at. Beside it stands the sender's version of fedspike, and
that is looked at first: what another version sends may have any form. Flower calls messages and records by
the hash of what is in them, so each has something random in it: no node can name, and so spoil, another's.
"""

import re
import secrets
from collections.abc import Mapping
from importlib import metadata
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from flwr.app import ConfigRecord, RecordDict
from msgspec import Meta

from fedspike.algorithms import Tree
from fedspike.algorithms.trees import are_one, count_bytes
from fedspike.errors import InputError
from fedspike.federation import tensor_bytes
from fedspike.federation.guard import form_fault
from fedspike.layers.activity import Activity
from fedspike.networks import Parameters

RECORD, MESSAGE, TENSORS, VERSION = "fedspike", "message", "tensors", "version"
UNGUESSABLE = "unguessable"
INSTALLED = metadata.version("fedspike")
# As PEP 440 writes them; what a stranger sends stands in a command that we show.
A_VERSION = re.compile(rb"[0-9A-Za-z][0-9A-Za-z.+!]{0,39}")
MOST_BYTES = 2**26  # of a typed record: a node with 100,000 clients and 10 layers needs a third
BESIDE_NUMBERS = 2**16  # bytes, for each client, of the names and shapes of its tensors
LONGEST = 2000  # characters of a sentence
SAME_VERSION = "install the same version of fedspike on the server and on all nodes"
Number = Annotated[int, Meta(ge=0, lt=2**31)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]
Sentence = Annotated[str, Meta(max_length=LONGEST)]
Count = Annotated[int, Meta(ge=1, lt=2**31)]
Shape = Annotated[tuple[Number, ...], Meta(max_length=8)]  # of an image
# Of a round. Nan is in no range.
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Joules = Annotated[float, Meta(ge=0, le=1e15)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="message"):
    """A typed record; what is not of this form is refused when it is read."""

    from_server: ClassVar[bool] = False


class Question(Message, frozen=True, tag="question"):
    """Which of these clients, which are yours, do you host, with so many classes and images of this shape?"""

    from_server = True
    classes: Count
    shape: Shape
    clients: Annotated[tuple[Number, ...], Meta(min_length=1)]


class Holding(Message, frozen=True, tag="holding"):
    """The clients of a node: how many samples each has of every class."""

    shape: Shape
    class_counts: dict[Number, tuple[Number, ...]]  # client -> samples of each class


class Task(Message, frozen=True, tag="task"):
    """Train these clients in this round.

    Each starts with what it remembered after a round, if it remembers anything. One that by now holds more
    samples than it declared trains on the first so many; one that holds fewer weighs less. The tensors that
    come with the task are for all its clients, or for one where a group is called "3/model".
    """

    from_server = True
    plan: dict[str, Any]  # of `federation.plan.plain`
    classes: Count
    shape: Shape
    round: Count
    clients: Annotated[tuple[Number, ...], Meta(min_length=1)]
    remembered: dict[Number, Number]  # client -> that round
    held: dict[Number, Count]  # client -> the samples that it declared when the training began


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
    seconds: Annotated[dict[Name, Seconds], Meta(max_length=20)]
    joules: Annotated[dict[Name, Joules], Meta(max_length=100)]


class ExamTask(Message, frozen=True, tag="exam"):
    """Say of these clients' test samples which class they are, each by its own model.

    With what a client remembers after a round comes, as a tree, what it would receive now; and in a group of
    its own, "3/test", its samples. `first[client]` is the number of the first among those of all clients.
    """

    from_server = True
    plan: dict[str, Any]  # of `federation.plan.plain`
    classes: Count
    shape: Shape
    round: Number
    remembered: Annotated[dict[Number, Number], Meta(min_length=1)]
    samples: dict[Number, Count]  # client -> how many it is tested on
    first: dict[Number, Number]


class ExamReport(Message, frozen=True, tag="exam-report"):
    """What a node did to test its clients' own models, beside the class that these gave each sample."""

    round: Number
    activity: dict[Number, Activity]


class Refusal(Message, frozen=True, tag="refusal"):
    """Why a node did not do what it was asked: the words of an InputError."""

    passed: Sentence
    expected: Sentence
    fix: Sentence

    @classmethod
    def of(cls, error: Exception) -> "Refusal":
        """The refusal that says what went wrong on the node."""
        if isinstance(error, InputError):
            words = (error.passed, error.expected, error.fix)
        else:
            passed = f"{type(error).__name__}: {error}"
            words = (passed, "a node without defects", "see what the node said, and tell us")
        return cls(*(text[:LONGEST] for text in words))


class Refused(InputError):
    """A node said in words why it did not do what it was asked."""


class OtherVersion(InputError):
    """The other side has another version of fedspike."""


M = TypeVar("M", bound=Message)


def pack(message: Message, tree: Tree | None = None) -> RecordDict:
    """A message and its tensors as the content of a Flower message.

    >>> import torch
    >>> content = pack(Question(10, (8, 8), clients=(3,)), {"model": {"bias": torch.zeros(2)}})
    >>> unpack(content, Question), tree_of(content, most_bytes=1000)
    (Question(classes=10, shape=(8, 8), clients=(3,)), {'model': {'bias': tensor([0., 0.])}})
    """
    record: dict[str, Any] = {
        VERSION: INSTALLED.encode(),
        MESSAGE: msgspec.msgpack.encode(message),
        UNGUESSABLE: secrets.token_bytes(16),
    }
    if tree is not None:
        flat = {f"{group}/{name}": t for group, own in tree.items() for name, t in own.items()}
        record[TENSORS] = tensor_bytes.pack(flat)
    return RecordDict({RECORD: ConfigRecord(record)})


def for_all(received: Mapping[int, Tree]) -> Tree:
    """What clients receive, as one tree: a group that is the same for all once, else under "3/model"."""
    tree = {}
    for group in dict.fromkeys(group for own in received.values() for group in own):
        first, *others = (own.get(group, {}) for own in received.values())
        if all(_are_one(first, other) for other in others):
            tree[group] = first
        else:
            has = {client: own[group] for client, own in received.items() if group in own}
            tree |= {f"{client}/{group}": tensors for client, tensors in has.items()}
    return tree


def _are_one(group: Parameters, other: Parameters) -> bool:
    return group is other or (
        group.keys() == other.keys() and all(are_one(group[n], t) for n, t in other.items())
    )


def for_one(tree: Tree, client: int) -> Tree:
    """What one client receives, of a tree for all.

    >>> import torch
    >>> mine, shared = {"b": torch.ones(1)}, {"b": torch.zeros(1)}
    >>> tree = for_all({2: {"own": mine, "model": shared}, 3: {"own": shared, "model": shared}})
    >>> list(tree), for_one(tree, 2)
    (['2/own', '3/own', 'model'], {'own': {'b': tensor([1.])}, 'model': {'b': tensor([0.])}})
    """
    groups = [(*key.rpartition("/"), tensors) for key, tensors in tree.items()]
    return {group: tensors for owner, _, group, tensors in groups if owner in ("", str(client))}


def for_each(
    content: RecordDict, forms: Mapping[int, Tree], what: str, expected: str
) -> dict[int, Tree]:
    """What came for each client, in these forms. Raises InputError, naming `what` came, for another form."""
    most = sum(count_bytes(form) + BESIDE_NUMBERS for form in forms.values())
    received = tree_of(content, most)
    trees = {client: for_one(received, client) for client in forms}
    for client, tree in trees.items():
        if fault := form_fault(forms[client], tree):
            raise InputError(
                f"{what} for client {client} with {fault[0]}: {fault[1]}",
                expected=expected,
                fix=SAME_VERSION,
            )
    return trees


def unpack(content: RecordDict, kind: type[M]) -> M:
    """The typed record.

    Raises Refused where a node refuses, OtherVersion where the sender has another fedspike, InputError where
    there is no record of this kind.
    """
    try:
        _demand_our_version(content, kind.from_server)
        encoded = _bytes(content, MESSAGE)
        if len(encoded) > MOST_BYTES:
            raise ValueError(f"{len(encoded)} bytes are too many")
        message: M | Refusal = msgspec.msgpack.decode(encoded, type=kind | Refusal)
    except OtherVersion:
        raise
    except (KeyError, TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InputError(
            f"a message that is no {kind.__name__}: {error}"[:LONGEST],
            expected=f"a {kind.__name__}",
            fix=SAME_VERSION,
        ) from error
    if isinstance(message, Refusal):
        raise Refused(message.passed, expected=message.expected, fix=message.fix)
    return message


def tree_of(content: RecordDict, most_bytes: int) -> Tree:
    """The tensors. Raises InputError where they cannot be read, or take more bytes than there may be."""
    tree: Tree = {}
    try:
        packed = _bytes(content, TENSORS)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"a message without tensors: {error}", expected="tensors", fix=SAME_VERSION
        ) from error
    if len(packed) > most_bytes:
        raise InputError(
            f"tensors of {len(packed)} bytes", expected=f"at most {most_bytes}", fix=SAME_VERSION
        )
    for path, tensor in tensor_bytes.unpack(packed, "a message's tensors", SAME_VERSION).items():
        group, _, name = path.rpartition("/")
        tree.setdefault(group, {})[name] = tensor
    return tree


def _demand_our_version(content: RecordDict, from_server: bool) -> None:
    """Raise OtherVersion where the sender has another; the server's is the fleet's."""
    record = content.config_records[RECORD]
    sent = _bytes(content, VERSION) if VERSION in record else b""
    theirs = sent.decode() if A_VERSION.fullmatch(sent) else ""
    if theirs == INSTALLED:
        return
    there, where = ("the server", "this node") if from_server else ("the node", "the node")
    wanted = theirs if from_server else INSTALLED
    install = f"on {where}, pip install 'fedspike=={wanted}'"
    if not wanted:
        install = f"install the server's version of fedspike on {where}"
    raise OtherVersion(
        f"{there} has fedspike {theirs or 'of an unknown version'}, and here is {INSTALLED}",
        expected="one version on the server and on all nodes",
        fix=f"{install}, and start the node again",
    )


def _bytes(content: RecordDict, key: str) -> bytes:
    value = content.config_records[RECORD][key]
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} in the place of bytes")
    return value
