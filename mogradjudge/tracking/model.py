"""A judge as an MLflow model: its saved files, without pickle and without keys."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dspy

from mogradjudge.concurrency import in_parallel
from mogradjudge.files import write_text
from mogradjudge.judge.cells import Added, cells_of
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.optimize.directory import JUDGE, RUBRIC
from mogradjudge.programs.execution import judging, run_program
from mogradjudge.tracking.destination import import_mlflow

_THREADS = 8
_FOLDER = "judge"


def log_judge(
    judge: MultiCriteriaJudge, name: str = "judge", *, registered_model_name: str | None = None
) -> Any:
    """Log a judge as an MLflow model; return MLflow's `ModelInfo` with its ``model_uri``.

    No call is sent. The model holds ``judge.json`` and ``rubric.toml`` and is loaded by this
    package. An LM that was pinned on the judge with `set_lm` is named in it, without key, headers
    and credentials, and uses its provider's usual address; any other judge uses the
    ``dspy.settings.lm`` of the process that uses the model.

    Loaded with ``mlflow.pyfunc.load_model``, `predict` takes a table with the columns of the
    rubric's inputs (any others are ignored) and gives, row by row and for each criterion,
    ``fluency`` (NaN where there is no score), ``fluency_source`` and ``fluency_unscored`` (why
    there is none). The setting ``num_threads`` (8) of its ``model_config`` is how many texts are
    judged at once.

    ``mlflow.dspy.log_model`` takes a judge as well, but pickles ``dspy.settings.lm`` into the
    model, with any key that was given to it in Python.

    >>> from mogradjudge.tracking import load_judge, log_judge
    >>> model = log_judge(MultiCriteriaJudge.from_saved("run/judge.json"))  # doctest: +SKIP
    >>> judge = load_judge(model.model_uri)  # doctest: +SKIP

    Args:
        judge: The judge.
        name: The model's name.
        registered_model_name: Its name in the model registry; None registers nothing.

    Raises:
        SetupError: If mlflow is not installed.
    """
    mlflow = import_mlflow()
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / _FOLDER
        path.mkdir()
        judge.save(path / JUDGE)
        write_text(path / RUBRIC, judge.rubric.to_toml())
        # MLflow sends an example through the model, and warns where it is given none.
        warnings.filterwarnings("ignore", r".*input example was not provided", UserWarning)
        return mlflow.pyfunc.log_model(
            name=name,
            loader_module=__name__,
            data_path=str(path),
            signature=_signature(mlflow, judge),
            registered_model_name=registered_model_name,
            model_config={"num_threads": _THREADS},
            pip_requirements=[
                f"{package}=={version(package)}" for package in ("mogradjudge", "dspy")
            ],
        )


def load_judge(model_uri: str) -> MultiCriteriaJudge:
    """Load a judge that `log_judge` has logged.

    >>> judge = load_judge("models:/fluency/1")  # doctest: +SKIP

    Raises:
        SetupError: If mlflow is not installed, or the model is no such judge.
    """
    mlflow = import_mlflow()
    folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri))
    return MultiCriteriaJudge.from_saved(folder / "data" / _FOLDER / JUDGE)


def _load_pyfunc(data_path: str, model_config: Mapping[str, Any] | None = None) -> _Scorer:
    """Load the model for MLflow."""
    judge = MultiCriteriaJudge.from_saved(Path(data_path) / JUDGE)
    return _Scorer(judge, int((model_config or {}).get("num_threads", _THREADS)))


class _Scorer:
    """Scores tables."""

    def __init__(self, judge: MultiCriteriaJudge, num_threads: int) -> None:
        self.judge, self.num_threads = judge, num_threads

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        import pandas as pd

        rubric = self.judge.rubric
        columns = dict(zip(rubric.inputs, rubric.columns, strict=True))
        table = pd.DataFrame(model_input)
        rows = pd.DataFrame({name: table[column] for name, column in columns.items()}).to_dict(
            "records"
        )

        examples = [dspy.Example(row) for row in rows]
        rows = list(map(dict, check_inputs(examples, rubric, "model_input", local=False)))

        def score(row: Mapping[str, Any]) -> Mapping[str, Any]:
            return cells_of(run_program(self.judge, row), rubric.names)

        with judging():
            cells = in_parallel(score, rows, self.num_threads)
        return pd.DataFrame(cells, columns=Added.by(self.judge).schema().names)


def _signature(mlflow: Any, judge: MultiCriteriaJudge) -> Any:
    kinds, column = mlflow.types.DataType, mlflow.types.ColSpec
    outputs = [
        column(
            kinds.double if str(field.type) == "double" else kinds.string,
            field.name,
            required=False,
        )
        for field in Added.by(judge).schema()
    ]
    return mlflow.models.ModelSignature(
        inputs=mlflow.types.Schema([column(kinds.string, name) for name in judge.rubric.columns]),
        outputs=mlflow.types.Schema(outputs),
    )
