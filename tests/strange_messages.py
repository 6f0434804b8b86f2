"""Messages as nobody should send them, as Hypothesis strategies: what is drawn shrinks to an honest one.

contents(honest, kind)    what is in it: every field by its type, range and size, tensors, bytes, records
answers(node, number, ..) and how Flower's server hands it on: what is said of it, its parts, its company
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.error import Error
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from msgspec import inspect
from torch import Tensor

from fedspike.federation import tensor_bytes
from fedspike.federation.places.flower import messages
from hostile import NEVER, Parcel, parcel

Drawn = SearchStrategy[Any]
Record = dict[str, Any]
KINDS = (messages.Report, messages.Refusal, messages.Holding, messages.Question, messages.Task)
NOT_SENT = b"\xc1"  # in the place of what has no form in MessagePack, and so cannot be sent
LENGTH = 8  # bytes of a safetensors file that say how long its header is

WORDS = st.text(max_size=8) | st.sampled_from(["x" * 5000, "\x1b[2J\n", "\x00", "nan", "../x"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**64), 2**65) | st.floats()
    | WORDS | st.binary(max_size=8) | st.just("\ud800")
)  # fmt: skip
ANYTHING = st.just([0] * 1000) | st.recursive(
    SCALARS,
    lambda own: st.lists(own, max_size=3) | st.dictionaries(WORDS, own, max_size=3),
    max_leaves=6,
)
PLAIN: Drawn = (  # what a record of Flower's can hold
    st.integers(-(2**63), 2**63 - 1) | st.floats() | WORDS | st.binary(max_size=8)
    | st.lists(st.floats(), min_size=1, max_size=3)
    | st.sampled_from([b"\x00" * 10**5, ["x"]])
)  # fmt: skip
DTYPES = [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.bool, torch.uint8]
NUMBER_OF_NODE = st.integers(0, 2**64 - 1)
METADATA: dict[str, Drawn] = {
    "reply_to_message_id": st.sampled_from(["", "999", "x" * 10**5]),
    "src_node_id": NUMBER_OF_NODE,
    "dst_node_id": NUMBER_OF_NODE,
    "run_id": NUMBER_OF_NODE,
    "created_at": st.floats(),
    "ttl": st.floats(),
    "group_id": WORDS,
    "message_type": st.sampled_from(["query", "evaluate"]),
}


def values(form: inspect.Type) -> Drawn:
    """What a field of this form holds, up to its bounds and just beyond them, and what it never does."""
    own: Drawn
    match form:
        case inspect.IntType():
            low = -(2**63) if form.ge is None else form.ge
            high = form.lt - 1 if form.lt is not None else form.le or 2**63 - 1
            own = st.integers(low - 1, low + 20) | st.integers(high - 1, high + 1)
        case inspect.FloatType():
            bounds = [bound for bound in (form.ge, form.le, 1e30, 0.5) if bound is not None]
            own = st.floats() | st.sampled_from(bounds)
        case inspect.StrType():
            longest = form.max_length or 5000
            own = st.sampled_from([0, 1, longest, longest + 1]).map("x".__mul__) | WORDS
        case inspect.DictType():
            key, value = values(form.key_type), values(form.value_type)
            many = (form.max_length or 1000) + 1
            own = st.dictionaries(key.filter(_can_be_a_key), value, max_size=3)
            own |= st.just({str(number): 1 for number in range(many)})
        case inspect.VarTupleType():
            item = values(form.item_type)
            own = st.lists(item, max_size=9) | st.just([1] * 10**4)
        case inspect.StructType():
            fields = {field.encode_name: values(field.type) for field in form.fields}
            own = st.fixed_dictionaries({"message": st.just(form.tag), **fields})
        case inspect.DataclassType():
            own = st.fixed_dictionaries(
                {field.encode_name: values(field.type) for field in form.fields}
            )
        case _:
            return ANYTHING
    return own | ANYTHING


def contents(honest: RecordDict, kind: type[messages.Message]) -> SearchStrategy[RecordDict]:
    """An honest message of this kind, the same in other words, or one in which something is not right."""
    record: Record = dict(honest.config_records[messages.RECORD])
    told = msgspec.msgpack.decode(record[messages.MESSAGE], strict=False)
    others = [values(inspect.type_info(other)) for other in KINDS if other is not kind]

    def in_the_place_of(key: str, own: Drawn) -> Drawn:
        return own.map(lambda value: {**record, key: value})

    said = in_the_place_of(messages.MESSAGE, documents(told, inspect.type_info(kind)).map(packed))
    other = in_the_place_of(messages.MESSAGE, st.one_of(others).map(packed))
    on_its_way = [in_the_place_of(key, spoilt(own)) for key, own in record.items()]
    strange = [in_the_place_of(key, PLAIN) for key in (*record, "more")]
    lost = [st.just({k: own for k, own in record.items() if k != key}) for key in record]
    chosen = [said, said, other, st.one_of(on_its_way), st.one_of(*strange, *lost)]
    if messages.TENSORS in record:
        tensors = record[messages.TENSORS]
        others = [other_tensors(tensor_bytes.unpack(tensors, "-", "-")), other_headers(tensors)]
        chosen += [in_the_place_of(messages.TENSORS, own) for own in others]
    if kind is messages.Report:
        chosen.append(disguised(record, told))
    ours = [
        own.map(lambda each: RecordDict({messages.RECORD: ConfigRecord(each)})) for own in chosen
    ]
    return either(st.just(honest), *ours, other_records(record))


@st.composite
def answers(
    draw: DrawFn, node: int, number: str, content: SearchStrategy[RecordDict]
) -> list[Parcel]:
    """What a node hands in to the message of this number."""
    what = draw(st.integers(0, 9))
    if what < 6:
        return [parcel(node, number, draw(content))]
    if what == 6:
        code = draw(st.integers(-(2**31), 2**31 - 1))
        return [parcel(node, number, Error(code, draw(WORDS)))]
    given = [draw(handed_on(node, number, content))]
    if what == 9:
        second = parcel(node, number, draw(content))
        given.insert(draw(st.integers(0, 1)), second)
    return given


@st.composite
def handed_on(draw: DrawFn, node: int, number: str, content: SearchStrategy[RecordDict]) -> Parcel:
    """What Flower's server might hand on, and what it never would."""
    own, key, what = draw(content), draw(st.sampled_from([*METADATA])), draw(st.integers(0, 6))
    if what == 0:
        return parcel(node, number, own, **{key: draw(METADATA[key])})
    given = parcel(node, number, own)
    part, other = (draw(st.sampled_from([*given.parts])) for _ in range(2))
    whole = given.parts[part] or b""
    if what == 1:
        setattr(given.told.metadata, key, draw(METADATA[key]))
    elif what == 2:
        given.parts[part] = draw(spoilt(whole))
    elif what == 3:
        name = draw(st.sampled_from(["Array", "Message", "MetricRecord", "Error", "os.system", ""]))
        given.parts[part] = name.encode() + b" " + whole.partition(b" ")[2]
    elif what == 4:
        given.parts[part] = draw(st.sampled_from([None, given.parts[other]]))
    elif what == 5:
        given.late = draw(st.integers(1, 20) | st.just(NEVER))
    else:
        del given.tree.children[draw(st.integers(0, 1)) :]
        deepest = given.tree
        for _ in range(draw(st.integers(0, 3) | st.just(50))):
            deepest = deepest.children.add(object_id=draw(st.sampled_from([part, "x", ""])))
    return given


