"""TensorBoard (github.com/tensorflow/tensorboard): event files in the folder."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedspike.trackers.tracker import About, Tracked


class TensorBoard:
    """Each run is a folder below its experiment's, with its settings as hyperparameters."""

    kind, title, package = "tensorboard", "TensorBoard", "tensorboard"
    quiet: Mapping[str, str] = {}

    def open(self, about: About, into: Path) -> Tracked:
        """The run of this id, or a new one."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        folder = into / about.experiment / f"{about.name}.{about.id[:8]}"
        if (run := _Run(folder)).is_new:
            run.write(0, hparams_pb(dict(about.settings), trial_id=about.id))
        return run

    def shown(self, into: Path) -> tuple[str, list[str]]:
        """Where the runs lie, and the command that shows them."""
        return str(into), ["tensorboard", "--logdir", str(into)]


class _Run:
    def __init__(self, folder: Path) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self._writer: Any = None
        self._folder, self.is_new = str(folder), not folder.exists()
        self._stored = EventAccumulator(self._folder, size_guidance={"scalars": 1})

    def last(self, metric: str) -> int:
        if self.is_new or metric not in self._stored.Reload().Tags()["scalars"]:
            return 0
        return int(self._stored.Scalars(metric)[-1].step)

    def write(self, round: int, summary: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._writer = self._writer or EventFileWriter(self._folder, flush_secs=2)
        self._writer.add_event(Event(step=round, wall_time=time.time(), summary=summary))

    def add(self, round: int, metrics: Mapping[str, float]) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=one) for name, one in metrics.items()]
        self.write(round, Summary(value=values))

    def close(self, _: bool, /) -> None:
        if self._writer is not None:
            self._writer.close()
