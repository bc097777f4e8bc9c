"""The section "Interference": the results of the interference benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mogradjudge.agreement.claims import Claim
from mogradjudge.errors import SetupError
from mogradjudge.files import read_record
from mogradjudge.report.section import Findings, Section

INTERFERENCE = "interference.json"


@dataclass(frozen=True, kw_only=True)
class Effect(Claim):
    """A claim about one effect on one criterion, and what the effect means."""

    effect: str
    meaning: str
    criterion: str


@dataclass(frozen=True)
class Interference:
    """What was measured, and the claims."""

    what: str
    claims: tuple[Effect, ...]


def section(findings: Findings) -> Section | None:
    """Show the interference benchmark's claims; None if there are no results."""
    if (folder := findings.interference) is None:
        return None
    return Section(
        anchor="interference",
        title="Interference",
        template="run_interference.html.j2",
        values={"interference": read_interference(folder)},
    )


def read_interference(folder: Path) -> Interference:
    """Read the claims that ``python -m benchmarks report`` writes into a folder of results.

    Raises:
        SetupError: If there are none, or the file is damaged.
    """
    path = folder / INTERFERENCE
    if not path.exists():
        raise SetupError(
            f"{folder} has no {INTERFERENCE}. Run `python -m benchmarks interference` with --out, "
            "then `python -m benchmarks report` on its folder."
        )
    return read_record(Interference, path, "Write it again.")
