"""What a run came to, in words, before any figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mogradjudge.agreement import NARROW_DOCUMENTS
from mogradjudge.report.folder import Run
from mogradjudge.report.measured import MEAN, Ends
from mogradjudge.report.words import counted, number, plain

Word: TypeAlias = Literal["established", "equivalent", "not established", "refused", "seed kept"]

HOW = (
    "A difference is established where its 95 % interval leaves out 0 and its p-value, adjusted "
    "for the number of criteria, is below 0.05. All else is not established, which does not say "
    "that there is no difference. Tests exchange the two judges on whole documents; an interval of "
    "a difference is Student's over documents, one of an agreement is a bootstrap of documents."
)
OPTIMISTIC = (
    "These figures are optimistic: the final instructions were chosen on the same validation texts."
)
_ENDS: Mapping[str, str] = {
    "steps": "all steps were taken",
    "budget": "the budget ran out",
    "patience": "nothing better was found for a while",
    "target": "the target was reached",
    "stop_file": "the stop file ended the run",
    "interrupted": "the run was interrupted",
}


@dataclass(frozen=True)
class Verdict:
    """The verdict's word, the sentence that says it, and what else must be known to read it."""

    word: Word
    sentence: str
    notes: tuple[str, ...]


def verdict(run: Run, test: Ends | None, validation: Ends | None) -> Verdict:
    """Judge a run by its held-out texts; without any, nothing is established."""
    word, sentence = _said(run, test, validation)
    notes = [_how_it_ended(run)]
    if validation is not None and not run.seed_kept:
        claim = validation.claims[MEAN]
        notes.append(
            f"On {_texts(validation)} that decided about each step: {claim.verdict}, "
            f"{plain(claim)}. {OPTIMISTIC}"
        )
    deciding = test or validation
    if deciding is not None and deciding.final.documents < NARROW_DOCUMENTS:
        notes.append(
            f"There are {counted(deciding.final.documents, 'document')}; below {NARROW_DOCUMENTS}, "
            "bootstrap intervals of an agreement are somewhat too narrow."
        )
    return Verdict(word, sentence, tuple(notes))


def _said(run: Run, test: Ends | None, validation: Ends | None) -> tuple[Word, str]:
    if run.state is None or run.seeded is None:
        return "refused", "The seed instructions have no agreement yet, so there is nothing to say."
    if run.seed_kept:
        held = "" if test is None else f" Held-out texts: {_one_end(test)}."
        return "seed kept", f"The seed instructions stay: nothing did better than they.{held}"
    if test is not None:
        return test.claims[
            MEAN
        ].verdict, f"On {_texts(test)}, which decided nothing, {_meaning(run, test)}"
    how = "" if validation is None else f": {_both_ends(validation)}"
    return "not established", (
        f"No held-out texts were scored, so nothing is established for new texts. On the "
        f"validation texts the instructions of step {run.best} did best{how}. That is optimistic: "
        "they were chosen there. Give `compile --test-share` to hold texts out."
    )


def _meaning(run: Run, ends: Ends) -> str:
    claim, final = ends.claims[MEAN], f"the final instructions (of step {run.best})"
    if claim.verdict == "refused" or claim.estimate is None:
        return f"{final} cannot be compared with the seed: {plain(claim)}."
    told = f"{_both_ends(ends)}, {plain(claim)}"
    if claim.verdict == "established":
        better = "better" if claim.estimate > 0 else "worse"
        return f"{final} agree {better} with the human scores than the seed: {told}."
    return f"it is open whether {final} agree better with the human scores than the seed: {told}."


def _both_ends(ends: Ends) -> str:
    seed, final = (each.by_criterion[MEAN].value for each in (ends.seed, ends.final))
    return f"mean agreement {number(final)} against {number(seed)}"


def _one_end(ends: Ends) -> str:
    mean = ends.seed.by_criterion[MEAN]
    return f"mean agreement {number(mean.value)} on {_texts(ends)}"


def _texts(ends: Ends) -> str:
    kind = "held-out test text" if ends.split == "test" else "validation text"
    documents = counted(ends.final.documents, "document")
    return f"{counted(ends.final.texts, kind)} of {documents}"


def _how_it_ended(run: Run) -> str:
    done, asked = sum(step.ended is not None for step in run.steps), run.started["steps"]
    taken = f"{done} of {counted(asked, 'step')} {'is' if done == 1 else 'are'} told"
    if run.ended is None:
        return f"The run has not ended: it is under way, or was cut short. {taken}."
    reason = run.ended["stop_reason"]
    return f"The run has ended: {_ENDS.get(reason, reason)}. {taken}."
