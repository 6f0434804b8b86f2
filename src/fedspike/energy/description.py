"""What a run is before it starts, as far as its records say: enough to count, to price and to compare it."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from fedspike.layers.operations import NetworkOperations

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Size = Annotated[int, Meta(ge=1, le=2**63 - 1)]
# A name becomes a folder, so it must not be able to leave its parent.
FolderName = Annotated[str, Meta(pattern=r"^[^/\\\x00]*[^/\\\x00.][^/\\\x00]*\Z", max_length=255)]


class RunDescription(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run's resolved configuration `config` and what follows from it and from the data.

    Of the tables of `config` only this kind of network has `network_tables`. `network_operations` is what a
    device does for the network and its training. `class_counts` has, for each client, its samples of each
    class.
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

    @property
    def time_steps(self) -> int | None:
        """The time steps of a spiking network; None of a conventional one."""
        return self.network_operations.time_steps
