"""``mogradjudge init`` and ``mogradjudge check``: from a table of ratings to a rubric that fits."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.config_file import protocol_option
from mogradjudge.cli.options import (
    data_argument,
    reading_of,
    reading_options,
    rubric_option,
    setting_options,
    test_share_option_with,
)
from mogradjudge.cli.output import Work, output_options
from mogradjudge.display.terminal import print_table, say, tell
from mogradjudge.errors import SetupError, SetupErrors, together
from mogradjudge.files import to_json, write_text

if TYPE_CHECKING:
    import dspy

    from mogradjudge.criteria import Criterion, Rubric
    from mogradjudge.data.draft import Draft
    from mogradjudge.optimize.config import MOGradConfig
    from mogradjudge.optimize.data_card import DataCard

_SCALE = re.compile(r"(-?\d+)\s*(?:to|\.\.|,|-)\s*(-?\d+)")
_NONE = "none"
_DECIDING = ("measure", "level", "confirm", "seed")  # what a run does with the texts


@click.command("init", cls=Work, short_help="Write a first rubric for a table of ratings.")
@data_argument
@click.option("--out", metavar="TOML", default="rubric.toml", show_default=True)
@click.option("--yes", is_flag=True, help="Take all guesses without asking.")
@click.option("--force", is_flag=True, help="Overwrite the rubric that is there.")
@click.option("--inputs", metavar="COLUMNS", help="What the judge reads: a,b  [default: guessed]")
@click.option(
    "--human",
    metavar="[CRITERION=]COLUMNS",
    multiple=True,
    help="A criterion's column of scores, or one for each rater: tone=tone_1,tone_2. Repeat it for "
    "each criterion  [default: guessed]",
)
@click.option(
    "--group", metavar="COLUMN", help="The column of documents, or none  [default: guessed]"
)
@click.option("--rater", metavar="COLUMN", help="The column of raters, or none  [default: guessed]")
@reading_options
@output_options
def init_command(
    data: str,
    out: str,
    yes: bool,  # noqa: FBT001 - click's
    force: bool,  # noqa: FBT001 - click's
    as_json: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Guess what the columns of DATA are, write a rubric with comments, and describe the data.

    On a terminal each guess is asked for: Enter takes it. Elsewhere --yes takes all.

    \b
    mogradjudge init ratings.csv
    """
    from mogradjudge.data.draft import draft_rubric, table_of

    table = table_of(data, options["limit"], reading_of(options))
    _check_new(Path(out), force=force)
    asks = not yes
    if asks and not sys.stdin.isatty():
        raise SetupError("init asks on a terminal: give --yes to take its guesses elsewhere.")

    drafted, chosen = partial(draft_rubric, table), _chosen(options)
    guess = draft = drafted(**chosen)
    if asks:
        _print_roles(guess, as_json=as_json)
        draft = _asked(drafted, chosen)
    write_text(Path(out), draft.to_toml())
    reading = _read(data, out, options)
    if draft.roles != guess.roles or not asks:
        _print_roles(draft, as_json=as_json)
    guesses = {"columns": dict(draft.roles), "doubts": dict(draft.doubts)}
    try:
        _finish(reading, f"{data} with {out}", as_json=as_json, more=guesses)
    finally:
        _say_next(data, out, as_json=as_json)


def _print_roles(draft: Draft, *, as_json: bool) -> None:
    if as_json:
        return
    print_table(("column", "taken for"), [[*role] for role in draft.roles.items()])
    for line in (f"{name}: {it}." for name, own in draft.doubts.items() for it in own):
        say(line)


def _say_next(data: str, out: str, *, as_json: bool) -> None:
    if not as_json:
        command = f"mogradjudge check {shlex.quote(data)} --rubric {shlex.quote(out)}"
        say(f"The rubric is in {out}. Write into its definitions what the raters were told.")
        say(f"Then: {command}")


