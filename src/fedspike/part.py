"""What every part is: one frozen, typed record, and all that anybody knows of its kind in one file.

    class Burst(Code, tag="burst"):
        \"\"\"The brighter a pixel, the more spikes and the closer together.\"\"\"

        most_spikes: Annotated[int, Meta(ge=1)] = 5        # a key of [code], with its limits

The fields are the keys of its table in an experiment's file, the docstring is its documentation, and the tag,
its `kind` there, is written nowhere else. A family of parts (`Code`, `Neuron`, ...) is a class without a tag;
its abstract members are what every kind has. A part of your own is a class like those that ship, in a file of
yours.
"""

from abc import abstractmethod as abstractmethod
from collections.abc import Mapping
from functools import cache
from numbers import Integral, Real
from typing import Any, TypeVar, dataclass_transform, get_args

import msgspec

from fedspike.errors import InputError
from fedspike.reading import beyond_computing, limits_in_words, written

__all__ = ["Part"]

P = TypeVar("P", bound="Part")


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _Frozen(msgspec.StructMeta):
    """Tells type checkers that what inherits from a frozen record is frozen, too."""


class Part(
    msgspec.Struct,
    metaclass=_Frozen,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="kind",
    repr_omit_defaults=True,
):
    """A frozen record whose fields are held to their limits, from Python and from a file alike.

    As text it is what makes it again: what is as usual is left out.

    Raises InputError for a field outside its limits, and for a kind that lacks a member of its family.

    >>> from typing import Annotated
    >>> class Shift(Part, tag="shift"):
    ...     steps: Annotated[int, msgspec.Meta(ge=1)] = 2
    >>> Shift(), Shift().kind
    (Shift(), 'shift')
    >>> Shift(steps=0)
    Traceback (most recent call last):
    fedspike.errors.InputError: Shift: steps = 0
      expected: a whole number >= 1
      fix: leave it out for the default, 2
    """

    def __post_init__(self) -> None:
        demand_members(type(self))
        demand_limits(self)
        self.check()

    def check(self) -> None:
        """Raise InputError where fields that are each right cannot go together."""

    @property
    def kind(self) -> str:
        """What an experiment's file calls it."""
        return tag(type(self))


def kinds(family: type[P], names: Mapping[str, Any], *, usual: type[P]) -> tuple[type[P], ...]:
    """The kinds of a family among the names of its room, the usual one first; a kind has a tag."""
    tagged = (one for one in names.values() if isinstance(one, type) and issubclass(one, family))
    own = [one for one in tagged if is_kind(one)]
    return (usual, *(one for one in own if one is not usual))


def demand_limits(record: msgspec.Struct) -> None:
    """Raise InputError where a field is outside its limits; a list becomes a tuple, a whole number 1.0."""
    for name, annotation, fix in _fields(type(record)):
        value = getattr(record, name)
        fitted = within(f"{type(record).__name__}: {name}", value, annotation, fix, name)
        if fitted is not value:
            msgspec.structs.force_setattr(record, name, fitted)


def within(what: str, value: Any, annotation: Any, fix: str = "correct it", key: str = "") -> Any:
    """The value as a field of this type has it; InputError where the field cannot hold it."""
    try:
        return fitting(value, annotation)
    except (msgspec.ValidationError, AttributeError):  # msgspec takes an array for a mapping
        raise InputError(
            f"{what} = {written(value)}",
            expected=limits_in_words(annotation, value),
            fix=f"write {value.__name__}()" if isinstance(value, type) else fix,
            keys=(key,) if key else (),
        ) from None


def demand_fit(what: str, value: Any, fits: bool, *, expected: str, fix: str) -> None:
    """Raise InputError for what does not fit where an object is wanted, a class in its stead among it."""
    if not fits or isinstance(value, type):
        raise InputError(
            f"{what} = {written(value)}",
            expected=expected,
            fix=f"write {value.__name__}()" if isinstance(value, type) else fix,
        )


def fitting(value: Any, annotation: Any) -> Any:
    """The value as a field of this type has it; nan and infinity are no numbers, nor is 1e308.

    Raises msgspec.ValidationError where the field cannot hold it.
    """
    if annotation is Any:
        return value
    if families := part_types(annotation):
        if isinstance(value, families) or (value is None and type(None) in get_args(annotation)):
            return value
        raise msgspec.ValidationError("another part")
    if not isinstance(value, bool) and isinstance(value, Real):  # NumPy's numbers, too
        value = int(value) if isinstance(value, Integral) else float(value)
    fitted = msgspec.convert(value, annotation)
    if isinstance(fitted, float) and beyond_computing(fitted):
        raise msgspec.ValidationError("not a number that can be computed with")
    return fitted


def part_types(annotation: Any) -> tuple[Any, ...]:
    """The families or kinds of parts that a field may hold; none for a plain value."""
    choices = (annotation, *getattr(annotation, "__args__", ()))
    return tuple(one for one in choices if isinstance(one, type) and issubclass(one, Part))


def tag(kind: type[Part]) -> str:
    """What an experiment's file calls a kind; of a family, the name of its class."""
    return str(kind.__struct_config__.tag)


def is_kind(kind: type[Part]) -> bool:
    """Whether it has a tag, and so is more than a family."""
    return tag(kind) != kind.__name__


@cache
def demand_members(kind: type[Part]) -> None:
    """Raise InputError where a kind lacks a member that its family asks for."""
    missing = [
        name
        for name in dir(kind)
        if getattr(getattr(kind, name, None), "__isabstractmethod__", False)
    ]
    if missing:
        family = next(c for c in kind.__mro__ if missing[0] in vars(c))
        raise InputError(
            f"{kind.__name__} has no {' and no '.join(missing)}",
            expected=f"all members of a {family.__name__}: {vars(family)[missing[0]].__doc__}",
            fix=f"write {missing[0]} in {kind.__name__}, as the kinds that ship do",
        )
    if same := [one for one in kind.__mro__[1:] if issubclass(one, Part) and tag(one) == tag(kind)]:
        raise InputError(
            f'{kind.__name__} has the kind "{tag(kind)}" of {same[-1].__name__}',
            expected="a kind of its own, by which records and files know it",
            fix=f'class {kind.__name__}({same[0].__name__}, tag="{kind.__name__.lower()}")',
        )


@cache
def fields_of(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """A record's fields; looking annotations up takes a while."""
    return msgspec.structs.fields(kind)


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[Any, ...]:
    """Name and type of each field, and the usual fix of a wrong value."""
    return tuple((field.name, field.type, _usual_fix(field)) for field in fields_of(kind))


def _usual_fix(field: msgspec.structs.FieldInfo) -> str:
    """What its `Meta(extra={"fix": ...})` says, or the default."""
    for limits in getattr(field.type, "__metadata__", ()):
        if limits.extra and "fix" in limits.extra:
            return str(limits.extra["fix"])
    if field.default is msgspec.NODEFAULT:
        return "correct it"
    return f"leave it out for the default, {written(field.default)}"
