"""What all layers and parts do, as tables made from the tables that are counted; docs/energy.md has them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from msgspec import structs

from fedspike.energy import counts
from fedspike.experiment.explaining import markdown_table, text_of, with_block
from fedspike.experiment.kinds import Kinds
from fedspike.layers.operations import (
    BACKWARD,
    INFERENCE,
    PER,
    SYMBOLS,
    TRAINING,
    NetworkOperations,
    Place,
    Table,
    joined,
)
from fedspike.layers.shapes import BatchNorm, Dense, Pool, Pooling
from fedspike.layers.sliding import Axis, SlidingPool
from fedspike.learning import Learner
from fedspike.learning.minibatches import Minibatches
from fedspike.networks import SNN, FullyConnected, layer_operations
from fedspike.part import Part, fields_of
from fedspike.parts.codes import Code
from fedspike.parts.codes.code import encoder
from fedspike.parts.neurons import Neuron
from fedspike.parts.optimisers import Optimiser
from fedspike.parts.surrogates import Surrogate

# Where neurons are beside the usual place, a layer that fires and has a bias.
PLACES = {
    "membrane that is read out": Place(fires=False),
    "normalisation in place of the bias": Place(bias=False),
    "no bias": Place(added=False, bias=False),
}
NOT_COUNTED: Table = {"all": {"": {"not counted": 1}}}


def filled(text: str, kinds: Kinds) -> str:
    """A document whose block `<!-- operations --> ... <!-- end -->` holds the tables."""
    return with_block(text, "operations", operations_table(kinds))


def operations_table(kinds: Kinds) -> str:
    """All tables in Markdown, with what their docstrings say of sources and of what is not counted."""
    return "\n".join(_sections(kinds))


def _sections(kinds: Kinds) -> Iterator[str]:
    yield SYMBOLS
    yield markdown_table(("per", "how many"), [(f"{per}", f"`{n}`") for per, n in PER.items()])
    yield "### Layers with weights\n"
    synapses = {
        "conventional": layer_operations.of_values(Dense(1, 1)),
        "spiking": layer_operations.of_events("ac"),
        "the same input at each step": layer_operations.of_constant_input(),
    }
    yield _by_phase(synapses)
    yield _note(
        layer_operations.of_values,
        layer_operations.of_events,
        layer_operations.of_constant_input,
    )
    yield _paragraphs(layer_operations)[-1] + "\n"
    yield "### Pooling\n"
    yield _of_pools(Pool("average", 1, 2, 2), Pool("max", 1, 2, 2))
    yield _note(Pool.operations)
    yield "Windows that overlap:\n"
    axes = (Axis(size=5, kernel=3, stride=2),)
    yield _of_pools(SlidingPool("average", 1, axes), SlidingPool("max", 1, axes))
    yield _note(SlidingPool.operations)
    yield "### Batch normalisation\n"
    norm = BatchNorm(1)
    usual = norm.operations(spiking=True)
    plain = BatchNorm(1, shift=False).operations(spiking=True)
    norms = {"trained": usual, "without shift": _beside(plain, usual), "tested": norm.tested()}
    yield _by_phase(norms)
    yield _note(BatchNorm.operations, BatchNorm.tested)
    families: tuple[tuple[str, type[Part], tuple[Any, ...]], ...] = (
        ("Codes", Code, (encoder,)),
        ("Surrogates", Surrogate, ()),
        ("Optimisers", Optimiser, ()),
    )
    for title, family, notes in families:
        yield f"### {title}\n"
        parts = [_example(part) for part in kinds.of(family).values()]
        yield _by_kind({part.kind: _asked(part) for part in parts})
        yield _note(*notes) + _notes(parts)
    yield "### Neurons\n"
    yield from _neurons({kind: _example(part) for kind, part in kinds.of(Neuron).items()})
    yield "### Learners in minibatches\n"
    learners = [part for part in kinds.of(Learner).values() if issubclass(part, Minibatches)]
    yield from _learners([_example(part) for part in learners])
    yield "### The server, and what is not counted\n"
    yield _note(counts.aggregation)
    yield _paragraphs(counts)[-1] + "\n"


def _neurons(neurons: Mapping[str, Any]) -> Iterator[str]:
    """Each kind in the usual place, then what other places, resets and learned constants change."""
    usual = Place()
    tables = {kind: _asked(neuron, usual) for kind, neuron in neurons.items()}
    yield _by_kind(tables)
    changes: dict[tuple[str, str], tuple[Table, list[str]]] = {}
    for kind, neuron in neurons.items():
        variants = {place: _asked(neuron, where) for place, where in PLACES.items()}
        variants |= {
            f"`{name} = {option!r}`".replace("'", '"'): _asked(variant, usual)
            for name, option, variant in _options(neuron)
        }
        for name, table in variants.items():
            change = _beside(table, tables[kind])
            _, kinds = changes.setdefault((name, str(_words(change))), (change, []))
            kinds.append(kind)
    rows = {
        name if len(kinds) == len(neurons) else f"{name} ({', '.join(kinds)})": change
        for (name, _), (change, kinds) in changes.items()
        if _words(change)
    }
    yield "What changes beside these:\n"
    yield _by_kind(rows)
    yield _notes(neurons.values())


def _learners(learners: list[Any]) -> Iterator[str]:
    """What each does to the second of two hidden layers of an SNN, beside its forward pass and optimiser."""
    network = SNN(2, FullyConnected((3, 3))).over((4,), 10)
    phases = (*BACKWARD, "optimiser")
    tables: dict[str, Table] = {}
    for learner in learners:
        trained = learner.trains(network).layers["hidden2"].trained
        optimiser = learner.operations() or NOT_COUNTED
        kept = {phase: rows for phase, rows in trained.items() if phase in phases}
        tables[learner.kind] = _beside(kept, optimiser)
    yield "Of a hidden layer that spikes enter, in a network of LIF neurons with 10 classes:\n"
    yield _by_kind(tables)
    own = [getattr(type(one), name, None) for name in ("trains", "work") for one in learners]
    members = dict.fromkeys(member for member in own if member is not None)
    yield _note(*members, NetworkOperations.seen_again)


def _options(part: Part) -> Iterator[tuple[str, str, Any]]:
    """Each field with a choice of words, a word that is not the usual one, and the part with it."""
    for field in fields_of(type(part)):
        hint = get_args(field.type)[0] if hasattr(field.type, "__metadata__") else field.type
        for word in get_args(hint) if get_origin(hint) is Literal else ():
            if word != getattr(part, field.name):
                yield field.name, word, structs.replace(part, **{field.name: word})


def _example(kind: type[Part]) -> Any:
    """A part of this kind; the constants that it asks for are in no table."""
    return kind(**{field.name: 1 for field in fields_of(kind) if field.required})


def _asked(part: Any, *place: Place) -> Table:
    table: Table | None = part.operations(*place)
    return NOT_COUNTED if table is None else table


def _beside(table: Table, usual: Table) -> Table:
    """What a table has more than another."""
    return joined([(table, 1), (usual, -1)])


def _words(table: Table) -> dict[str, str]:
    """phase -> what is done in it."""
    cells = {}
    for phase, rows in table.items():
        each = {per: _operations(operations) for per, operations in rows.items()}
        if cell := "; ".join(f"per {per}: {words}" for per, words in each.items() if words):
            cells[phase] = cell.removeprefix("per : ")
    return cells


def _operations(operations: Mapping[str, int]) -> str:
    """`{"multiply": 2, "add": -1, "compare": 1}` as "2 multiply, 1 add less, compare"."""
    words = []
    for name, number in operations.items():
        times = "" if number == 1 else f"{abs(number)} "
        if number:
            words.append(f"{times}`{name}`{' less' if number < 0 else ''}")
    return ", ".join(words)


def _of_pools(*pools: Pooling) -> str:
    return _by_phase(
        {
            f"{pool.kind}, {how}": pool.operations(spiking=how == "spiking")
            for pool in pools
            for how in ("conventional", "spiking")
        }
    )


def _by_phase(tables: Mapping[str, Table]) -> str:
    """A column for each table, a row for each phase."""
    cells = {name: _words(table) for name, table in tables.items()}
    rows = [
        (f"`{phase}`", *(words.get(phase, "") for words in cells.values()))
        for phase in (*INFERENCE, *TRAINING)
        if any(phase in words for words in cells.values())
    ]
    return markdown_table(("", *tables), rows)


def _by_kind(tables: Mapping[str, Table]) -> str:
    """A row for each table, a column for each phase."""
    cells = {name: _words(table) for name, table in tables.items()}
    phases = [
        phase
        for phase in (*INFERENCE, *TRAINING, "all")
        if any(phase in words for words in cells.values())
    ]
    rows = [(name, *(words.get(phase, "") for phase in phases)) for name, words in cells.items()]
    return markdown_table(("", *(f"`{phase}`" for phase in phases)), rows)


def _note(*documented: Callable[..., Any]) -> str:
    """What the docstrings say, one below the other."""
    return "".join(f"- {_line(one)}\n" for one in documented)


def _notes(parts: Iterable[Any]) -> str:
    """What the parts' operations say of themselves, once where several say the same."""
    owners: dict[str, list[str]] = {}
    for part in parts:
        owners.setdefault(_line(type(part).operations), []).append(part.kind)
    return "".join(f"- {', '.join(kinds)}: {text}\n" for text, kinds in owners.items() if text)


def _line(documented: Callable[..., Any]) -> str:
    return " ".join(text_of(documented.__doc__).split())


def _paragraphs(documented: Any) -> list[str]:
    return text_of(documented.__doc__).split("\n\n")
