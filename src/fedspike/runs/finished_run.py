"""A finished run out of its folder: its model is used, its rounds and its bill are read.

run = fs.load("runs/mine")
run.predict(images)             the class of each image
run.rounds                      a table, a row a round
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Int64
from msgspec import Meta

from fedspike.data import SOURCES
from fedspike.data.arrays import as_array
from fedspike.data.disturbances import blurred, noisy
from fedspike.data.recordings import demand_recordings
from fedspike.data.source import Samples, as_in_a_dataset
from fedspike.energy import pricing
from fedspike.energy.account import RunBill
from fedspike.energy.levels import Level
from fedspike.energy.repricing import Prices, reprice
from fedspike.engine.choice import demand_device
from fedspike.errors import InputError
from fedspike.federation.cohort import samples
from fedspike.federation.evaluation import Examined, predict
from fedspike.federation.plan import Plan, takes_recordings
from fedspike.federation.tensor_bytes import unpack
from fedspike.networks import Parameters, SizedNetwork
from fedspike.part import demand_fit, tag, within
from fedspike.records import reader
from fedspike.records.schema import RunSummary
from fedspike.records.seal import verified
from fedspike.records.stored_rounds import again
from fedspike.records.writer import MODEL
from fedspike.runs.own_models import OwnModels, whose_samples
from fedspike.runs.rebuilding import rebuilt
from fedspike.runs.round_table import table

Deviation = Annotated[float, Meta(ge=0, le=100)]


def load(
    folder: str | Path,
    *,
    use: Sequence[str | Path] = (),
    network: Any = None,
    device: str = "cpu",
) -> "FinishedRun":
    """The finished run in a folder: a run's own, or that of an experiment with one run.

    `use` are files with parts of one's own, as after `--use`: they are run, also those that the run's folder
    keeps, only where they are named. A `network` that was given in Python is given again. Torch computes on
    `device`.

    Raises InputError where there is no finished run or more than one, where a file of it is not as it was
    written, and where a part of one's own is missing.
    """
    path = isinstance(folder, str | Path)
    demand_fit("folder", folder, path, expected="a path", fix='write load("runs/mine")')
    files = isinstance(use, list | tuple) and all(isinstance(one, str | Path) for one in use)
    demand_fit("use", use, files, expected="a list of paths", fix='write use=["mine.py"]')
    fits = network is None or isinstance(network, SizedNetwork)
    demand_fit("network", network, fits, expected="a network", fix="write ModuleNetwork(...)")
    demand_device(device)
    home, summary = _run_in(Path(folder))
    return FinishedRun(home, summary, rebuilt(home, use, network), device)


@dataclass(frozen=True, eq=False, repr=False)
class FinishedRun:
    """What became of a training: its `plan`, its records, its model, and what the model says of images.

    The plan's data are None where they were an object in Python.
    """

    folder: Path
    summary: RunSummary
    plan: Plan
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The run's."""
        return self.summary.name

    @property
    def accuracy(self) -> float:
        """The share of all test samples that the model was right about after the last round."""
        return self.summary.final_accuracy

    @property
    def classes(self) -> int:
        """How many the network tells apart."""
        return len(self.summary.class_counts[0])

    @cached_property
    def model(self) -> Parameters:
        """The parameters that were tested last, by names such as `hidden.weight`; float32."""
        path, fix = self.folder / MODEL, f"restore it, or {again(self.folder)}"
        return unpack(verified(path, self.summary.files[MODEL], fix), path, fix)

    @cached_property
    def rounds(self) -> Any:
        """A DataFrame with a row a round, of pandas or, without it, of polars; InputError without both."""
        return table(reader.rounds(self.folder, self.summary))

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in the order of their numbers; none where classes are numbers.

        They stand in the experiment's summary, in the folder above the run's; without it there are none.
        """
        if not (self.folder.parent / reader.SUMMARY).is_file():
            return ()
        experiment = reader.stored(self.folder.parent)
        dataset = experiment.dataset
        ours = any(run.seal == self.summary.seal for run in experiment.runs)
        return tuple(dataset.class_names) if ours and dataset is not None else ()

    def tested_on(self, client: int) -> Int64[np.ndarray, " tested"]:
        """The positions, in `x_test`, of the samples on which a client's own model was tested.

        Where one model is for all, they are all samples, whoever is asked.

        Raises InputError for a client that is none, and where the run does not know its test samples.
        """
        client = self._client(client)
        if self.summary.accuracy_of == "global model":
            client = 0
        return np.flatnonzero(self._whose == client)

    def predict(
        self, images: Any, *, client: int | None = None, noise: float = 0.0, blur: float = 0.0
    ) -> Int64[np.ndarray, " sample"]:
        """The class of each image. Images are as in `Dataset.x_test`: [sample, *shape], from 0 to 1.

        Where each client has a model of its own, that of this `client` is asked, out of the run's last
        checkpoint. `x_test[run.tested_on(client)]` gives what it said in the last test, and these of all
        clients together the run's accuracy.

        Bytes are taken too where the data's files have bytes. Spikes are drawn as in the run's last test, by
        the place of an image among all, so that the test samples give the run's accuracy, to the digit.
        `noise` and `blur` are standard deviations, as in the plan's `test_noise` and `test_blur`: the test
        samples give the accuracies in `summary.disturbed`.

        Raises InputError for images of another shape or range, for a client where one model is for all, for
        none where each has its own, and for one whose model is not in the run's folder.
        """
        first, client = self._asked(client)
        noise = within("predict: noise", noise, Deviation, "write noise=0.1")
        blur = within("predict: blur", blur, Deviation, "write blur=1.0")
        source = self.plan.data
        x = self._as_in_its_data(images) if source is None else source.as_loaded(images)
        recorded = takes_recordings(self.plan.network)
        if source is not None and not recorded:
            x = source.counted(x)
        network = self._network_for(x, x.shape[1:-1] if recorded else x.shape[1:])
        if recorded and (noise or blur):
            raise InputError(
                "noise or blur over recordings of events",
                expected="samples of numbers, which can be disturbed",
                fix="leave both out",
            )
        if blur and x.ndim > 2:
            x = blurred(x, blur)
        elif blur:
            raise InputError(
                f"blur = {blur} over samples of shape {x.shape[1:]}",
                expected="images, which can be blurred",
                fix="leave blur out",
            )
        if noise:
            x = noisy(x, noise, self.plan.seed, -1.0 if x.min() < 0 else 0.0)
        labels = np.zeros(len(x), np.int64)  # nobody asks for them
        all_samples = samples(x, labels, device=self.device)
        model = self.model
        if client is not None:
            network, model = self._own_models.of(network, client)
        examined = Examined(network, lambda: model, torch.arange(len(x)), first)
        predicted, _ = predict([examined], all_samples, self.plan.seed, self.summary.rounds)
        return predicted.cpu().numpy()

    def bill(self, profile: str, level: Level = "memory", radio: str = "") -> RunBill:
        """Modelled energy of a mean round's training, over all clients; `.run` is that of all rounds.

        Profile and radio are some that ship, or TOML files of your own. Raises InputError for an unknown one,
        for an unknown level, and for a level that the profile does not allow.
        """
        profile = within("bill: profile", profile, str, 'write "horowitz45-int8", or "mine.toml"')
        level = within("bill: level", level, str, 'write "memory"')
        radio = within("bill: radio", radio, str, 'write "lte"')
        hardware = pricing.hardware([profile], radio, "")
        prices = Prices(
            hardware.chosen, (pricing.level(level),), hardware.radio, hardware.duty, named=True
        )
        rounds = reader.rounds(self.folder, self.summary)
        ((levels,),) = (run.bill.values() for run in reprice([(self.summary, rounds)], prices).runs)
        (bill,) = levels.values()
        return bill

    def plot(self) -> Any:
        """The test accuracy of each round as a chart of altair, as in the report.

        Raises InputError where altair is not installed.
        """
        from fedspike.report.figures.accuracy import chart

        return chart(self.summary)

    def __repr__(self) -> str:
        return "\n  ".join(self._in_words())

    def _repr_html_(self) -> str:
        from fedspike.report.figures.accuracy import drawing
        from fedspike.report.rendering.libraries import are_here

        title, result = map(escape, self._in_words())
        curve = drawing(self.summary) if are_here() else ""
        return f"<p><b>{title}</b><br>{result}</p>\n{curve}"

    def _in_words(self) -> tuple[str, str]:
        summary = self.summary
        network = f"{summary.network.upper()} of {'-'.join(map(str, summary.layers))} neurons"
        rounds = f"{summary.rounds} round{'s' if summary.rounds > 1 else ''}"
        clients = f"{summary.clients} client{'s' if summary.clients > 1 else ''}"
        return (
            f"FinishedRun {self.name}: {network}, {summary.parameters} parameters",
            f"accuracy {self.accuracy:.1%} after {rounds} of {summary.algorithm} with {clients};"
            f" {self.folder}",
        )

    @cached_property
    def _own_models(self) -> OwnModels:
        return OwnModels.stored(self.folder, self.summary, self.plan)

    @cached_property
    def _whose(self) -> Int64[np.ndarray, " sample"]:
        return whose_samples(self.plan, self.summary)

    def _client(self, client: Any) -> int:
        one = Annotated[int, Meta(ge=0, lt=self.summary.clients)]
        number: int = within("client", client, one, "write client=0")
        return number

    def _asked(self, client: Any) -> tuple[int, int | None]:
        """The number of the first image among those of the last test, and whose model is asked."""
        alike, own = self.summary.accuracy_of == "global model", client is not None
        if alike == own:
            raise InputError(
                f"predict: client={client}, where {self.name}'s accuracy is of {self.summary.accuracy_of}",
                expected="no client: one model is for all"
                if alike
                else "the client whose model it is",
                fix="leave client out"
                if alike
                else f"write predict(images, client=0), or another below {self.summary.clients}",
            )
        if client is None:
            return 0, None
        client = self._client(client)
        return int((self._whose < client).sum()), client

    def _as_in_its_data(self, images: Any) -> Samples:
        """Of data that were an object in Python."""
        code = getattr(self.plan.network, "code", None)
        if takes_recordings(self.plan.network):
            demand_recordings(
                "images", recordings := as_array(images, "images"), self.plan.network.time_steps
            )
            return recordings
        return as_in_a_dataset(images, signed=code is None or code.signed)

    def _network_for(self, x: np.ndarray, own: tuple[int, ...]) -> SizedNetwork:
        """The network that was trained, for samples of their `own` shape. InputError where it had another."""
        trained, shape = self._sizes(self.summary.network_operations.layers), self._shape
        wrong = InputError(
            f"images of shape {x.shape}",
            expected=f"[sample, {', '.join(map(str, shape))}], as in x_test of the run's data"
            if shape
            else f"samples as in x_test of the run's data; the network has {self.summary.layers[0]} inputs",
            fix="images[None] is a single image as one of many"
            if x.shape == shape
            else "give images of that shape, and all axes of a sample behind the first",
        )
        if shape not in ((), own):
            raise wrong
        try:
            network: SizedNetwork = self.plan.network.over(own, self.classes)
            if (
                not network.takes(math.prod(own))
                or self._sizes(network.operations().layers) != trained
            ):
                raise InputError(
                    f"a network of layers {dict(network.described)}",
                    expected=f"the one that was trained, of layers {self.summary.layers}",
                    fix="make it as it was made for the training",
                )
        except InputError as error:
            raise error if shape else wrong from error
        if x.dtype == np.float32 and x.min() < 0 and not network.signed:
            raise InputError(
                f"images holds {x.min()} to {x.max()}",
                expected="numbers from 0 to 1, as in x_test of the run's data",
                fix="scale images as those were scaled",
            )
        return network

    @property
    def _shape(self) -> tuple[int, ...]:
        """Of a sample, where the records say it."""
        if self.summary.raster is not None:
            return self.summary.raster.shape
        weights = self.summary.hidden_weights
        return () if weights is None else tuple(weights.shape[1:])

    @staticmethod
    def _sizes(layers: Any) -> dict[str, tuple[int, ...]]:
        return {
            name: (one.inputs, one.outputs, one.synapses, one.parameters)
            for name, one in layers.items()
        }


def _run_in(folder: Path) -> tuple[Path, RunSummary]:
    """The one run in a folder, and its whole summary."""
    kinds = [tag(kind) for kind in SOURCES]
    if not folder.exists() and (str(folder) in kinds or folder.suffix == ".npz"):
        raise InputError(
            f"{folder}: no folder, but the name of data",
            expected="the folder of a finished run, such as runs/mine",
            fix=f'load_data("{folder}") reads data',
        )
    experiment = reader.read(folder)
    if (folder / reader.ROUNDS).exists():
        return folder, experiment.runs[0]
    homes = [folder / run.name for run in experiment.runs]
    if len(homes) > 1:
        lines = "".join(f'\n    load("{home}")' for home in homes)
        raise InputError(
            f"{folder} holds {len(homes)} runs", expected="one run", fix=f"name one of them:{lines}"
        )
    summary = reader.run(homes[0])
    if summary is None:
        raise InputError(
            f"{homes[0]}: no {reader.SUMMARY} in it",
            expected="the folder of the run, beside the experiment's summary",
            fix="copy the folder with all that is in it",
        )
    return homes[0], summary
