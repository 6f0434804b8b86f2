"""Programs that show the course of runs, fed from what the runs stored; nothing here trains.

One file each, and one line in the list. Their packages are imported where they are used, never here.
"""

from fedspike.trackers.mlflow import MLflow
from fedspike.trackers.tensorboard import TensorBoard
from fedspike.trackers.tracker import Tracker
from fedspike.trackers.trackio import Trackio
from fedspike.trackers.wandb import WeightsAndBiases

TRACKERS: tuple[Tracker, ...] = (MLflow(), Trackio(), WeightsAndBiases(), TensorBoard())
