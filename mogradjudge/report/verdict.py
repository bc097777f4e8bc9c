"""The section "Verdict": the result of a run in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from mogradjudge.display.plotting import INSTALL
from mogradjudge.optimize.confirmation import Confirmation
from mogradjudge.optimize.result import STOPPED
from mogradjudge.report.comparison import headline
from mogradjudge.report.confusion import confusions, main_error
from mogradjudge.report.costs import costs
from mogradjudge.report.edits import whole_edits
from mogradjudge.report.estimates import MEAN, Ends
from mogradjudge.report.numbers import counted, number, plain
from mogradjudge.report.run_data import CONFIRMATION, TEST, VALIDATION, RunData
from mogradjudge.report.section import Findings, Limits, Section

Word: TypeAlias = Literal[
    "established",
    "equivalent",
    "not established",
    "cannot be tested",
    "confirmed",
    "not confirmed",
    "initial kept",
    "not ended",
]

HOW = (
    "A result is confirmed if the difference of the mean is above 0 with 90 % confidence on texts "
    "that chose nothing (one-sided, Student's t over documents; with more confidence where several "
    "results were compared there). Any other difference is established if its 95 % interval "
    "excludes 0 and its p-value is below 0.05, which asks for more. "
    "p-values of single criteria are adjusted for their number (Holm); the mean's is not. "
    "'Not established' does not mean that there is no difference. Tests exchange initial and best "
    "scores on whole documents. The interval of a difference is Student's t over documents; the "
    "interval of a single value is Student's t, too, with the standard error of a bootstrap."
)
_HINT = "Use `compile --test-share` to hold texts out."
_SHORT = Limits(300)
OPTIMISTIC = (
    "These values are optimistic: the best instructions were chosen on the same validation texts."
)


@dataclass(frozen=True)
class RunVerdict:
    """The verdict as a word and as a sentence, with notes on how to read it."""

    word: Word
    sentence: str
    notes: tuple[str, ...]


def section(findings: Findings) -> Section:
    """State the result, with notes on how to read the report."""
    said, picture = verdict(findings.run, findings.ends), headline(findings)
    return Section(
        anchor="verdict",
        title="Verdict",
        template="run_verdict.html.j2",
        values={
            "verdict": said,
            "sentence": _without(said.word, said.sentence),
            "notes": (*said.notes, *_notes(findings)),
            "how": HOW,
            "picture": picture,
            "ends": next(iter(findings.ends.values()), None),
            "spent": costs(findings.run.ledger).total,
            "errors": _errors(findings),
            "where": findings.split,
            "changes": [edit for edit in whole_edits(findings.run, _SHORT) if edit.changed],
        },
        pictures=() if picture is None else (picture,),
    )


def _errors(findings: Findings) -> list[tuple[str, str]]:
    """Say what the result still gets wrong, by criterion, as far as that is much of one kind."""
    counted = confusions(findings.run, findings.texts)
    return [(it.criterion, said) for it in counted if (said := main_error(it))]


def _without(word: str, sentence: str) -> str:
    """Return a sentence without the word that stands above it."""
    if not sentence.lower().startswith(f"{word}: "):
        return sentence
    rest = sentence[len(word) + 2 :]
    return f"{rest[0].upper()}{rest[1:]}"


def _notes(findings: Findings) -> list[str]:
    run, notes = findings.run, []
    if run.resumed:
        notes.append(
            f"The run was resumed {counted(run.resumed, 'time')}; steps recorded twice count once."
        )
    if run.seeded is not None and not findings.scorings:
        notes.append("The event log is from an earlier version: it has no scores of single texts.")
    if not findings.draws:
        notes.append(f"There are no figures, because matplotlib is missing. {INSTALL}")
    return notes


def verdict(run: RunData, ends: Mapping[str, Ends]) -> RunVerdict:
    """Judge a run by its held-out texts, or by the confirmation; else nothing is established.

    Args:
        run: The run.
        ends: Initial against best by split, as far as both were scored.
    """
    test, confirmation, validation = map(ends.get, (TEST, CONFIRMATION, VALIDATION))
    word, sentence = _said(run, test, validation)
    notes = [_how_it_ended(run)]
    if test is not None and confirmation is not None and run.confirmation is not None:
        notes.append(run.confirmation.describe())
    if validation is not None and validation.claims:
        notes.append(
            f"On {_texts(validation)}, which decided each step: "
            f"{validation.claims[MEAN].verdict}, {_tested(validation)}. {OPTIMISTIC}"
        )
    return RunVerdict(word, sentence, tuple(notes))


def _said(run: RunData, test: Ends | None, validation: Ends | None) -> tuple[Word, str]:
    if run.state is None or run.seeded is None:
        no_value: Word = "not ended" if run.ended is None else "cannot be tested"
        return no_value, "The initial instructions have no value yet, so there is no verdict."
    if run.ended is None:
        return "not ended", _so_far(run, validation)
    if test is None and run.confirmation is not None and run.confirmation.seed is not None:
        word: Word = "confirmed" if run.confirmation.verdict == "confirmed" else "not confirmed"
        return word, run.confirmation.describe()
    if run.seed_kept:
        held = "" if test is None else f" Held-out texts: {_one_end(test)}."
        if run.best and run.confirmation is not None:  # it was taken back
            return "initial kept", f"{run.confirmation.describe()}{held}"
        return "initial kept", f"The initial instructions are kept: no proposal was better.{held}"
    if test is not None:
        said = _meaning(run, test)
        return test.claims[MEAN].verdict, f"On {_texts(test)}, which no decision used, {said}"
    confirmation = run.confirmation or Confirmation("not reached")
    if confirmation.verdict != "off":
        return "not confirmed", confirmation.describe()
    how = "" if validation is None else f": {_both_ends(validation)}"
    hint = "The held-out texts were not scored before the run ended."
    return "not established", (
        f"No held-out texts were scored, so nothing is established for new texts. On the "
        f"validation texts the instructions of step {run.best} were best{how}. That is optimistic: "
        f"they were chosen on these texts. {hint if run.holds_out else _HINT}"
    )


def _so_far(run: RunData, validation: Ends | None) -> str:
    who = "the initial instructions" if run.seed_kept else f"the instructions of step {run.best}"
    how = ""
    if validation is not None:
        how = f": {_one_end(validation) if validation.seed_kept else _both_ends(validation)}"
    return (
        f"So far {who} are best on the validation texts{how}. That is optimistic, because they are "
        f"chosen on these texts; nothing is established yet.{_at_the_end(run)}"
    )


def _at_the_end(run: RunData) -> str:
    """Say which texts will judge the result of a run that has not ended."""
    said = " Held-out texts are scored at the end." if run.holds_out else ""
    if count := run.started.confirmation:
        verb = "is" if count == 1 else "are"
        said += f" {counted(count, 'text')} {verb} set aside to confirm the result at the end."
    if said or run.holds_out is None:
        return said
    return " No texts are held out, so at the end nothing will be established for new texts."


def _meaning(run: RunData, ends: Ends) -> str:
    claim, final = ends.claims[MEAN], f"the best instructions (of step {run.best})"
    if claim.estimate is None:
        return f"{final} cannot be compared with the initial ones: {plain(claim)}."
    figures = f"{_both_ends(ends)}, {_tested(ends)}"
    agree, do = ("agree", " with the human scores") if ends.of_judge else ("do", "")
    if claim.verdict == "established":
        better = "better" if claim.estimate > 0 else "worse"
        return f"{final} {agree} {better}{do} than the initial ones: {figures}."
    return f"it is unknown if {final} {agree} better{do} than the initial ones: {figures}."


def _tested(ends: Ends) -> str:
    """Write the result of the test, and what was tested if it is not what is shown."""
    of = "" if ends.of == ends.agreement else f"{ends.of}: "
    return f"{of}{plain(ends.claims[MEAN])}"


def _both_ends(ends: Ends) -> str:
    seed, final = (end.by_criterion[MEAN].value for end in (ends.seed, ends.final))
    without = (
        f" (without {', '.join(ends.left_out)}: one value is missing)" if ends.left_out else ""
    )
    return f"{_what(ends)} {number(final)} against {number(seed)}{without}"


def _what(ends: Ends) -> str:
    return "mean agreement" if ends.of_judge else "mean value"


def _one_end(ends: Ends) -> str:
    mean = ends.seed.by_criterion[MEAN]
    return f"{_what(ends)} {number(mean.value)} on {_texts(ends)}"


def _texts(ends: Ends) -> str:
    kind = {TEST: "held-out test text"}.get(ends.split, f"{ends.split} text")
    documents = counted(ends.final.documents, "document")
    return f"{counted(ends.final.texts, kind)} of {documents}"


def _how_it_ended(run: RunData) -> str:
    done = sum(step.ended is not None for step in run.steps)
    steps = run.request.get("steps", run.started.steps)  # which may have been raised later
    taken = f"{done} of {counted(steps, 'step')} {'is' if done == 1 else 'are'} recorded"
    if run.ended is None:
        return f"The run has not ended: it is still running, or was interrupted. {taken}."
    reason = run.ended.stop_reason
    return f"The run has ended: {STOPPED.get(reason, reason)}. {taken}."
