"""A benchmark's part of the report, and its claims in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from benchmarks.harness.cells import Values
from benchmarks.harness.finding import Finding
from benchmarks.harness.tables import signed
from benchmarks.report.markdown import escape, image
from mogradjudge.agreement.claims import Claim, Verdict

_WORDS: Mapping[Verdict, str] = {
    "established": "Established",
    "equivalent": "Equivalent: a difference is too small to matter",
    "not established": "Not established: these data do not tell",
    "refused": "Refused: there is nothing to judge by",
}


@dataclass(frozen=True)
class Section:
    """What one benchmark found in one setting.

    ``parts`` are paragraphs, tables and pictures in Markdown; ``figures`` are the pictures, by the
    name of the file that a part links to. ``headlines`` are the claims that decide: they come
    first, and are set beside those of other settings. ``finding`` is what a reader meets first, and
    ``lead`` names the file of the one figure that stands beside it.
    """

    title: str
    claims: Sequence[Claim]
    parts: Sequence[str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    setting: Values = field(default_factory=dict)
    headlines: Sequence[Claim] = ()
    finding: Finding | None = None
    lead: str = ""

    def markdown(self) -> str:
        """Write the section."""
        return "\n\n".join([f"## {escape(self.title)}", *self.parts])

    def verdicts(self) -> str:
        """Say in words what its claims come to."""
        lines = [f"### {escape(self.title)}"]
        for verdict, words in _WORDS.items():
            if claims := [claim for claim in self.claims if claim.verdict == verdict]:
                lines += [f"**{words}** ({len(claims)} of {len(self.claims)}):", _bullets(claims)]
        return "\n\n".join(lines)


def pictured(file: str, figure: Figure, what: str, figures: dict[str, Figure]) -> str:
    """Keep a figure under a file's name, and give the Markdown that shows it."""
    figures[file] = figure
    return image(file, what)


def in_words(claim: Claim) -> str:
    """Write a claim with its figures."""
    return f"{escape(claim.name)}: {figures_of(claim)}"


def figures_of(claim: Claim) -> str:
    """Write what a claim is judged by."""
    if claim.estimate is None:
        return escape(claim.note)
    parts = []
    if claim.low is not None:
        parts.append(f"95 % interval {signed(claim.low)} to {signed(claim.high)}")
    if claim.verdict == "equivalent":
        parts.append(f"within ±{claim.bound:.3g}")
    if claim.p_value is not None:
        parts.append("p < 0.001" if claim.p_value < 0.001 else f"p {claim.p_value:.3f}")
    parts.append(f"n {claim.n}")
    if missed := claim.missed("clusters"):
        parts.append(missed)
    parts += [escape(claim.note)] if claim.note else []
    return f"**{signed(claim.estimate)}** ({'; '.join(parts)})"


def _bullets(claims: Iterable[Claim]) -> str:
    return "\n".join(f"- {in_words(claim)}" for claim in claims)
