"""An LM as a rater: of single units, of whole texts, and of what an editor made of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import dspy

from benchmarks.harness.cells import Values
from benchmarks.worlds.controls import mask
from benchmarks.worlds.ratings import REST, Rating, check_names
from mogradjudge import Rubric
from mogradjudge.criteria import Group
from mogradjudge.errors import ReplyError
from mogradjudge.judge.scores import Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.stages.role import Question, Role, ask

RATER = "rater"  # the role's name
_ONE_TO_TEN = Literal[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]


class LabelSentence(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Say what a sentence is about. It comes from advice on how a judge should score texts.

    List the criterion that it speaks of, by its meaning and not by the words it shares with a
    definition; list two or more only where it helps to judge each of them. Answer ["general"] if it
    is about the judge's behaviour whatever the criterion, ["format"] if it is about the layout of
    the judge's reply, and ["none"] if it says nothing about judging. Also say whether it can be
    acted on: whether it asks for an edit of the judge's instructions, or ties a score to a
    condition, rather than report what happened.
    """

    criteria: dict[str, str] = dspy.InputField(desc="what each criterion means")
    sentence: str = dspy.InputField()
    about: list[str] = dspy.OutputField()
    can_be_acted_on: Literal["yes", "no"] = dspy.OutputField()


class RateFocus(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Rate how focused a text of advice is on one criterion of a judge.

    10: all of it helps to judge this criterion. 1: it is about other things throughout.
    """

    criterion: str = dspy.InputField()
    meaning: str = dspy.InputField(desc="what the criterion means")
    advice: str = dspy.InputField()
    focus: _ONE_TO_TEN = dspy.OutputField()


class RateAdherence(dspy.Signature):  # type: ignore[misc]  # dspy is untyped
    """Rate how well an editor followed advice when rewriting a judge's instructions.

    Compare the old text with the new one. 10: every change that the advice asks for was made, and
    no other. 1: the advice was ignored. Advice on other criteria than this one does not count.
    """

    criterion: str = dspy.InputField()
    advice: str = dspy.InputField()
    old_instructions: str = dspy.InputField()
    new_instructions: str = dspy.InputField()
    adherence: _ONE_TO_TEN = dspy.OutputField()


@dataclass(frozen=True)
class FocusQuestion:
    """How focused is ``text`` on ``criterion``?"""

    criterion: str
    text: str


@dataclass(frozen=True)
class AdherenceQuestion:
    """How well do ``new_instructions`` follow ``advice`` on the ``old_instructions``?"""

    criterion: str
    advice: str
    old_instructions: str
    new_instructions: str


@dataclass(frozen=True)
class LMRater:
    """Asks an LM, once per wording; a reply that cannot be read is `Unscored`.

    Each question is a call of its own, and they are asked in the order of their digests: neither
    tells which text, mode or step a question comes from.

    ``role`` brings retries and metering as for the other roles. With ``masked`` the LM is shown
    the units with the criteria's names hidden; it still has to answer with a name.
    """

    rubric: Rubric
    role: Role
    masked: bool = False

    def __post_init__(self) -> None:
        check_names(self.criteria)

    @property
    def name(self) -> str:
        """What reports call it."""
        return f"LM rater{', names masked' if self.masked else ''}"

    @property
    def criteria(self) -> Group:
        """The rubric's criteria."""
        return self.rubric.names

    def rate(self, units: Sequence[str]) -> tuple[Rating | Unscored, ...]:
        """Ask about each unit by itself."""
        shown = [mask(unit, self.criteria) if self.masked else unit for unit in units]
        inputs = [{"criteria": self._meanings, "sentence": sentence} for sentence in shown]
        return self._ask(self._label_sentence, inputs, _rating)

    def rate_focus(self, questions: Sequence[FocusQuestion]) -> tuple[float | Unscored, ...]:
        """Ask for holistic ratings from 1 to 10 of whole texts, as the literature has them.

        A text that treats all criteria alike cannot rate high on each: read it beside the shares.
        """
        inputs = [
            {
                "criterion": question.criterion,
                "meaning": self._meanings[question.criterion],
                "advice": question.text,
            }
            for question in questions
        ]
        return self._ask(RateFocus, inputs, lambda reply: float(reply.focus))

    def rate_adherence(
        self, questions: Sequence[AdherenceQuestion]
    ) -> tuple[float | Unscored, ...]:
        """Ask how well editors followed advice, from 1 to 10."""
        inputs = [asdict(question) for question in questions]
        return self._ask(RateAdherence, inputs, lambda reply: float(reply.adherence))

    @property
    def _meanings(self) -> dict[str, str]:
        return {criterion.name: criterion.definition for criterion in self.rubric.criteria}

    @property
    def _label_sentence(self) -> Any:
        labels = Literal[*self.criteria, *REST]  # type: ignore[valid-type]  # known at run time
        return LabelSentence.with_updated_fields("about", type_=list[labels])

    def _ask(
        self, signature: Any, inputs: Sequence[Mapping[str, object]], read: Any
    ) -> tuple[Any, ...]:
        """Ask each different question once; the order of the answers is that of ``inputs``.

        A question's label is a digest of its inputs and nothing else.
        """
        labels = [_digest(signature, question) for question in inputs]
        questions = [
            Question(self.criteria, "", signature, question, label)
            for label, question in sorted(dict(zip(labels, inputs, strict=True)).items())
        ]
        replies = ask(self.role, questions, lambda question, reply: (question.label, read(reply)))
        answers: dict[str, Any] = dict(replies.records)
        answers |= {skipped.label: Unscored(skipped.reason) for skipped in replies.skipped}
        return tuple(answers[label] for label in labels)


def open_rater(
    lm: dspy.BaseLM, rubric: Rubric, ledger: Ledger, num_threads: int, *, masked: bool = False
) -> LMRater:
    """Give a rater whose calls are booked under a role of their own, at temperature 0."""
    role = Role(
        name=RATER,
        lm=lm,
        temperature=0.0,
        num_threads=num_threads,
        ledger=ledger,
    )
    return LMRater(rubric, role, masked)


def warning_about(setting: Values) -> str | None:
    """Say what is wrong with a rater that is the coach; None if it is another model."""
    models = setting.get("models", {})
    rater, coach = (models.get(role, {}).get("model", role) for role in ("rater", "coach"))
    if rater != coach:
        return None
    return (
        f"The rater and the coach are the same model, {rater}: it rates its own writing. "
        "Give another model as --rater-lm."
    )


def _rating(reply: dspy.Prediction) -> Rating:
    labels = dict.fromkeys(map(str, reply.about))
    if not labels:
        raise ReplyError("A sentence is about nothing: the list of labels is empty.")
    return Rating.of(*labels, actionable=reply.can_be_acted_on == "yes")


def _digest(signature: Any, inputs: Mapping[str, object]) -> str:
    question = f"{signature.instructions}\0{sorted(inputs.items())!r}"
    return hashlib.sha256(question.encode()).hexdigest()[:24]
