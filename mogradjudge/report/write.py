"""Writes a report: one HTML file that loads nothing, and its figures as files beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from mogradjudge.errors import SetupError
from mogradjudge.files import read_json, replaced, write_text
from mogradjudge.optimize.directory import EVENTS, JUDGE
from mogradjudge.report import (
    about,
    advice,
    comparison,
    confusion,
    costs,
    differing,
    edits,
    interference,
    losses,
    numbers,
    steps,
    verdict,
)
from mogradjudge.report.pictures import Picture
from mogradjudge.report.run_data import RunData, read_run
from mogradjudge.report.section import Findings, Limits, Section

REPORT, FIGURES = "report.html", "figures"
MOST_BYTES = 3_000_000

SECTIONS: tuple[Callable[[Findings], Section | None], ...] = (
    verdict.section,
    comparison.section,
    steps.section,
    edits.sections,
    edits.steps,
    differing.section,
    advice.section,
    confusion.section,
    losses.section,
    costs.section,
    interference.section,
    about.section,
)
"""The functions that make the sections of a run's report, in order; None leaves one out."""

# The first limits with which the page is small enough are used.
_LIMITS = (
    Limits(2000),
    Limits(1000),
    Limits(500),
    Limits(250, examples=16),
    Limits(120, examples=4, steps=60),
    Limits(60, examples=1, steps=30),
)
# Controls but tab and line feed, marks and overrides of direction, line separators, surrogates.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_TEMPLATES = files("mogradjudge.report") / "templates"


def write_report(
    folder: str | Path, out: str | Path | None = None, interference: str | Path | None = None
) -> Path:
    """Write the report of a run (ended or not), a search or a composed or calibrated judge.

    >>> from mogradjudge.errors import SetupError
    >>> try:
    ...     write_report("no-such-run")
    ... except SetupError as error:
    ...     print(str(error).partition(":")[0])
    no-such-run is not a run

    Args:
        folder: The folder of the run, the search or the judge.
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
    if not (folder / EVENTS).exists() and _is_search(folder):
        return _write_search(folder, path)
    if not (folder / EVENTS).exists() and (folder / JUDGE).exists():
        return _write_judge(folder, path)
    return _write_run(read_run(folder), path, _results(folder, interference))


def save(path: Path, html: str, pictures: Iterable[Picture]) -> Path:
    """Write a page and its figures.

    Raises:
        SetupError: If they cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html)
        for picture in pictures:
            (path.parent / FIGURES).mkdir(exist_ok=True)
            with replaced(path.parent / FIGURES / f"{picture.name}.svg") as partial:
                partial.write_bytes(picture.file)
    except OSError as error:
        raise SetupError(f"Cannot write {path}: {error.strerror}. Give another --out.") from error
    return path


def render(template: str, *, scripts: Sequence[str] = (), allowed: str = "", **context: Any) -> str:
    """Render a page; all values are escaped.

    The page's policy allows only the page's own script and style, by their hashes, and loads
    nothing; images must be part of the page. ``scripts`` are further ones of the package, and
    ``allowed`` is what else the policy allows.
    """
    style, script = _asset("report.css"), "\n".join(map(_asset, ("report.js", *scripts)))
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'{allowed}"
    )
    page = _environment().get_template(template)
    # Both are files of the package, without user input.
    inline = {"style": Markup(style), "script": Markup(script)}
    return visible(page.render(policy=policy, **inline, **context))


def visible(text: str) -> str:
    r"""Escape control characters, direction overrides and lone surrogates.

    U+202E becomes ``\u202e``, so that a text is read in the order in which it is written.
    """
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _is_search(folder: Path) -> bool:
    from mogradjudge.search.finish import SEARCH  # with Optuna, which is slow to import

    return (folder / SEARCH).exists()


def _write_search(folder: Path, path: Path) -> Path:
    from mogradjudge.report.search_page import search_page
    from mogradjudge.search.analysis.load import read_search
    from mogradjudge.search.finish import SEARCH

    page = search_page(read_search(folder / SEARCH))
    html = render(
        "search.html.j2",
        title=_title("Search", folder),
        subtitle=f"The study {page.result.study!r}: {numbers.counted(len(page.rows), 'trial')}",
        contents=page.contents,
        page=page,
    )
    return save(path, html, page.pictures)


def _write_judge(folder: Path, path: Path) -> Path:
    """Write the page of a judge that no run in its folder made: composed, calibrated or by hand."""
    from mogradjudge.composition.front import COMPOSE
    from mogradjudge.judge.judge import MultiCriteriaJudge

    judge = MultiCriteriaJudge.from_saved(folder)
    composed = folder / COMPOSE
    try:
        html = render(
            "judge.html.j2",
            title=_title("Judge", folder),
            subtitle=f"Rates {', '.join(judge.rubric.names)}",
            contents=(),
            composed=read_json(composed, "Compose again.") if composed.exists() else None,
            maps=judge.calibration,
            instructions={name: it.signature.instructions for name, it in judge.judges.items()},
        )
    except (UndefinedError, TypeError, ValueError) as error:
        raise SetupError(f"{composed} is damaged ({error}). Compose again.") from error
    return save(path, html, ())


def _title(kind: str, folder: Path) -> str:
    """Name a folder, unless its own name says no more than its kind."""
    return kind if folder.name.casefold() == kind.casefold() else f"{kind}: {folder.name}"


def _results(folder: Path, chosen: str | Path | None) -> Path | None:
    """Return the folder of the benchmark's results to show; None if there is none."""
    if chosen is not None:
        return Path(chosen)
    return folder if (folder / interference.INTERFERENCE).exists() else None


def _write_run(run: RunData, path: Path, results: Path | None) -> Path:
    findings = Findings(run, results)
    sections = [it for section in SECTIONS if (it := section(findings)) is not None]
    pictures = [picture for section in sections for picture in section.pictures]
    return save(path, _html(run, sections), pictures)


def _html(run: RunData, sections: Sequence[Section]) -> str:
    html = ""
    for limits in _LIMITS:
        html = render(
            "run.html.j2",
            title=_title("Run", run.path),
            subtitle=f"Optimizing {', '.join(run.criteria)} in mode {run.mode}",
            contents=tuple((section.anchor, section.title) for section in sections),
            run=run,
            criteria=run.criteria,
            sections=[(section, _inside(run, section, limits)) for section in sections],
        )
        if len(html.encode()) < MOST_BYTES:
            break
    return html


def _inside(run: RunData, section: Section, limits: Limits) -> Markup:
    """Render a section's own template."""
    environment, name = _environment(), section.template
    is_file = name.endswith(".j2")
    template = environment.get_template(name) if is_file else environment.from_string(name)
    # Its values are escaped.
    return Markup(template.render(run=run, **section.values, **section.within(limits)))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mogradjudge.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("number", "signed", "signed_ends", "bounds", "counted", "whole", "p_value")
    environment.filters |= {name: getattr(numbers, name) for name in filters}
    environment.globals["m"] = environment.get_template("macros.html.j2").module
    return environment


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