@dataclass(frozen=True)
class Place:
    """Where in a document, what belongs there, and what names its neighbours may have."""

    path: tuple[Any, ...]
    value: Drawn
    name: Drawn


def documents(honest: Any, form: inspect.Type) -> Drawn:
    """Tables, lists and values with one to three of them changed, lost, renamed, doubled or in company.

    What comes in the place of a value is of its form, or the whole is another of this form.
    """
    found = list(places([honest], (0,), form))

    @st.composite
    def document(draw: DrawFn) -> Any:
        whole = [honest]
        for _ in range(draw(st.integers(1, 3))):
            # A change before may have taken the place away.
            with suppress(LookupError, TypeError, AttributeError):
                whole = _changed(draw, whole, draw(st.sampled_from(found)))
        return whole[0] if whole else None

    return document()


def _changed(draw: DrawFn, whole: list[Any], place: Place) -> list[Any]:
    """The document with one change; what stays is not copied."""
    *way, key = place.path
    what = draw(st.integers(0, 5)) if way else 0
    new: Any = draw(place.value) if what in (0, 1, 2, 5) else None
    name = draw(place.name) if what > 3 else None
    copied = whole.copy()
    inside: Any = copied
    for each in way:
        inside[each] = inside = inside[each].copy()
    if what < 3:
        inside[key] = new
    elif what == 3:
        del inside[key]
    elif isinstance(inside, list):
        inside.insert(key, inside[key])
    else:
        inside[name] = inside.pop(key) if what == 4 else new
    return copied


def places(inside: Any, path: tuple[Any, ...], form: inspect.Type) -> Iterator[Place]:
    """Every place from here on."""
    key = path[-1]
    yield Place(path, values(form), st.integers(0, 3) if isinstance(key, int) else WORDS)
    here = inside[key]
    if isinstance(here, dict | list):
        for each in list(here) if isinstance(here, dict) else range(len(here)):
            yield from places(here, (*path, each), _form_inside(form, each))


