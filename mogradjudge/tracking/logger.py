"""Logs one run to MLflow: metrics by step, section texts, the result."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from mogradjudge.files import LineLog, to_json, write_text
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.optimize.directory import EVENTS, JUDGE, PROGRAM, RESULT, RUBRIC, TRACKING
from mogradjudge.optimize.event_log import read_events
from mogradjudge.optimize.events import (
    Event,
    QuestionSkipped,
    RunResumed,
    RunStarted,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepEvent,
    StepStarted,
)
from mogradjudge.optimize.figures import named
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.programs.judged_text import Values
from mogradjudge.programs.saving import save_program
from mogradjudge.secrets import redact
from mogradjudge.tracking.destination import OURS, TAG, Destination, import_mlflow

logger = logging.getLogger(__name__)

_LONGEST_PARAM = 6000  # characters; MLflow refuses longer ones

SectionKey: TypeAlias = tuple[str, str | None]
"""A predictor's path, and a criterion, or None for the preamble."""


class RunLogger:
    """Logs one run to MLflow, as an observer of its events.

    What cannot be sent is sent with the next step; no failure of MLflow or its server ends the
    run. A resumed run sends what earlier starts could not send.

    Args:
        experiment: The name of the experiment of a new MLflow run; None for MLflow's current one.
        run_name: The name of a new MLflow run; None lets MLflow choose.
        folder: The run's folder; it stores the MLflow run's id, so that a resumed run continues in
            the same one.
        describe: Returns the run's parameters, and its initial section texts.
        is_judge: Whether the program is a judge, which has each criterion once.
    """

    def __init__(
        self,
        experiment: str | None,
        run_name: str | None,
        folder: Path | None,
        describe: Callable[[], tuple[Mapping[str, object], Mapping[SectionKey, str]]],
        *,
        is_judge: bool,
    ) -> None:
        self.mlflow = import_mlflow()
        self.folder, self.is_judge, self.describe = folder, is_judge, describe
        id_file = None if folder is None else folder / TRACKING
        self.destination = Destination(self.mlflow, experiment, run_name, id_file)
        self.resumed = self.warned = False
        self.known_steps: frozenset[int] | None = None
        self.params: dict[str, object] = {}
        self.tags = {OURS: version("mogradjudge")}
        self.step: dict[str, float] = {}
        self.steps: dict[int, dict[str, float]] = {}
        self.ends: dict[str, float] = {}
        self.texts: dict[str, str] = {}
        self.named: dict[str, list[SectionKey]] = {}

    def tell(self, event: Event) -> None:
        """Record an event, and send all records at the end of a step."""
        with self._guarded():
            if isinstance(event, RunResumed):
                self.resumed = True
                self._take_earlier(event.steps)
            self._take(event)
        if isinstance(event, RunStarted | RunResumed | SeedScored | StepEnded):
            self.send()

    def _take_earlier(self, steps: int) -> None:
        """Record the events of earlier starts up to step ``steps``."""
        lines = () if self.folder is None else read_events(LineLog(self.folder / EVENTS))
        for line in lines:
            if not isinstance(line.event, StepEvent) or line.event.step <= steps:
                self._take(line.event)

    def _take(self, event: Event) -> None:
        """Record an event; a step that was started again starts from zero."""
        match event:
            case RunStarted():
                self._begin(event)
            case SectionRewritten():
                path = self._path(event.step, (event.predictor, event.criterion))
                self.texts[path] = event.text
            case SeedScored():
                self.step = {}
            case StepStarted():
                self.step = {"skipped": 0}
            case QuestionSkipped():
                self.step["skipped"] += 1
        self.step |= event.figures()
        if isinstance(event, SeedScored):
            self._end_step(0, event.agreement)
        elif isinstance(event, StepEnded):
            self._end_step(event.step, event.agreement)

    def _begin(self, started: RunStarted) -> None:
        params, texts = self.describe()
        counts = {"train": started.train, "validation": started.validation}
        measures = {f"measure.{name}": method for name, method in started.measures.items()}
        self.params = {**params, **counts, **measures, "criteria": ", ".join(started.criteria)}
        for section, text in texts.items():
            self.texts[self._path(0, section)] = text

    def finish(self, result: OptimizationResult) -> None:
        """Record the result."""
        with self._guarded():
            ended = {"stop_reason": result.stop_reason, "seed_kept": str(result.seed_kept)}
            ended["confirmation"] = result.confirmation.verdict
            undefined = result.final_agreement.undefined()
            ended |= {f"undefined.{name}": why for name, why in undefined.items()}
            self.tags |= {TAG + key: value for key, value in ended.items()}
            self.ends |= named("final", result.final_agreement.as_dict())
            if result.selection is not None:
                self.ends |= named("optimistic", result.selection.best.as_dict())
            if result.test is not None:
                self.ends |= named("test_seed", result.test.seed.as_dict())
                self.ends |= named("test_final", result.test.final.as_dict())
            self.texts[RESULT] = to_json(result.as_dict()) + "\n"
            self.texts |= _saved(result.program)

    def close(self, status: str) -> None:
        """Send what is left, and end the MLflow run if it was started here."""
        if self.steps or self.ends or self.texts:
            self.send()
        with self._guarded():
            self.destination.close(status)

    def send(self) -> None:
        """Send all records that were not sent before."""
        with self._guarded():
            run, client = self.destination.open(resumed=self.resumed), self.mlflow.MlflowClient()
            entities, now = self.mlflow.entities, int(time.time() * 1000)
            known = self._known(client, run)
            client.log_batch(
                run,
                [entities.Metric(*it[1:], now, it[0]) for it in self._figures(known)],
                [entities.Param(*it) for it in self._new_params(client, run)],
                [entities.RunTag(key, text) for key, text in self.tags.items()],
            )
            self.steps, self.ends, self.tags, self.params = {}, {}, {}, {}
            if self.texts:
                with TemporaryDirectory() as folder:
                    for path, text in self.texts.items():
                        (Path(folder) / path).parent.mkdir(exist_ok=True)
                        write_text(Path(folder) / path, text)
                    client.log_artifacts(run, folder)
            self.texts = {}

    def _known(self, client: Any, run: str) -> frozenset[int]:
        """Return the steps that earlier starts have logged."""
        if self.known_steps is None:
            history = client.get_metric_history(run, "calls") if self.resumed else ()
            self.known_steps = frozenset(figure.step for figure in history)
        return self.known_steps

    def _new_params(self, client: Any, run: str) -> list[tuple[str, str]]:
        """Return the parameters that are new; MLflow refuses a batch with a changed one."""
        if not self.params:
            return []
        known = client.get_run(run).data.params
        params = {key: str(value)[:_LONGEST_PARAM] for key, value in self.params.items()}
        other = [key for key, value in params.items() if known.get(key, value) != value]
        if other and not self.resumed:
            logger.warning("The MLflow run keeps its own values of %s.", ", ".join(other))
        return [(key, value) for key, value in params.items() if key not in known]

    def _figures(self, known: frozenset[int]) -> Iterator[tuple[int, str, float]]:
        for step, figures in self.steps.items():
            if step not in known:
                yield from ((step, name, value) for name, value in figures.items())
        yield from ((0, name, value) for name, value in self.ends.items())

    def _end_step(self, step: int, agreement: Values) -> None:
        # An interrupted step is repeated, so its metrics wait for its end.
        self.steps[step] = {**self.step, **named("agreement", agreement)}
        for name, value in agreement.items():
            if value is None:  # 0 would be a wrong value
                self.tags[f"{TAG}undefined.{name}"] = f"at step {step}"

    def _path(self, step: int, section: SectionKey) -> str:
        """Name the file of a section's text, as in ``step_01/fluency.txt``.

        A program's sections lie under their predictor's name too; a judge has each criterion once.
        """
        predictor, criterion = section
        own = self.is_judge and criterion is not None
        words = criterion if own else f"{predictor} {criterion or 'preamble'}"
        name = re.sub(r"\W+", "_", str(words))
        alike = self.named.setdefault(name, [])  # for example paths that differ only in brackets
        if section not in alike:
            alike.append(section)
        number = alike.index(section) + 1
        return f"step_{step:02}/{name if number == 1 else f'{name}_{number}'}.txt"

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever a server does, a paid run goes on
            if not self.warned:
                reason = " ".join(redact(str(error)).split()) or type(error).__name__
                logger.warning(
                    "Logging to MLflow failed; the run continues, and missing records are sent "
                    "with the next step: %s",
                    reason,
                )
            self.warned = True


def _saved(program: Any) -> dict[str, str]:
    """Return the files of a saved program, named as in a run's folder."""
    judge = isinstance(program, MultiCriteriaJudge)
    with TemporaryDirectory() as folder:
        path = Path(folder) / (JUDGE if judge else PROGRAM)
        save_program(program, path)
        saved = {path.name: path.read_text(encoding="utf-8")}
    return {**saved, RUBRIC: program.rubric.to_toml()} if judge else saved
