"""The MLflow run that a run is logged to: a new, the active, or an earlier one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mogradjudge.display.terminal import one_line
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json, to_json, write_text
from mogradjudge.secrets import redact

TAG = "mogradjudge."
"""The prefix of our tags."""
OURS = f"{TAG}version"
"""The tag of an MLflow run that has a run of this package."""
_REFUSALS = ("PERMISSION_DENIED", "UNAUTHENTICATED", "UNAUTHORIZED", "CUSTOMER_UNAUTHORIZED")


def import_mlflow() -> Any:
    """Import MLflow, which this package does not import by itself.

    Raises:
        SetupError: If it is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise SetupError(
            "Logging to MLflow needs mlflow, which is not installed. Install the extra: "
            'pip install "mogradjudge[mlflow]".'
        ) from error
    return mlflow


class Destination:
    """Finds or starts the MLflow run to log to, and ends it if it was started here.

    Args:
        mlflow: The module.
        experiment: The name of the experiment of a new MLflow run; None for MLflow's current one.
        run_name: The name of a new MLflow run; None lets MLflow choose.
        id_file: The file for the MLflow run's id; None stores it nowhere.
    """

    def __init__(
        self, mlflow: Any, experiment: str | None, run_name: str | None, id_file: Path | None
    ) -> None:
        self.mlflow, self.id_file = mlflow, id_file
        self.experiment, self.run_name = experiment, run_name
        self.run_id: str | None = None
        self.own = False

    def check(self) -> None:
        """Check that a new MLflow run can be in the experiment; a server that is away may come.

        Raises:
            SetupError: If the experiment is deleted, or this user may not see it.
        """
        if self.experiment is None or self.mlflow.active_run() is not None:
            return
        try:
            known = self.mlflow.get_experiment_by_name(self.experiment)
        except Exception as error:  # noqa: BLE001 - of many kinds, and a server may come back
            if getattr(error, "error_code", None) not in _REFUSALS:
                return
            why = f"is not open to you ({one_line(redact(str(error)))})"
        else:
            if known is None or known.lifecycle_stage != "deleted":
                return
            why = f"is deleted: `mlflow experiments restore -x {known.experiment_id}` restores it"
        raise SetupError(f"The MLflow experiment {self.experiment!r} {why}. Or give another name.")

    def open(self, *, resumed: bool) -> str:
        """Return the MLflow run's id; if ``resumed``, that of an earlier start."""
        if self.run_id is None:
            earlier = self._earlier() if resumed else None
            active = self.mlflow.active_run()
            self.run_id = (
                self._alone(earlier) if active is None else self._within(active.info, earlier)
            )
            if self.id_file is not None:
                write_text(self.id_file, to_json({"run_id": self.run_id}) + "\n")
        return self.run_id

    def close(self, status: str) -> None:
        """End the MLflow run if it was started here."""
        if self.own:
            self.mlflow.end_run(status)

    def _alone(self, earlier: str | None) -> str:
        if earlier is not None:
            return self._begin(run_id=earlier)
        return self._begin(experiment_id=self._experiment_id(), run_name=self.run_name)

    def _within(self, active: Any, earlier: str | None) -> str:
        """Use the active run, unless it has another run: the metrics of two would mix."""
        client = self.mlflow.MlflowClient()
        if earlier not in (None, active.run_id):
            tags = client.get_run(earlier).data.tags
            if tags.get("mlflow.parentRunId") == active.run_id:
                return self._begin(run_id=earlier, nested=True)
        elif earlier is not None:
            return earlier
        if OURS not in client.get_run(active.run_id).data.tags:
            return str(active.run_id)
        return self._begin(experiment_id=active.experiment_id, run_name=self.run_name, nested=True)

    def _begin(self, **settings: Any) -> str:
        begun = self.mlflow.start_run(**settings)
        self.own = True
        return str(begun.info.run_id)

    def _earlier(self) -> str | None:
        """Return the MLflow run of an earlier start, if the current server has it."""
        if self.id_file is None or not self.id_file.exists():
            return None
        run_id = str(read_json(self.id_file)["run_id"])
        try:
            self.mlflow.MlflowClient().get_run(run_id)
        except self.mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run_id

    def _experiment_id(self) -> str | None:
        if self.experiment is None:
            return None
        known = self.mlflow.get_experiment_by_name(self.experiment)
        if known is None:
            return str(self.mlflow.create_experiment(self.experiment))
        return str(known.experiment_id)
