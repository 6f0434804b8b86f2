"""The models of a run whose clients each have their own, out of the run's last checkpoint."""

from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from fedspike.errors import InputError
from fedspike.experiment.training import MEMORIES
from fedspike.federation.evaluation import own_model, whose
from fedspike.federation.plan import Plan
from fedspike.federation.state import State
from fedspike.federation.tensor_bytes import pack
from fedspike.networks import Parameters, SizedNetwork
from fedspike.records import checkpoint, reader
from fedspike.records.memory_files import MemoryFiles
from fedspike.records.schema import RunSummary
from fedspike.records.seal import fingerprint
from fedspike.records.writer import MODEL


@dataclass(frozen=True)
class OwnModels:
    """What server and clients knew after the last round of a run in its folder."""

    home: Path
    plan: Plan
    state: State

    @classmethod
    def stored(cls, home: Path, summary: RunSummary, plan: Plan) -> "OwnModels":
        """Those of a finished run. Nothing is written.

        Raises InputError where its last checkpoint is not there, damaged, or of other rounds, and where the
        sizes of the clients' networks cannot be told without the data.
        """
        if plan.fleet.memory_kb and plan.remedies:
            raise InputError(
                f"{home}: a run whose devices choose their networks by their memory and their samples",
                expected="clients whose networks the plan alone says",
                fix="train without fleet.memory_kb; summary.predictions has the classes of the test samples",
            )
        last = checkpoint.newest(home / reader.CHECKPOINT, home / reader.ROUNDS, {})
        if last is None:
            raise InputError(
                f"{home}: no checkpoint in it",
                expected=f"{reader.CHECKPOINT}/ and {MEMORIES}/ of the run, which have its clients' models",
                fix="copy the run's folder with all that is in it",
            )
        memories = MemoryFiles(home / MEMORIES, home.parent, 1, last.fix)
        if last.round != summary.rounds:
            raise InputError(
                f"{home}: a checkpoint of round {last.round}, and a summary of {summary.rounds} rounds",
                expected="the state after the last round of the summary",
                fix="give the experiment's command again: it finishes the run",
            )
        clients = memories.restore(last.round, last.memories, strike=False)
        state = replaced(State.from_tensors(last.round, last.tensors), clients=clients)
        if fingerprint(pack(state.tested)) != summary.files[MODEL]:
            raise InputError(
                f"{last.path}: another model than {MODEL}",
                expected="the checkpoint of this run",
                fix=last.fix,
            )
        return cls(home, plan, state)

    def of(self, network: SizedNetwork, client: int) -> tuple[SizedNetwork, Parameters]:
        """A client's network, of the one that is trained, and its parameters.

        Raises InputError where its device alone has them.
        """
        if client in self.state.remembered and client not in self.state.clients:
            raise InputError(
                f"{self.home}: client {client} has its model on its own device, which it never left",
                expected="a client whose model is in the run's folder",
                fix="ask on the device; summary.predictions has the classes of the test samples",
            )
        algorithm = self.plan.algorithm_over(network)
        parameters = own_model(algorithm, self.state, client)
        return algorithm.sub_network(network, client), parameters


def whose_samples(plan: Plan, summary: RunSummary) -> Int64[np.ndarray, " sample"]:
    """The client whose model each test sample was given to in a run's last test; 0 where one is for all.

    Raises InputError where the summary does not say it.
    """
    both, counted = reader.predictions_of(summary), len(summary.class_counts)
    if both is None or counted < summary.clients:
        raise InputError(
            f"{summary.name}: no labels of its test samples"
            if both is None
            else f"{summary.name}: classes of {counted} of {summary.clients} clients",
            expected="a summary that says whose model was given which test sample",
            fix=f"restore the run's own {reader.SUMMARY}"
            if both is None
            else "ask a run of fewer clients",
        )
    labels, _ = both
    members, seed = range(summary.clients), plan.seed_of_data
    return whose(labels, plan.algorithm, members, lambda: np.array(summary.class_counts), seed)
