"""Remedies with a list of which client k has the (k mod n)-th; what fits a device's memory picks from it."""

from collections.abc import Sequence
from typing import ClassVar

from msgspec.structs import replace

from fedspike.remedies.remedy import Remedy


class ByClient(Remedy):
    """A remedy whose field `listed` says what each client does, in turn."""

    listed: ClassVar[str]

    @property
    def options(self) -> tuple[Remedy, ...]:
        """Each of the list, for all."""
        return tuple(
            replace(self, **{self.listed: (one,)})
            for one in dict.fromkeys(getattr(self, self.listed))
        )

    def chosen(self, options: Sequence[Remedy]) -> Remedy:
        """With what each client's option has."""
        own = tuple(getattr(option, self.listed)[0] for option in options)
        return replace(self, **{self.listed: own if len({*own}) > 1 else own[:1]})
