"""MLflow (mlflow.org): a database in the folder, or the server of MLFLOW_TRACKING_URI where that is set."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedspike.trackers.tracker import About, Tracked


class MLflow:
    """Each experiment is one of MLflow's, each run a run with its settings as parameters."""

    kind, title, package = "mlflow", "MLflow", "mlflow"
    quiet: Mapping[str, str] = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "ERROR"}

    def open(self, about: About, into: Path) -> Tracked:
        """The run of this id, or a new one."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        client, name = MlflowClient(_uri(into)), about.experiment
        there = client.get_experiment_by_name(name)
        number = there.experiment_id if there else client.create_experiment(name)
        for run in client.search_runs([number], f"tags.fedspike = '{about.id}'"):
            return _Run(client, run.info.run_id)
        new = client.create_run(number, run_name=about.name, tags={"fedspike": about.id}).info
        settings = [Param(key, str(value)) for key, value in about.settings.items()]
        for first in range(0, len(settings), 100):  # as many as it takes at once
            client.log_batch(new.run_id, params=settings[first : first + 100])
        return _Run(client, new.run_id)

    def shown(self, into: Path) -> tuple[str, list[str]]:
        """Where the runs lie, and the command that shows them."""
        return _uri(into), ["mlflow", "ui", "--backend-store-uri", _uri(into)]


def _uri(into: Path) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{into}/mlflow.db"


class _Run:
    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run

    def last(self, metric: str) -> int:
        return max((m.step for m in self._client.get_metric_history(self._run, metric)), default=0)

    def add(self, round: int, metrics: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        values = [Metric(name, value, now, round) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=values)

    def close(self, finished: bool, /) -> None:
        if finished:
            self._client.set_terminated(self._run)
