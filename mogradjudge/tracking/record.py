"""One run as MLflow keeps it: figures by step, section texts, the result."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mogradjudge.events import (
    Event,
    GateDecided,
    QuestionSkipped,
    RunResumed,
    RunStarted,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepStarted,
    Values,
)
from mogradjudge.files import to_json, write_text
from mogradjudge.judge import MultiCriteriaJudge
from mogradjudge.result import OptimizationResult
from mogradjudge.runs import JUDGE, PROGRAM, RESULT, RUBRIC, TRACKING
from mogradjudge.saving import save_program
from mogradjudge.secrets import redact
from mogradjudge.tracking.installed import import_mlflow

logger = logging.getLogger(__name__)

_LONGEST_PARAM = 6000  # characters; MLflow refuses longer ones
_TAG = "mogradjudge."


class Record:
    """Tells MLflow of one run, as an observer of its events.

    What cannot be sent is kept and sent with the next step; nothing that MLflow or its server does
    ends the run.

    Args:
        experiment: The name of the experiment of a new MLflow run; None for MLflow's current one.
        run_name: The name of a new MLflow run; None lets MLflow choose.
        folder: The run's folder; it keeps the MLflow run's id, so that a run that is taken up goes
            on in the same one.
        describe: Gives the run's parameters, and the section texts that it starts from, by path.
    """

    def __init__(
        self,
        experiment: str | None,
        run_name: str | None,
        folder: Path | None,
        describe: Callable[[], tuple[Mapping[str, object], Mapping[str, str]]],
    ) -> None:
        self.mlflow = import_mlflow()
        self.experiment, self.run_name, self.describe = experiment, run_name, describe
        self.kept = None if folder is None else folder / TRACKING
        self.run_id: str | None = None
        self.own = self.resumed = self.warned = False
        self.known_steps: frozenset[int] = frozenset()
        self.params: dict[str, object] = {}
        self.tags: dict[str, str] = {}
        self.step: dict[str, float] = {}
        self.steps: dict[int, dict[str, float]] = {}
        self.ends: dict[str, float] = {}
        self.texts: dict[str, str] = {}

    def tell(self, event: Event) -> None:  # noqa: C901 - one case per event
        """Take an event in, and send what there is at the end of a step."""
        match event:
            case RunStarted():
                with self._guarded():
                    params, texts = self.describe()
                    counts = {"train": event.train, "validation": event.validation}
                    self.params = {**params, **counts, "criteria": ", ".join(event.criteria)}
                    self.texts.update(texts)
                self.send()
            case RunResumed():
                self.resumed = True
                self.send()
            case StepStarted():
                self.step = {"skipped": 0}
            case SectionRewritten():
                self.texts[text_path(event.step, event.predictor, event.criterion)] = event.text
            case QuestionSkipped():
                self.step["skipped"] += 1
            case GateDecided():
                self.step["accepted"] = float(event.accepted)
                if not event.unchanged:
                    self.step |= _defined("proposed", event.proposed)
                    self.step |= _defined("unscored", event.unscored)
            case SeedScored():
                self.step = {"calls": event.calls, **_defined("unscored", event.unscored)}
                self._end_step(0, event.agreement)
            case StepEnded():
                self.step |= {"calls": event.calls, "tokens": event.tokens}
                if event.cost is not None:
                    self.step["cost"] = event.cost
                self._end_step(event.step, event.agreement)
            case _:
                pass

    def finish(self, result: OptimizationResult) -> None:
        """Take the result in."""
        with self._guarded():
            self.tags |= {"stop_reason": result.stop_reason, "seed_kept": str(result.seed_kept)}
            undefined = result.final_agreement.undefined()
            self.tags |= {f"undefined.{name}": why for name, why in undefined.items()}
            self.ends |= _defined("final", result.final_agreement.as_dict())
            if result.test is not None:
                self.ends |= _defined("test_seed", result.test.seed.as_dict())
                self.ends |= _defined("test_final", result.test.final.as_dict())
            self.texts[RESULT] = to_json(result.as_dict()) + "\n"
            self.texts |= _saved(result.program)

    def close(self, status: str) -> None:
        """Send what is left, and end the MLflow run if it was begun here."""
        if self.steps or self.ends or self.texts:
            self.send()
        if self.own:
            with self._guarded():
                self.mlflow.end_run(status)

    def send(self) -> None:
        """Send all that was not sent before."""
        with self._guarded():
            self._open()
            client, run = self.mlflow.MlflowClient(), self.run_id
            entities, now = self.mlflow.entities, int(time.time() * 1000)
            params, self.params = self.params, {}  # a run refuses one that it has otherwise
            client.log_batch(
                run,
                [entities.Metric(name, value, now, step) for step, name, value in self._figures()],
                [entities.Param(key, str(it)[:_LONGEST_PARAM]) for key, it in params.items()],
                [entities.RunTag(_TAG + key, text) for key, text in self.tags.items()],
            )
            self.steps, self.ends, self.tags = {}, {}, {}
            if self.texts:
                with TemporaryDirectory() as folder:
                    for path, text in self.texts.items():
                        (Path(folder) / path).parent.mkdir(exist_ok=True)
                        write_text(Path(folder) / path, text)
                    client.log_artifacts(run, folder)
            self.texts = {}

    def _figures(self) -> Iterator[tuple[int, str, float]]:
        for step, figures in self.steps.items():
            if step not in self.known_steps:
                yield from ((step, name, value) for name, value in figures.items())
        yield from ((0, name, value) for name, value in self.ends.items())

    def _end_step(self, step: int, agreement: Values) -> None:
        # A step that is cut short is taken anew, so its figures wait for its end.
        self.steps[step] = {**self.step, **_defined("agreement", agreement)}
        for name, value in agreement.items():
            if value is None:  # it is no number, and 0 would be one
                self.tags[f"undefined.{name}"] = f"at step {step}"
        self.send()

    def _open(self) -> None:
        """Find the MLflow run to write to, or begin one."""
        if self.run_id is not None:
            return
        mlflow, active = self.mlflow, self.mlflow.active_run()
        if active is None:
            earlier = self._earlier()
            active = (
                mlflow.start_run(experiment_id=self._experiment_id(), run_name=self.run_name)
                if earlier is None
                else mlflow.start_run(run_id=earlier)
            )
            self.own = True
        self.run_id = active.info.run_id
        if self.resumed:
            history = mlflow.MlflowClient().get_metric_history(self.run_id, "calls")
            self.known_steps = frozenset(each.step for each in history)
        if self.kept is not None:
            write_text(self.kept, to_json({"run_id": self.run_id}) + "\n")

    def _earlier(self) -> str | None:
        """Give the MLflow run of an earlier start, if the server that is asked now has it."""
        if not self.resumed or self.kept is None or not self.kept.exists():
            return None
        run_id = str(json.loads(self.kept.read_text(encoding="utf-8"))["run_id"])
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
        found = self.mlflow.get_experiment_by_name(self.experiment)
        if found is None:
            return str(self.mlflow.create_experiment(self.experiment))
        return str(found.experiment_id)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a server does, a paid run goes on
            if not self.warned:
                reason = " ".join(redact(str(error)).split()) or type(error).__name__
                logger.warning(
                    "MLflow could not be told, and the run goes on; what is missing is sent with "
                    "the next step: %s",
                    reason,
                )
            self.warned = True


def text_path(step: int, predictor: str, criterion: str | None) -> str:
    """Name the file of a section's text, as in ``step_01/fluency.txt``.

    A program's sections lie under their predictor's name too; a judge has each criterion once.
    """
    section = criterion or "preamble"
    own = predictor.startswith("judges[") and criterion is not None
    name = re.sub(r"\W+", "_", section if own else f"{predictor} {section}")
    return f"step_{step:02}/{name}.txt"


def _defined(what: str, values: Values) -> dict[str, float]:
    return {f"{what}/{name}": value for name, value in values.items() if value is not None}


def _saved(program: Any) -> dict[str, str]:
    """Give the files of a saved program, as a run's folder holds them."""
    judge = isinstance(program, MultiCriteriaJudge)
    with TemporaryDirectory() as folder:
        path = Path(folder) / (JUDGE if judge else PROGRAM)
        save_program(program, path)
        saved = {path.name: path.read_text(encoding="utf-8")}
    return {**saved, RUBRIC: program.rubric.to_toml()} if judge else saved
