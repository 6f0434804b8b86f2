"""Nobody learns from anybody: the baseline that a federation must beat."""

from collections.abc import Mapping

from fedspike.algorithms.algorithm import Algorithm, Client, LocalModel, Tree
from fedspike.algorithms.personal import OWN
from fedspike.networks import Parameters
from fedspike.rules import Rule


class LocalOnly(Algorithm, tag="local-only"):
    """Each client trains a model of its own on its own data, and sends nothing."""

    def again(self, ordered: Tree) -> Tree:
        """Nothing; the initial model came the first time."""
        del ordered
        return {}

    def joining(self) -> Mapping[str, Rule]:
        """Nothing."""
        return {}

    def next_state(self, server: Tree, joined: Tree, participation: float) -> Tree:
        """As it was."""
        del joined, participation
        return server

    def remember(self, received: Tree) -> Tree:
        """The client's model, as received."""
        return {OWN: received["model"]}

    def begin(self, client: Client) -> Parameters:
        """The client's model."""
        return client.memory[OWN]

    def answer(self, client: Client, trained: LocalModel) -> tuple[Tree, Tree]:
        """Nothing; the client remembers its model."""
        return {}, {OWN: {name: trained.parameters[name] for name in client.memory[OWN]}}

    def own(self, ordered: Tree, memory: Tree) -> Parameters:
        """The client's model."""
        del ordered
        return memory[OWN]