@click.command("check", cls=Work, short_help="Say all that is wrong with a rubric and its data.")
@data_argument
@rubric_option
@protocol_option
@setting_options(*_DECIDING)
@test_share_option_with("as in `compile`.")
@reading_options
@output_options
def check_command(data: str, rubric: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Describe the rated texts of DATA, and say all that would stop a run; sends no call.

    With the options of `compile` it says what that would do with the texts. The exit status is 2 if
    anything would stop it.

    \b
    mogradjudge check ratings.csv --rubric rubric.toml
    """
    reading = _read(data, rubric, options)
    settings = {name: options[name] for name in ("test_share", *_DECIDING)}
    _finish(reading, f"{data} with {rubric}", as_json=as_json, **settings)


def _check_new(out: Path, *, force: bool) -> None:
    if not out.parent.is_dir():
        raise SetupError(f"There is no folder {out.parent} to write {out.name} into: make it.")
    if out.is_dir() or (out.exists() and not force):
        raise SetupError(f"{out} exists: give --force to overwrite it, or another --out.")


def _chosen(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the options say of the rubric."""
    group = options["group"]
    return {
        "inputs": _listed(options["inputs"]) if options["inputs"] else None,
        "human": dict(map(_scores, options["human"])) or None,
        "group": False if group == _NONE else group,
        "rater": False if options["rater"] == _NONE else options["rater"],
    }


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _scores(text: str) -> tuple[str, list[str]]:
    """Read ``tone=tone_1,tone_2``; without a name the column gives it."""
    from mogradjudge.data.columns import criterion_name

    name, equals, columns = text.partition("=")
    names = _listed(columns if equals else name)
    if not names:
        raise SetupError(f"`--human` must name a column, got {text!r}.")
    return (name.strip() if equals else criterion_name(names[0])), names


def _asked(drafted: Callable[..., Draft], chosen: dict[str, Any]) -> Draft:
    """Ask for each guess, and return the draft that the answers make."""
    draft = drafted(**chosen)

    def ask(what: str, default: str, value_of: Callable[[str], dict[str, Any]]) -> Draft:
        def draft_with(answer: str) -> Draft:
            values = {**chosen, **value_of(answer)}
            try:
                another = drafted(**values)
                another.rubric  # noqa: B018 - it is checked
            except SetupError as error:
                raise click.UsageError(str(error)) from error
            chosen.update(values)
            return another

        answer: Draft = click.prompt(what, default=default, value_proc=draft_with, err=True)
        return answer

    draft = ask("The judge reads", ", ".join(draft.inputs), lambda text: {"inputs": _listed(text)})
    shown = "; ".join(f"{it.name}={','.join(it.columns)}" for it in draft.criteria)
    draft = ask(
        "Human scores, by criterion",
        shown,
        lambda text: {"human": dict(map(_scores, filter(str.strip, text.split(";"))))},
    )
    draft = ask(
        "Texts on one document stay together; the column of documents (or none)",
        draft.group or _NONE,
        lambda text: {"group": _or_none(text) or False},
    )
    if not any(criterion.raters for criterion in draft.criteria):
        draft = ask(
            "The column of raters (or none)",
            draft.rater or _NONE,
            lambda text: {"rater": _or_none(text) or False},
        )
    criteria = tuple(map(_with_answers, draft.criteria))
    for column in draft.remarks if any(it.comment is None for it in criteria) else ():
        criteria = _with_comment(criteria, column)
    return replace(draft, criteria=criteria)


def _with_comment(criteria: tuple[Criterion, ...], column: str) -> tuple[Criterion, ...]:
    """Ask on which criteria people comment in a column."""
    names = [criterion.name for criterion in criteria if criterion.comment is None]

    def named(text: str) -> list[str]:
        chosen = [] if text == _NONE else _listed(text)
        if not {*chosen} <= {*names}:
            raise click.UsageError(f"Write some of: {', '.join(names)}; or {_NONE}.")
        return chosen

    question = f"{column} is a comment on ({', '.join(names)}, or {_NONE})"
    chosen = click.prompt(question, default=_NONE, value_proc=named, err=True)
    return tuple(replace(it, comment=column) if it.name in chosen else it for it in criteria)


def _or_none(text: str) -> str | None:
    return None if text == _NONE else text


def _with_answers(criterion: Criterion) -> Criterion:
    """Ask for a criterion's scale, and for its comments if there seem to be some."""

    def scaled(text: str) -> Criterion:
        ends = _SCALE.fullmatch(text.strip())
        changes: dict[str, Any] = {"scale": None, "names": _listed(text)}
        if ends:
            changes = {"scale": (int(ends[1]), int(ends[2])), "names": ()}
        try:
            return replace(criterion, **changes)
        except SetupError as error:
            raise click.UsageError(f"{error} Write 1 to 5, or: fail, pass.") from error

    guess = ", ".join(criterion.names) or str(criterion.scale)
    question = f"Scale of {criterion.name}, or its levels' names, worst to best"
    answer: Criterion = click.prompt(question, default=guess, value_proc=scaled, err=True)
    if criterion.comment is None:
        return answer
    comment = click.prompt(f"Comments on {criterion.name}", default=criterion.comment, err=True)
    return replace(answer, comment=_or_none(comment))


@dataclass
class _Reading:
    """A rubric and its texts as far as they can be read, and all that is wrong with them."""

    rubric: Rubric | None = None
    examples: Sequence[dspy.Example] = ()
    faults: list[str] = field(default_factory=list)


def _read(data: str, path: str, options: Mapping[str, Any]) -> _Reading:
    """Read rubric and data; what is wrong with one part does not hide what is with another."""
    from mogradjudge.criteria.check import check_text
    from mogradjudge.criteria.rubric import read_text
    from mogradjudge.data import load_examples
    from mogradjudge.data.draft import table_of
    from mogradjudge.data.ratings import rubric_for

    reading, how = _Reading(), reading_of(options)
    try:
        checked = check_text(read_text(Path(path)))
        reading.faults += [f"{path}: {fault}" for fault in checked.faults]
    except SetupError as error:
        checked = None
        reading.faults.append(f"{path}: {error}".replace(f"{path}: Cannot", "Cannot"))
    try:
        header = table_of(data, 1, how).columns
    except SetupError as error:
        reading.faults += _lines(error, data)
        return reading
    if checked is None or checked.rubric is None:
        return reading
    whole = rubric_for(checked.rubric, header)
    part = _within(whole, header)
    # What a table has is read even if it lacks a column, and what can be even if a cell cannot.
    for rubric, bad in ((whole, how), (part, how), (part, replace(how, skip_bad=True))):
        if rubric is None:
            break
        try:
            reading.examples = load_examples(data, rubric, options["limit"], options=bad)
        except SetupError as error:
            reading.faults += _lines(error, data)
        else:
            right = tuple(it for it in rubric.criteria if it.name in checked.right)
            reading.rubric = rubric.part(right) if right else None
            break
    reading.faults = list(dict.fromkeys(reading.faults))
    return reading


def _within(rubric: Rubric, header: Sequence[str]) -> Rubric | None:
    """Return what a table with these columns has of a rubric; None if it lacks an input."""

    def present(column: str | None) -> str | None:
        return column if column in header else None

    criteria = tuple(
        replace(it, raters=tuple(filter(present, it.raters)), comment=present(it.comment))
        for it in rubric.criteria
        if any(map(present, it.columns))
    )
    if not criteria or not all(map(present, rubric.columns)):
        return None
    group = rubric.group and present(rubric.group)
    return replace(rubric.part(criteria), group=group, rater=present(rubric.rater))


def _lines(error: SetupError, source: str) -> list[str]:
    if not isinstance(error, SetupErrors):
        return [str(error)]
    return [f"{source}: {line}" for line in str(error).splitlines()[1:]]


def _finish(
    reading: _Reading,
    source: str,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Print the card and what is wrong.

    Raises:
        SetupError: If anything would stop a run.
    """
    from mogradjudge.optimize.config import MOGradConfig

    card, share = None, settings.pop("test_share", 0.0)
    config = MOGradConfig(**settings)
    if reading.rubric is not None and reading.examples:
        card = _card(reading, reading.rubric, config, share)
    if as_json:
        printed = {"card": card and card.as_dict(), "problems": reading.faults}
        click.echo(to_json({**(more or {}), **printed}))
    elif card is not None and reading.rubric is not None:
        _print_card(card, reading.rubric)
    if reading.faults:
        raise together(source, reading.faults)
    tell("Nothing would stop a run.")


def _card(
    reading: _Reading, rubric: Rubric, config: MOGradConfig, test_share: float
) -> DataCard | None:
    """Describe what a run would do with the texts, and add what would stop it."""
    from mogradjudge.cli.job import hold_out
    from mogradjudge.optimize.data_card import data_card
    from mogradjudge.optimize.datasets import examples_of

    rest, test = list(reading.examples), list[Any]()
    try:
        rest, test = hold_out(rest, test_share, config.seed)
        examples_of(config, rubric, rest, None, test, judged=rubric)
    except SetupError as error:
        reading.faults += _lines(error, "the texts")
    try:
        return data_card(rest, rubric, config, test)
    except SetupError:  # they cannot be split, which is said already
        return None


def _used_levels(card: DataCard, criterion: Criterion) -> Iterator[str]:
    for level, count in card.use[criterion.name].items():
        if count:
            yield f"{criterion.shown(level)}: {count}"
    if criterion.na:
        yield f"n/a: {card.inapplicable[criterion.name]}"


def _print_card(card: DataCard, rubric: Rubric) -> None:
    """Print what rated texts allow a run to learn and to confirm."""
    from mogradjudge.scoring.ceilings import describe

    rows = [
        [
            *(it.name, ", ".join(it.columns), str(it.scale)),
            *(str(card.texts - card.missing[it.name]), str(card.missing[it.name])),
            ", ".join(_used_levels(card, it)),
        ]
        for it in rubric.criteria
    ]
    columns = ("criterion", "human scores", "scale", "rated", "missing", "texts by level")
    single = ", 1 rater a text" if card.ratings == 1 else ""  # else the loader says how many
    print_table(columns, rows, f"{card.texts} texts of {card.documents} documents{single}")
    for line in (*describe(card.ceilings), card.describe()):
        say(line)
