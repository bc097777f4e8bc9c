"""Composes a judge: chooses sections and calls by measured interference, and confirms once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import dspy
import numpy as np

from mogradjudge.composition.front import Composition, Point, taken
from mogradjudge.composition.sources import Sources, layout_of
from mogradjudge.criteria import Group
from mogradjudge.data import has_groups, listed
from mogradjudge.errors import SetupError
from mogradjudge.files import LineLog, check_folder, locked, read_json, to_json, write_text
from mogradjudge.judge.finish_reason import cut_replies_counted
from mogradjudge.judge.inputs import check_inputs
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.budget import Budget
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.lm.stop import interruptible
from mogradjudge.objectives import Objective, rubric_objectives
from mogradjudge.objectives.human_agreement import agreement_options
from mogradjudge.objectives.rubric import check_measurable, check_ratings
from mogradjudge.optimize.config import MOGradConfig
from mogradjudge.optimize.confirmation import Confirmation, confirmed
from mogradjudge.optimize.datasets import (
    SHARES_OF_VALIDATION,
    RunData,
    grouped,
    split_to_confirm,
)
from mogradjudge.optimize.difference import agrees_more, difference_between
from mogradjudge.optimize.parts import Parts
from mogradjudge.programs.checks import check_scored
from mogradjudge.programs.evaluation import Judgement, agreement_of, judge_examples
from mogradjudge.programs.first_texts import FirstTexts
from mogradjudge.programs.identity import describe_lm, differences, digest_of
from mogradjudge.scoring.evaluate import check_ready
from mogradjudge.scoring.interference import Interference
from mogradjudge.settings import Level, Measure
from mogradjudge.settings.fields import Confirm

_ASKED, _CACHE, _CALLS, _LOCK = "asked.json", "cache", "calls.jsonl", "lock"
_MEASURED, _FRESH, _CONFIRMED = "measured", "fresh", "confirmed"


@dataclass(frozen=True)
class ComposeOptions:
    """How a judge is composed.

    >>> ComposeOptions(max_calls_per_text=2).level
    'pooled'

    Args:
        max_calls_per_text: The most calls for one text (and sample); None for one per criterion.
        confirm: As for `MOGrad`.
        measure: How agreement is measured.
        level: Over which texts.
        seed: Seeds the split of the validation set.
        num_threads: The most calls in flight.
        max_rpm: The most calls in any 60 seconds.
        keep_going: Whether to continue if none of the first texts has a score.

    Raises:
        SetupError: If the number of calls is below 1.
    """

    max_calls_per_text: int | None = None
    confirm: Confirm = "report"
    measure: Measure = "spearman"
    level: Level = "pooled"
    seed: int = 0
    num_threads: int = 8
    max_rpm: int | None = None
    keep_going: bool = False

    def __post_init__(self) -> None:
        """Check the number."""
        most = self.max_calls_per_text
        if most is not None and (type(most) is not int or most < 1):
            raise SetupError(
                f"`max_calls_per_text` must be a whole number, at least 1, got {most!r}."
            )


_DEFAULTS = ComposeOptions()


def compose(
    sources: Sequence[MultiCriteriaJudge | str | Path],
    valset: Iterable[dspy.Example],
    options: ComposeOptions = _DEFAULTS,
    *,
    budget: Budget | None = None,
    out: str | Path | None = None,
) -> Composition:
    """Put sections that were optimized one criterion at a time into one judge.

    Each criterion is first rated in a call of its own, with each section that the sources have for
    it and the initial one; the best is taken, on the texts that both have scored, of those that
    leave no more rated texts without a score than the initial one. Then each two criteria are rated
    in one call: what that does to either is the K x K matrix of interference. Groups are merged
    greedily, those with the least measured interference between them first, and each new group is
    scored by new replies, down to one call. Of the partitions within ``max_calls_per_text`` the one
    with the highest mean agreement is taken, of those that leave no more rated texts without a
    score than the one with most calls. It is compared once with the initial sections in the same
    calls, on two fifths of the documents, which chose nothing.

    For V validation texts, K criteria with S sections each, it takes at most
    V (K S + K (K - 1) / 2 + 2 K - 1) calls and those of the confirmation (`most_calls`).

    Args:
        sources: Judges, or the paths of saved ones or of runs. A criterion may be in several.
        valset: Rated examples that the sources have not read.
        options: How it is composed.
        budget: Caps on the calls, earlier starts in ``out`` included.
        out: A folder for the result and the paid replies; the same call resumes there.

    Raises:
        SetupError: Before any call is paid, if the sources or the examples cannot be used.
        BudgetExhausted: If a cap is reached; what is paid is kept in ``out``.
        ReplyError: If none of the first texts has a score.

    Example:
        >>> from dspy.utils import DummyLM
        >>> from mogradjudge import Criterion, Rubric
        >>> rubric = Rubric(["text"], [Criterion("tone", "Is it kind?")])
        >>> rows = [{"text": f"Text {n}", "human_tone": n} for n in (1, 2, 3, 4)]
        >>> valset = [dspy.Example(row).with_inputs("text") for row in rows]
        >>> with dspy.context(lm=DummyLM([{"tone": str(row["human_tone"])} for row in rows] * 2)):
        ...     composed = compose(
        ...         [MultiCriteriaJudge(rubric)], valset, ComposeOptions(num_threads=1)
        ...     )
        >>> composed.chosen.mean, composed.sections
        (1.0, {'tone': 'initial'})
    """
    read = Sources.of(sources)
    ledger = Ledger(budget, options.num_threads, options.max_rpm)
    data = composed_data(read, valset, options)
    folder = None if out is None else Path(out)
    with (
        _kept_in(folder, _request(read, data, options), ledger),
        cut_replies_counted(),
        interruptible(ledger.stop_signal),
    ):
        result = _Composing(read, data, options, ledger, folder).result()
        if folder is not None:
            result.save(folder)
    return result


def most_calls(sources: Sources, data: RunData, options: ComposeOptions = _DEFAULTS) -> int:
    """Return how many calls `compose` sends at most, if none is sent again.

    Args:
        sources: The sections.
        data: The examples, from `composed_data`.
        options: How it is composed.
    """
    count = len(sources.rubric.names)
    alone = sum(map(len, sources.sections.values()))
    pairs = count * (count - 1) // 2
    per_text = alone + (pairs + 2 * count - 1 if count > 1 else 1)
    confirmed = 2 * min(count, options.max_calls_per_text or count)
    texts = {name: len(part) for name, part in data.parts.items()}
    calls = texts["validation"] * per_text + texts["confirmation"] * confirmed
    return calls * sources.settings.n


def composed_data(
    sources: Sources, valset: Iterable[dspy.Example], options: ComposeOptions = _DEFAULTS
) -> RunData:
    """Check the examples, and set two fifths of their documents aside to confirm on.

    Raises:
        SetupError: If they cannot be used.
    """
    rubric, examples = sources.rubric, listed(valset, "valset")
    examples = check_inputs(examples, rubric, "valset")
    check_ratings(examples, rubric, "`valset`")
    examples = grouped({"valset": examples}, rubric)["valset"]
    config = MOGradConfig(confirm=options.confirm, seed=options.seed)
    by_group = has_groups(examples)
    data = split_to_confirm(config, examples, SHARES_OF_VALIDATION, by_group=by_group)
    if not data.parts["confirmation"]:
        data = RunData({"validation": examples, "confirmation": []}, data.needed)
    how = agreement_options(rubric, options.level, options.measure)
    for name, part in data.parts.items():
        if part:
            check_measurable(part, rubric, how, name)
    return data


@dataclass(frozen=True)
class _Composing:
    """A composition at work; ``folder`` keeps the replies of each of its phases apart."""

    sources: Sources
    data: RunData
    options: ComposeOptions
    ledger: Ledger
    folder: Path | None

    def result(self) -> Composition:
        validation = self.data.parts["validation"]
        with self._replies(_MEASURED):
            sections, alone = self._chosen_sections(validation)
            interference = self._interference(validation, sections, alone)
        with self._replies(_FRESH):
            front = tuple(self._front(validation, sections, interference))
        most = self.options.max_calls_per_text or len(self.sources.rubric.names)
        chosen = taken([it for it in front if it.calls <= most])
        with self._replies(_CONFIRMED):
            confirmation = self._confirmation(chosen, sections)
        if confirmation.takes_back:
            sections = self.sources.initial
        return Composition(
            judge=self.sources.judge(chosen.groups, sections),
            front=front,
            chosen=chosen,
            sections={
                name: "initial" if text == self.sources.initial[name] else "optimized"
                for name, text in sections.items()
            },
            interference=interference,
            confirmation=confirmation,
            ledger=self.ledger.rows,
            parts=Parts.of(self.data.parts).including(self.sources.parts),
        )

    @contextmanager
    def _replies(self, phase: str) -> Iterator[None]:
        # A phase that chooses must not be measured by the replies that it chose by.
        with replies_kept_in(None if self.folder is None else self.folder / _CACHE / phase):
            yield

    def _judged(
        self, groups: Sequence[Group], sections: Mapping[str, str], texts: Sequence[dspy.Example]
    ) -> tuple[Judgement, ...]:
        judge, names = self.sources.judge(groups, sections), sum(groups, ())
        first = None if self.options.keep_going else FirstTexts()
        objectives = self._objectives(names)
        with booked(self.ledger, "judge", names):
            judgements = judge_examples(
                judge, texts, objectives, self.options.num_threads, first=first
            )
        if not self.options.keep_going:
            check_scored(judgements, "rated")
        return judgements

    def _objectives(self, names: Group) -> list[Objective]:
        every = rubric_objectives(self.sources.rubric, self.options.level, self.options.measure)
        return [objective for objective in every if objective.name in names]

    def _chosen_sections(
        self, texts: Sequence[dspy.Example]
    ) -> tuple[dict[str, str], dict[str, tuple[Judgement, ...]]]:
        """Rate each criterion alone, with each of its sections; return the best ones."""
        sections, judgements = {}, {}
        for name, choices in self.sources.sections.items():
            judged = {text: self._judged([(name,)], {name: text}, texts) for text in choices}
            (objective,) = self._objectives((name,))
            best = choices[0]  # the initial one
            for text in choices[1:]:
                if agrees_more(judged[choices[0]], judged[best], judged[text], objective):
                    best = text
            sections[name], judgements[name] = best, judged[best]
        return sections, judgements

    def _interference(
        self,
        texts: Sequence[dspy.Example],
        sections: Mapping[str, str],
        alone: Mapping[str, tuple[Judgement, ...]],
    ) -> Interference:
        """Rate each two criteria in one call, and compare with each alone."""
        names = self.sources.rubric.names
        effects, errors = np.full((2, len(names), len(names)), np.nan)
        for pair in combinations(names, 2):
            together = self._judged([pair], sections, texts)
            for own, other in (pair, pair[::-1]):
                place = names.index(other), names.index(own)
                change = difference_between(alone[own], together, self._objectives((own,)))
                effects[place] = change.values.get(own, np.nan)
                errors[place] = change.errors.get(own) or np.nan
        np.fill_diagonal(effects, 0.0)
        np.fill_diagonal(errors, 0.0)
        return Interference(names, effects.tolist(), errors.tolist())

    def _front(
        self,
        texts: Sequence[dspy.Example],
        sections: Mapping[str, str],
        interference: Interference,
    ) -> Iterator[Point]:
        """Merge groups down to one call; yield each partition."""
        groups: tuple[Group, ...] = tuple((name,) for name in self.sources.rubric.names)
        agreement: dict[str, float | None] = {}
        lost: dict[str, int] = {}
        unscored = groups
        while True:
            for group in unscored:
                judged = self._judged([group], sections, texts)
                measured = agreement_of(judged, self._objectives(group))
                agreement |= measured.as_dict()
                lost |= measured.lost
            rubric = self.sources.rubric
            in_order = {name: agreement[name] for name in rubric.names}
            yield Point(groups, layout_of(groups), in_order, rubric.weights, {**lost})
            if len(groups) == 1:
                return
            groups, merged = _merged(groups, interference)
            unscored = (merged,)

    def _confirmation(self, chosen: Point, sections: Mapping[str, str]) -> Confirmation:
        texts, names = self.data.parts["confirmation"], self.sources.rubric.names
        if not texts:
            is_off = self.options.confirm == "off"
            return Confirmation("off" if is_off else "too few documents", needed=self.data.needed)
        if sections == self.sources.initial:
            return Confirmation("nothing to confirm")
        initial, best = (
            self._judged(chosen.groups, it, texts) for it in (self.sources.initial, sections)
        )
        required = self.options.confirm == "require"
        return confirmed(initial, best, self._objectives(names), required=required)


def _merged(groups: Sequence[Group], interference: Interference) -> tuple[tuple[Group, ...], Group]:
    """Merge the two groups whose criteria harm each other least; return all, and the new one."""
    names, effects = interference.criteria, np.nan_to_num(np.array(interference.effects))

    def benefit(pair: tuple[Group, Group]) -> float:
        ones, others = ([names.index(name) for name in group] for group in pair)
        return float(effects[np.ix_(ones, others)].sum() + effects[np.ix_(others, ones)].sum())

    pair = max(combinations(groups, 2), key=benefit)
    merged = tuple(name for name in names if name in sum(pair, ()))
    return (*(group for group in groups if group not in pair), merged), merged


def _request(sources: Sources, data: RunData, options: ComposeOptions) -> dict[str, object]:
    """Return what decides the result, as plain JSON values."""
    check_ready(sources.judge([sources.rubric.names], sources.initial))
    how = ("confirm", "measure", "level", "seed", "max_calls_per_text")
    return {
        **{name: getattr(options, name) for name in how},
        "rubric": sources.rubric.to_toml(),
        "preamble": sources.preamble,
        "sections": {name: list(texts) for name, texts in sources.sections.items()},
        "models": describe_lm(dspy.settings.lm),
        **{f"{name} data": digest_of(part) for name, part in data.parts.items()},
    }


@contextmanager
def _kept_in(folder: Path | None, request: Mapping[str, object], ledger: Ledger) -> Iterator[None]:
    """Claim the folder, and note each call there.

    Raises:
        SetupError: If it holds something else, or another process is at it.
    """
    if folder is None:
        yield
        return
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / _LOCK, SetupError(f"Another process writes {folder}. Wait for it.")):
        asked = folder / _ASKED
        if asked.exists():
            if different := differences(read_json(asked, "Give another `--out`."), request):
                raise SetupError(
                    f"{folder} has a composition of another kind: {'; '.join(different)}. Use the "
                    "same settings to resume, or another `--out`."
                )
        elif others := sorted({it.name for it in folder.iterdir()} - {_LOCK}):
            raise SetupError(
                f"`--out` must be a new folder, but {folder} holds {others[0]!r}. Give another one."
            )
        write_text(asked, to_json(request) + "\n")
        with ledger.kept_in(LineLog(folder / _CALLS)):
            yield
