"""Runs and judges in MLflow: `log_to_mlflow`, `log_judge`, `load_judge`."""

from mogradjudge.tracking.model import load_judge, log_judge
from mogradjudge.tracking.optimizer import log_to_mlflow

__all__ = ["load_judge", "log_judge", "log_to_mlflow"]
