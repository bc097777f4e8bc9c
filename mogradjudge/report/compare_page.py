"""The page of ``mogradjudge compare``: two judges on the same texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mogradjudge.agreement.weighted_mean import mean_label
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.programs.candidate import Candidate
from mogradjudge.report.edits import SectionEdit, compared, cut
from mogradjudge.report.numbers import plain
from mogradjudge.report.section import Limits
from mogradjudge.report.write import render, save
from mogradjudge.scoring.paired import Paired

_CONTENTS = (
    ("verdict", "Verdict"),
    ("agreement", "Agreement"),
    ("changed", "Changed sides"),
    ("instructions", "Instructions"),
)
_MOST = 200  # changed texts
_LIMITS = Limits(1000)
_PREAMBLE = "preamble"


def instruction_edits(
    first: MultiCriteriaJudge, second: MultiCriteriaJudge
) -> tuple[SectionEdit, ...]:
    """Compare the instructions of two judges, section by section, whatever their layouts."""
    before, after = _texts(first), _texts(second)
    return tuple(
        compared(
            name,
            first.rubric.names if name == _PREAMBLE else (name,),
            *(before.get(name, ""), after.get(name, "")),
            Limits(10_000),
        )
        for name in {**before, **after}
    )


def _texts(judge: MultiCriteriaJudge) -> dict[str, str]:
    """Return the text of each section by criterion; equal preambles count once."""
    parts = Candidate.of(judge).instructions.values()
    preambles = dict.fromkeys(part.preamble for part in parts if part.preamble)
    sections = {name: text for part in parts for name, text in part.sections}
    return {_PREAMBLE: "\n\n".join(preambles), **sections}


def _sentence(pairs: Paired) -> str:
    """Say which judge agrees better with people, or that it is unknown."""
    if pairs.equal:
        return pairs.equal
    mean = pairs.claims["mean"]
    who = "It is unknown which judge agrees better with people"
    if mean.verdict == "established" and mean.estimate is not None:
        better, other = ("B", "A") if mean.estimate > 0 else ("A", "B")
        who = f"{better} agrees better with people than {other}"
    elif mean.verdict == "equivalent":
        who = "Both judges agree about equally well with people"
    return f"{who}: B minus A in mean agreement is {plain(mean)}."


def write_comparison(
    path: Path,
    judges: tuple[str, str],
    pairs: Paired,
    edits: Sequence[SectionEdit],
    inputs: Mapping[str, Mapping[str, Any]],
) -> Path:
    """Write the page.

    Raises:
        SetupError: If it cannot be written.
    """
    mean = pairs.claims["mean"]
    rows = [
        (
            change,
            [(key, cut(value, _LIMITS)) for key, value in inputs[change.example_id].items()],
        )
        for change in pairs.changed[:_MOST]
    ]
    html = render(
        "compare.html.j2",
        title="Two judges on the same texts",
        subtitle=f"A: {judges[0]}, B: {judges[1]}",
        contents=_CONTENTS,
        criteria=tuple(name for name in pairs.claims if name != "mean"),
        sentence=_sentence(pairs),
        word="same scores" if pairs.equal else mean.verdict,
        where=pairs.where,
        notes=pairs.notes,
        mean_label=mean_label(pairs.weights),
        pairs=pairs,
        rows=rows,
        edits=edits,
    )
    return save(path, html, ())
