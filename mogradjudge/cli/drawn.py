"""A search's pictures, where they can be drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mogradjudge.cli.output import note
from mogradjudge.errors import SetupError

if TYPE_CHECKING:
    from mogradjudge.search.result import SearchResult


def check_figures(out: str | None) -> None:
    """Check that pictures can be drawn, before anything is paid."""
    from mogradjudge.search.figures import INSTALL

    if out is None:
        raise click.UsageError("Missing option '--out': --figures draws in its folder.")
    if not _can_draw():
        raise SetupError(f"--figures needs matplotlib, which is missing. {INSTALL}")


def _can_draw() -> bool:
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def draw_figures(found: SearchResult, out: Path) -> list[Path]:
    """Draw the pictures, as far as that can be done; gives their files."""
    from mogradjudge.search.figures import INSTALL, draw

    if not _can_draw():
        note(f"No pictures are drawn: matplotlib is missing. {INSTALL}")
        return []
    drawn = draw(found, out / "figures")
    if not drawn:
        note("No pictures are drawn: no trial has a value.")
    return drawn
