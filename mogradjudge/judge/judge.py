"""Stage 0: score a text on every criterion of a rubric."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import dspy

from mogradjudge.concurrency import in_parallel
from mogradjudge.criteria import Criterion, Group, Rubric, fields_from_toml
from mogradjudge.criteria.applicability import NOT_APPLICABLE
from mogradjudge.data import listed
from mogradjudge.errors import SetupError
from mogradjudge.judge.calibration import ScoreMap
from mogradjudge.judge.call import Call, Reply, asend, send
from mogradjudge.judge.expected_score import MIN_SUPPORT, expected_score, read_tokens
from mogradjudge.judge.inputs import Inputs, check_inputs, read_inputs
from mogradjudge.judge.notebook import Shown
from mogradjudge.judge.predictor import ScorePredict, warned_once
from mogradjudge.judge.rate import Rating
from mogradjudge.judge.reply import field_by_field
from mogradjudge.judge.saved import note_model, noted_model, noted_server, saved_judge, settings_of
from mogradjudge.judge.scores import (
    JudgeSettings,
    NotApplicable,
    Reading,
    Unscored,
    scope_of,
)
from mogradjudge.lm.dspy_internals import messages_of
from mogradjudge.lm.models import has_own_server
from mogradjudge.lm.quoting import encodable, quote
from mogradjudge.lm.refusals import TopLogprobs
from mogradjudge.settings import Layout, ScoreRule

_SAMPLING_TEMPERATURE = 0.7  # for an LM set to 0, whose samples would all be the same


class MultiCriteriaJudge(Shown, dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Rates a text on several criteria; an optimizer edits its scoring instructions.

    Calling it with the rubric's inputs returns a `dspy.Prediction` with one score per criterion
    (an int for ``"integer"``, a float elsewhere and after `calibrate`; `Unscored` where the reply
    gave none) and ``readings``, a dict from each criterion to the `Reading` behind its score.
    ``model`` is the name of the model that a loaded judge was saved with, if its file says so.

    Args:
        rubric: What to rate.
        layout: ``"combined"`` asks for all criteria in one call, ``"separate"`` in one call each,
            and a partition in a call for each of its groups, as ``"fluency+style | relevance"``.
        score_rule: ``"integer"`` takes the score as written. ``"expected"`` weighs the scale by the
            probabilities of the score's tokens, so the LM must give logprobs. ``"mean_of_n"``
            averages ``n`` sampled replies.
        n: Samples for ``"mean_of_n"``: at least 2 there, 1 elsewhere.
        rationale: Whether the model writes short reasons before the scores.
        fallback: With ``"integer"``, the written integer replaces an expected score that cannot be
            computed, for example because the LM refuses logprobs; its reading's source is
            ``"fallback"``. With None, missing logprobs are an error.

    Raises:
        SetupError: If an argument breaks one of these rules.

    Example:
        >>> from dspy.utils import DummyLM
        >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
        >>> with dspy.context(lm=DummyLM([{"clarity": "4"}])):
        ...     MultiCriteriaJudge(rubric)(reply="Press the red button.").clarity
        4
    """

    def __init__(
        self,
        rubric: Rubric,
        layout: Layout = "combined",
        score_rule: ScoreRule = "integer",
        n: int = 1,
        rationale: bool = False,  # noqa: FBT001, FBT002 - a setting, given by name
        fallback: Literal["integer"] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(rubric, Rubric):
            raise SetupError(
                f"`rubric` must be a Rubric, got {rubric!r}. Rubric.from_toml reads one."
            )
        self.rubric = rubric
        self.settings = JudgeSettings(layout, score_rule, n, rationale, fallback)
        self.model: str | None = None
        self.own_server = False
        self._logprobs = TopLogprobs()
        self.judges = {
            _path(group, rubric): ScorePredict(rubric, group, self.settings)
            for group in _groups(rubric, layout)
        }

    @classmethod
    def from_saved(cls, path: str | Path, rubric: Rubric | None = None) -> Self:
        """Load a saved judge with the settings that it was saved with.

        Args:
            path: A JSON file written by `save`, or a run's folder.
            rubric: Its rubric. Default: ``rubric.toml`` beside the file, or else the rubric that is
                saved in the file.

        Raises:
            SetupError: If the file is no saved judge, or was saved for another rubric.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> rubric = Rubric(["reply"], [Criterion("clarity", "Is easy to read.")])
            >>> with TemporaryDirectory() as folder:
            ...     MultiCriteriaJudge(rubric, n=3, score_rule="mean_of_n").save(f"{folder}/j.json")
            ...     MultiCriteriaJudge.from_saved(f"{folder}/j.json").settings.n
            3
        """
        path = Path(path)
        path = path / "judge.json" if path.is_dir() else path
        beside = path.parent / "rubric.toml"
        try:
            saved = saved_judge(path)
            if rubric is None and beside.exists():
                rubric = Rubric.from_toml(beside)
            if rubric is None:
                rubric = Rubric(**fields_from_toml(str(saved.get("rubric"))))
            judge = cls(rubric, **settings_of(saved))
            judge.load(path)
        except SetupError as error:
            raise SetupError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:  # DSPy reads the file anew, unchecked
            raise SetupError(f"{path}: DSPy cannot load it: {error!r}.") from error
        return judge

    @property
    def calls_per_text(self) -> int:
        """LM calls for one text, if nothing is cached and nothing fails."""
        return len(self.judges) * self.settings.n

    @property
    def calibration(self) -> dict[str, ScoreMap]:
        """The map of each calibrated criterion, see `calibrate`; empty if none is."""
        held = (predictor.current_calibration() for predictor in self.judges.values())
        return {name: it for own in held if own is not None for name, it in own.maps.items()}

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Score one text; an image may be a path, an http(s) address or a `dspy.Image`.

        Raises:
            SetupError: If an input is missing, blank, no text or no image, or if logprobs are
                missing and no fallback is set.
            dspy.LMError: If the provider fails.
        """
        quoted, calls = self.quoted(inputs), self._calls()
        adapter = field_by_field(dspy.settings.adapter, self.rubric)
        with dspy.context(adapter=adapter):
            replies = in_parallel(lambda call: send(call, quoted), calls, len(calls))
        return self._prediction(replies, adapter)

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Score one text under asyncio, as `forward` does."""
        quoted, calls = self.quoted(inputs), self._calls()
        adapter = field_by_field(dspy.settings.adapter, self.rubric)
        with dspy.context(adapter=adapter):
            replies = await asyncio.gather(*(asend(call, quoted) for call in calls))
        return self._prediction(replies, adapter)

    def rate(self, table: Any, num_threads: int = 8, *, prefix: str | None = None) -> Any:
        """Score the rows of a table, and return it with the scores as columns, in its order.

        Each criterion adds the columns ``<criterion>`` (missing without a score),
        ``<criterion>_source`` and ``<criterion>_unscored`` (why there is no score), and with
        ``rationale=True`` also ``<criterion>_rationale``. A row that cannot be scored stops no
        other one.

        Args:
            table: A list of dicts, or a table of pandas, polars or pyarrow; it is not changed. Its
                columns are called as in the rubric, or as the inputs.
            num_threads: The most texts that are judged at a time.
            prefix: What the added names begin with; None is ``judge_`` if one is in use, else none.

        Raises:
            SetupError: If it is no table, or lacks an input.
            dspy.LMError: If the provider refuses the call or the key, or fails on every row.

        Example:
            >>> from dspy.utils import DummyLM
            >>> judge = MultiCriteriaJudge(Rubric(["reply"], [Criterion("clarity", "Is clear.")]))
            >>> with dspy.context(lm=DummyLM([{"clarity": "4"}])):
            ...     judge.rate([{"id": 7, "reply": "Press the red button."}])[0]["clarity"]
            4.0
        """
        return Rating.of(self, table, prefix).here(num_threads)

    async def arate(self, table: Any, num_calls: int = 8, *, prefix: str | None = None) -> Any:
        """Score the rows of a table under asyncio, as `rate` does."""
        return await Rating.of(self, table, prefix).awaited(asyncio.Semaphore(num_calls))

    def prompts(self, **inputs: Any) -> dict[str, list[dict[str, Any]]]:
        """Return the messages that `forward` sends with the adapter of the context, by predictor.

        Example:
            >>> judge = MultiCriteriaJudge(Rubric(["reply"], [Criterion("clarity", "Is clear.")]))
            >>> [message["role"] for message in judge.prompts(reply="Yes.")["clarity"]]
            ['system', 'user']
        """
        quoted, adapter = self.quoted(inputs), field_by_field(dspy.settings.adapter, self.rubric)
        return {
            name: messages_of(adapter, predictor.signature, predictor.demos, quoted)
            for name, predictor in self.judges.items()
        }

    def batch(self, examples: Iterable[dspy.Example], *settings: Any, **options: Any) -> Any:
        """Score examples in parallel, as `dspy.Module.batch` does.

        Raises:
            SetupError: Before any call, if an input is missing, blank or no text.
        """
        examples = listed(examples, "examples")
        examples = check_inputs(examples, self.rubric, "examples")
        return super().batch(examples, *settings, **options)

    def save(self, path: str | Path, *options: Any, **more: Any) -> None:
        """Save as `dspy.Module.save` does; a JSON file also names the model."""
        super().save(path, *options, **more)
        if Path(path).suffix == ".json":
            lm = next(iter(self.judges.values())).lm or dspy.settings.lm
            model = getattr(lm, "model", None)
            own_server = has_own_server(lm) if model else self.own_server
            note_model(Path(path), model or self.model, own_server=own_server)

    def load_state(self, state: Mapping[str, Any], *, allow_unsafe_lm_state: bool = False) -> None:
        """Restore a saved state; see `ScorePredict.load_state`.

        Raises:
            SetupError: If it was saved in another layout, or for other criteria.
        """
        ours = [name for name, _ in self.named_parameters()]
        theirs = [name for name in state if name != "metadata"]
        if ours != theirs:
            raise SetupError(
                f"The saved judge has the predictors {', '.join(theirs) or 'none'}, this one "
                f"{', '.join(ours)}. Load it with the rubric and layout it was saved with."
            )
        with warned_once():  # DSPy loads each predictor twice, first as a trial
            super().load_state(state, allow_unsafe_lm_state=allow_unsafe_lm_state)
        self.model, self.own_server = noted_model(state), noted_server(state)

    def _calls(self) -> list[Call]:
        logprobs = self._logprobs if self.settings.score_rule == "expected" else None
        least = 0 if self.settings.fallback else 1
        return [
            Call(predictor, self._config(predictor, sample), logprobs, least)
            for predictor in self.judges.values()
            for sample in range(self.settings.n)
        ]

    def _config(self, predictor: ScorePredict, sample: int) -> dict[str, Any]:
        lm = predictor.lm or dspy.settings.lm
        match self.settings.score_rule:
            case "expected":
                return self._logprobs.config(lm)
            case "mean_of_n":
                temperature = lm.kwargs.get("temperature") if lm else None
                sampled = _SAMPLING_TEMPERATURE if temperature == 0 else temperature
                return {"rollout_id": sample, "temperature": sampled}
            case _:
                return {}

    def quoted(self, inputs: Mapping[str, object]) -> Inputs:
        """Return a text's inputs as a prompt holds them, with markers of a prompt escaped."""
        fields = (*self.rubric.inputs, *self.rubric.names, "rationale")
        labels = isinstance(dspy.settings.adapter, dspy.TwoStepAdapter)
        if labels and self.rubric.images:  # DSPy 3.4 would send the bytes as text
            raise SetupError(
                f"dspy.TwoStepAdapter sends no images, and {self.rubric.images[0]!r} is one. Use "
                "another adapter, dspy.ChatAdapter() for example."
            )
        return {
            name: quote(value, fields, labels=labels) if isinstance(value, str) else value
            for name, value in read_inputs(inputs, self.rubric).items()
        }

    def _prediction(self, replies: Sequence[Reply], adapter: dspy.Adapter) -> dspy.Prediction:
        taken: dict[str, list[Reading]] = {name: [] for name in self.rubric.names}
        for reply in replies:
            if dspy.settings.trace is not None:
                dspy.settings.trace.extend(reply.trace)
            for name in reply.criteria:
                taken[name].append(self._reading(self.rubric[name], reply, adapter))
        readings = {name: _mean(samples) for name, samples in taken.items()}
        readings |= {
            name: score_map.applied_to(readings[name])
            for name, score_map in self.calibration.items()
        }
        scores = {name: reading.score for name, reading in readings.items()}
        return dspy.Prediction(**scores, readings=readings)

    def _reading(self, criterion: Criterion, reply: Reply, adapter: dspy.Adapter) -> Reading:
        rule = self.settings.score_rule
        if isinstance(reply.prediction, Unscored):
            return Reading(reply.prediction, rule)
        written = reply.prediction[criterion.name]
        rationale = reply.prediction.get("rationale")
        rationale = encodable(rationale) if isinstance(rationale, str) else None
        if written == NOT_APPLICABLE:
            written = NotApplicable()
        if isinstance(written, Unscored):
            return Reading(written, rule, rationale=rationale)
        if rule == "expected":
            return self._expected(criterion, reply.prediction, adapter, rationale)
        return Reading(int(written), rule, rationale=rationale)

    def _expected(
        self,
        criterion: Criterion,
        prediction: dspy.Prediction,
        adapter: dspy.Adapter,
        rationale: str | None,
    ) -> Reading:
        tokens = read_tokens(prediction.get("logprobs"))
        written = int(prediction[criterion.name])
        fields = (*self.rubric.names, "rationale")
        name, scale = criterion.name, criterion.scale
        expected = expected_score(tokens, name, scale, adapter, written, fields)
        if expected is not None and expected.support >= MIN_SUPPORT:
            return Reading(
                expected.score, "expected", expected.distribution, expected.support, rationale
            )
        if self.settings.fallback == "integer":
            return Reading(written, "fallback", rationale=rationale)
        if not tokens:
            raise SetupError(
                "score_rule='expected' needs token logprobs, and the LM sent none for "
                f"{criterion.name!r}. Use an LM that sends them, or fallback='integer' "
                "(--fallback integer)."
            )
        support = 0.0 if expected is None else expected.support
        reason = f"only {support:.2f} of the score's probability lies on the scale"
        return Reading(Unscored(reason), "expected", support=support, rationale=rationale)


def _groups(rubric: Rubric, layout: Layout) -> tuple[Group, ...]:
    scope = scope_of(layout)
    scope.check(rubric.names, "layout")
    return scope.groups(rubric.names)


def _path(group: Group, rubric: Rubric) -> str:
    return "all" if len(rubric.names) > 1 and group == rubric.names else "+".join(group)


def _mean(samples: Sequence[Reading]) -> Reading:
    """Average the samples that have a score, unless most say that it does not apply."""
    first = samples[0]
    scores = [sample.score for sample in samples if not isinstance(sample.score, Unscored)]
    others = [sample for sample in samples if isinstance(sample.score, NotApplicable)]
    if len(others) > len(scores):
        return others[0]
    if len(samples) == 1 or not scores:
        return first
    return Reading(sum(scores) / len(scores), first.source, rationale=first.rationale)
