"""A search's pictures, where they can be drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mogradjudge.cli.output import note
from mogradjudge.errors import SetupError

if TYPE_CHECKING:
    from mogradjudge.search.analysis.result import SearchResult


def check_figures(out: str | None) -> None:
    """Check that pictures can be drawn, before anything is paid."""
    from mogradjudge.display.plotting import INSTALL, can_draw

    if out is None:
        raise click.UsageError("Missing option '--out': --figures draws in its folder.")
    if not can_draw():
        raise SetupError(f"--figures needs matplotlib, which is missing. {INSTALL}")


def draw_figures(found: SearchResult, out: Path) -> list[Path]:
    """Draw the pictures, as far as that can be done; gives their files."""
    from mogradjudge.display.plotting import INSTALL, can_draw
    from mogradjudge.search.analysis.figures import draw

    if not can_draw():
        note(f"No pictures are drawn: matplotlib is missing. {INSTALL}")
        return []
    drawn = draw(found, out / "figures")
    if not drawn:
        note("No pictures are drawn: no trial has a value.")
    return drawn
