"""A benchmark's part of the report, and its claims in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from benchmarks.harness.cells import Values
from benchmarks.harness.finding import Finding
from benchmarks.harness.tables import signed
from benchmarks.report.markdown import escape, folded, image, sentence, shown, table
from mogradjudge.agreement.claims import Claim

_BEHIND = "What stands behind this: definitions, all arms, comparisons and figures"
_HOW = (
    "A comparison is *established* where its 95 % interval leaves out 0 and its p-value, adjusted "
    "for the comparisons that were made together, is below 0.05; *equivalent* where the 90 % "
    "interval lies inside of the bound that is named; else *not established*, which does not say "
    "that there is no effect. n counts documents, or steps of runs. They explain the finding above "
    "and decide nothing."
)


@dataclass(frozen=True)
class Section:
    """What one benchmark found in one setting.

    ``claims`` explain the finding and are folded away with ``parts``: paragraphs, tables and
    pictures in Markdown. ``figures`` are the pictures, by the name of the file that a part links
    to. ``finding`` is what a reader meets first, and ``lead`` names the file of the one figure that
    stands beside it. ``headlines`` take the place of the finding's claim where there is none.
    """

    title: str
    claims: Sequence[Claim]
    parts: Sequence[str]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    setting: Values = field(default_factory=dict)
    headlines: Sequence[Claim] = ()
    finding: Finding | None = None
    lead: str = ""

    @property
    def primary(self) -> Sequence[Claim]:
        """Give the claims that are set beside those of other settings."""
        if self.finding is None:
            return self.headlines
        return [self.finding.claim] if self.finding.claim is not None else []

    def markdown(self) -> str:
        """Write the section: the finding, and all else folded."""
        lead = [part for part in self.parts if self.lead and f"]({self.lead})" in part]
        rest = [part for part in self.parts if part not in lead]
        if self.claims:
            rest += [folded("All comparisons", f"{_HOW}\n\n{_comparisons(self.claims)}")]
        if self.finding is not None:
            details = [folded(_BEHIND, "\n\n".join(rest))] if rest else []
            rest = [*_first_view(self.finding, lead), *details]
        return "\n\n".join([f"## {escape(self.title)}", *rest])


def _first_view(finding: Finding, lead: Sequence[str]) -> list[str]:
    return [
        f"**{escape(finding.sentence)}**",
        sentence(finding.to_do),
        *([f"Planted in this simulated world: {escape(finding.planted)}"] * bool(finding.planted)),
        *lead,
        *([shown(finding.table)] if finding.table.rows else []),
        "\n".join(f"- {sentence(limit)}" for limit in finding.limits),
    ]


def pictured(file: str, figure: Figure, what: str, figures: dict[str, Figure]) -> str:
    """Keep a figure under a file's name, and give the Markdown that shows it."""
    figures[file] = figure
    return image(file, what)


def figures_of(claim: Claim) -> str:
    """Write what a claim is judged by."""
    if claim.estimate is None:
        return escape(claim.note)
    parts = []
    if claim.low is not None:
        parts.append(f"95 % interval {signed(claim.low)} to {signed(claim.high)}")
    if claim.verdict == "equivalent":
        parts.append(f"within ±{claim.bound:.3g}")
    parts.append(f"n {claim.n}")
    parts += [escape(note) for note in (claim.too_few("clusters"), claim.note) if note]
    return f"**{signed(claim.estimate)}** ({'; '.join(parts)})"


def _comparisons(claims: Sequence[Claim]) -> str:
    rows = [[escape(claim.name), figures_of(claim), claim.verdict] for claim in claims]
    return table(("comparison", "difference", "verdict"), rows)
