"""Writing a report: one HTML file, and its figures as files beside it."""

from __future__ import annotations

from pathlib import Path

from mogradjudge.errors import SetupError
from mogradjudge.files import replaced, write_text
from mogradjudge.report.edits import Limits
from mogradjudge.report.interference import INTERFERENCE, read_interference
from mogradjudge.report.numbers import counted
from mogradjudge.report.page import render
from mogradjudge.report.pictures import Picture
from mogradjudge.report.run_data import read_run
from mogradjudge.report.run_page import RunPage, run_page
from mogradjudge.report.search_page import search_page
from mogradjudge.search.analysis.load import read_search
from mogradjudge.search.finish import SEARCH

REPORT, FIGURES = "report.html", "figures"
MOST_BYTES = 3_000_000

# The first that makes a page below the limit is taken.
_LIMITS = (
    Limits(2000),
    Limits(1000),
    Limits(500),
    Limits(250, examples=16),
    Limits(120, examples=4, steps=60),
    Limits(60, examples=1, steps=30),
)
_OWN_WORDS = {"spread": "Score by score"}  # of a program that is no judge
_CONTENTS = (
    *(("verdict", "Verdict"), ("ends", "Seed against final"), ("steps", "Steps")),
    *(("sections", "Sections"), ("chain", "How each edit came about")),
    *(("spread", "Judge against human"), ("losses", "Unscored replies"), ("costs", "Costs")),
    *(("interference", "Interference"), ("about", "What was asked")),
)
_SEARCH_CONTENTS = (
    *(("verdict", "Verdict"), ("trials", "Trials"), ("effects", "What matters")),
    ("costs", "Costs"),
)


def write_report(
    folder: str | Path, out: str | Path | None = None, interference: str | Path | None = None
) -> Path:
    """Write the report of a run, ended or not, or of a search, and its figures.

    Args:
        folder: The run's folder, or the search's.
        out: The file to write; ``report.html`` in the folder if it is not given. The figures go
            into ``figures`` beside it.
        interference: A folder of the benchmarks' results, whose interference is shown. The run's
            own folder if it is not given and has one.

    Returns:
        The file.

    Raises:
        SetupError: If the folder holds nothing to report, or the file cannot be written.
    """
    folder = Path(folder)
    path = folder / REPORT if out is None else Path(out)
    if interference is None and (folder / INTERFERENCE).exists():
        interference = folder
    if (folder / SEARCH).exists():
        return _write_search(folder, path)
    run = read_run(folder)
    told = None if interference is None else read_interference(Path(interference))
    page = run_page(run, told)
    return save(path, _html(page), page.pictures)


def _write_search(folder: Path, path: Path) -> Path:
    page = search_page(read_search(folder / SEARCH))
    html = render(
        "search.html.j2",
        title=f"Search {folder.name}",
        subtitle=f"The study {page.found.study!r}: {counted(len(page.rows), 'trial')}",
        contents=_SEARCH_CONTENTS,
        page=page,
    )
    return save(path, html, page.pictures)


def save(path: Path, html: str, pictures: tuple[Picture, ...]) -> Path:
    """Write a page and its figures.

    Raises:
        SetupError: If they cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
        for each in pictures:
            (path.parent / FIGURES).mkdir(exist_ok=True)
            with replaced(path.parent / FIGURES / f"{each.name}.svg") as partial:
                partial.write_bytes(each.file)
    except OSError as error:
        raise SetupError(f"Cannot write {path}: {error.strerror}. Give another --out.") from error
    return path


def _html(page: RunPage) -> str:
    words = {} if page.run.rubric is not None else _OWN_WORDS
    contents = tuple((anchor, words.get(anchor, name)) for anchor, name in _CONTENTS)
    html = ""
    for limits in _LIMITS:
        html = render(
            "run.html.j2",
            title=f"Run {page.run.path.name}",
            subtitle=f"Optimizing {', '.join(page.criteria)} in mode {page.run.mode}",
            contents=contents,
            page=page,
            chain=page.chain(limits),
        )
        if len(html.encode()) < MOST_BYTES:
            break
    return html
