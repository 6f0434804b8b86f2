"""What a run is before it starts, as far as its records say: enough to count, to price and to compare it."""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from fedspike.layers.operations import NetworkOperations

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Size = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e30)]  # sums and products of them stay finite
# A name becomes a folder, so it must not be able to leave its parent.
FolderName = Annotated[str, Meta(pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*\Z", max_length=255)]
MOST_COUNTED = 10_000  # clients whose samples are counted: with 10 classes they take 0.5 MB


def kind_of(table: object) -> str:
    """The kind that a table of a configuration says, or the name of one of the user's own; "" if neither."""
    kind = table.get("kind", table.get("name")) if isinstance(table, dict) else ""
    return kind if isinstance(kind, str) else ""


class RunDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's resolved configuration `config` and what follows from it and from the data.

    Of the tables of `config` only this kind of network has `network_tables`; of the other keys, dotted, each
    network has its own `network_keys`. `network_operations` is what a device does for the network and its
    training. `class_counts` has, for each client, its samples of each class; of more than `MOST_COUNTED`
    clients for the first ones, and `clients` says how many there are.
    """

    name: FolderName
    network: str
    seed: int
    algorithm: str
    partition: dict[str, Any]
    classes_per_client: Count | None
    centralised: bool
    config: dict[str, Any]
    network_tables: list[str]
    network_operations: NetworkOperations
    class_counts: Annotated[list[Annotated[list[Count], Meta(min_length=1)]], Meta(min_length=1)]
    settings_sha256: str
    data_sha256: str
    clients: Size
    network_keys: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if wrong := [t for t in self.network_tables if not isinstance(self.config.get(t), dict)]:
            raise ValueError(f"a configuration without a table {wrong[0]}")
        if self.config.get("partition") != self.partition:
            raise ValueError("a configuration with another partition")
        if len(self.class_counts) != min(self.clients, MOST_COUNTED):
            raise ValueError(f"samples of {len(self.class_counts)} of {self.clients} clients")
        if wrong := [
            t for t in ("partition", "code") if not kind_of(self.config.get(t, {"kind": t}))
        ]:
            raise ValueError(f"a {wrong[0]} of no kind")

    @property
    def time_steps(self) -> int | None:
        """The time steps of a spiking network; None of a conventional one."""
        return self.network_operations.time_steps