def _form_inside(form: inspect.Type, key: Any) -> inspect.Type:
    match form:
        case inspect.DictType():
            return form.value_type
        case inspect.VarTupleType():
            return form.item_type
        case inspect.StructType() | inspect.DataclassType():
            fields = {field.encode_name: field.type for field in form.fields}
            return fields.get(key, inspect.AnyType())
    return inspect.AnyType()


@st.composite
def spoilt(draw: DrawFn, content: bytes) -> bytes:
    """The content with one to three stretches changed, put in, cut or doubled."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 2, 8, 64, 1024, len(content)])))
        new = draw(st.binary(max_size=8) | st.just(content[start:end] * 2))
        content = content[:start] + new + content[end:]
    return content


@st.composite
def other_tensors(draw: DrawFn, honest: dict[str, Tensor]) -> bytes:
    """A tensor with another number, of another type or shape, with another name, or in company."""
    tensors = {name: tensor.clone() for name, tensor in honest.items()}
    name, what = draw(st.sampled_from([*honest])), draw(st.integers(0, 5))
    own = tensors.pop(name)
    if what == 0:
        own.reshape(-1)[draw(st.integers(0, own.numel() - 1))] = draw(st.floats(width=32))
    elif what == 1:
        own = own * draw(st.floats(width=32))
    elif what == 2:
        own = own.to(draw(st.sampled_from(DTYPES)))
    elif what == 3:
        shape = draw(st.lists(st.integers(0, 5), max_size=4) | st.just([10**5]))
        own = torch.zeros(shape)
    new = name
    if what > 3:
        new = draw(st.sampled_from(["", "/", "update", "0/update/x", "x" * 5000]) | WORDS)
    kept = {name: own} if what == 5 else {}
    return tensor_bytes.pack({**tensors, **kept, new: own})


def other_headers(packed_tensors: bytes) -> SearchStrategy[bytes]:
    """Tensors whose names, types, shapes or places are said to be others."""
    start = LENGTH + int.from_bytes(packed_tensors[:LENGTH], "little")
    header = json.loads(packed_tensors[LENGTH:start])

    def whole(changed: Any) -> bytes:
        written = json.dumps(changed, default=repr).encode()
        return len(written).to_bytes(LENGTH, "little") + written + packed_tensors[start:]

    return documents(header, inspect.AnyType()).map(whole)


@st.composite
def disguised(draw: DrawFn, record: Record, told: Record) -> Record:
    """The same said in another order, with other times, and with more beside it."""
    report = {
        **told,
        "seconds": {"training": draw(st.floats(0, 1e9)), "x": 0.0},
        "joules": {"a meter": draw(st.floats(0, 1e15))},
    }
    tensors = tensor_bytes.unpack(record[messages.TENSORS], "-", "-")
    return _in_another_order(
        draw,
        {
            **record,
            messages.MESSAGE: packed(_in_another_order(draw, report)),
            messages.TENSORS: tensor_bytes.pack(_in_another_order(draw, tensors)),
            "more": draw(PLAIN),
        },
    )


def _in_another_order(draw: DrawFn, table: dict[Any, Any]) -> dict[Any, Any]:
    """Its entries in another order, and those in its tables."""
    return {
        key: _in_another_order(draw, table[key]) if isinstance(table[key], dict) else table[key]
        for key in draw(st.permutations([*table]))
    }


def other_records(record: Record) -> SearchStrategy[RecordDict]:
    """Records of other kinds, other names and other numbers of them."""
    arrays = st.builds(
        Array,
        st.sampled_from(["float32", "<f8", "object", "x", ""]),
        st.sampled_from([(2,), (2**40, 2**20), (-1,), ()]),
        st.sampled_from(["numpy.ndarray", "pickle", ""]),
        st.binary(max_size=8),
    )
    metrics: Drawn = st.sampled_from([1, -0.5, float("nan"), [2**60] * 9])
    kinds = (
        st.builds(lambda array: ArrayRecord({"a": array}), arrays)
        | metrics.map(lambda metric: MetricRecord({"m": metric}))
        | st.dictionaries(st.sampled_from([*record]), PLAIN, max_size=2).map(ConfigRecord)
        | st.builds(lambda: ConfigRecord(dict(record)))
    )
    names = st.sampled_from(["", "x" * 1000, "fedspike.", "\x00", messages.RECORD])
    return st.dictionaries(names, kinds, max_size=4).map(RecordDict)


def either(*given: Drawn) -> Drawn:
    """One of these, each as often: branches of branches do not count."""
    return st.integers(0, len(given) - 1).flatmap(given.__getitem__)


def packed(document: Any) -> bytes:
    try:
        return msgspec.msgpack.encode(document)
    except (OverflowError, RecursionError, ValueError):
        return NOT_SENT


def _can_be_a_key(value: Any) -> bool:
    return not isinstance(value, dict | list)
