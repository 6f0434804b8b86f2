"""The levels of a bill, in their order: each includes all levels before it and adds something."""

from typing import Annotated, Literal

from msgspec import Meta

Level = Literal["study", "compute", "memory", "training", "communication"]
ADDS: dict[Level, str] = {
    "study": "synaptic operations",
    "compute": "neurons and encoder",
    "memory": "memory accesses",
    "training": "training and aggregation",
    "communication": "radio",
}
"""What each level adds. "study" is the founding study's rule: the forward pass alone."""
LEVELS: tuple[Level, ...] = tuple(ADDS)
# As `key` makes them.
LevelName = Annotated[str, Meta(pattern=r"^(study|compute|memory|training|communication:.+)\Z")]

HIGHEST_OF_INFERENCE: Level = "memory"
# The price of a synaptic operation includes the levels after it.
HIGHEST_OF_ALL_IN: Level = "compute"
HIGHEST_WITHOUT_RADIO: Level = "training"


def includes(level: Level, other: Level) -> bool:
    """Whether the energy at a level includes what another level adds.

    >>> includes("training", "memory"), includes("study", "memory")
    (True, False)
    """
    return LEVELS.index(other) <= LEVELS.index(level)


def up_to(level: Level) -> tuple[Level, ...]:
    """A level and all before it, in their order.

    >>> up_to("memory")
    ('study', 'compute', 'memory')
    """
    return LEVELS[: LEVELS.index(level) + 1]


def key(level: Level, radio: str = "") -> str:
    """The name of a level in stored bills: of the one that depends on the radio, with the radio.

    >>> key("memory"), key("communication", "lte")
    ('memory', 'communication:lte')
    """
    return f"{level}:{radio}" if level == "communication" else level


def level_of_key(name: str) -> Level:
    """The level of a name that `key` made.

    >>> level_of_key("communication:lte")
    'communication'
    """
    plain = name.partition(":")[0]
    return next(level for level in LEVELS if level == plain)
