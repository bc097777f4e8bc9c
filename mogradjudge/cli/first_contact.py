"""``mogradjudge init`` and ``mogradjudge check``: from a table of ratings to a rubric that fits."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import (
    agreement_options,
    data_argument,
    reading_of,
    reading_options,
    rubric_option,
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

    def drafted(**chosen: Any) -> Draft:
        return draft_rubric(table, **chosen)

    chosen = _chosen(options)
    draft = _asked(drafted, chosen) if asks else drafted(**chosen)
    write_text(Path(out), draft.to_toml())
    rubric, examples, faults = _read(data, out, options)
    if not as_json:
        print_table(("column", "taken for"), [[*role] for role in draft.roles.items()])
    roles = {"columns": dict(draft.roles)}
    _finish(data, rubric, examples, faults, as_json=as_json, rubric_path=out, more=roles)
    if not as_json:
        command = f"mogradjudge check {shlex.quote(data)} --rubric {shlex.quote(out)}"
        say(f"The rubric is in {out}. Write into its definitions what the raters were told.")
        say(f"Then: {command}")


@click.command("check", cls=Work, short_help="Say all that is wrong with a rubric and its data.")
@data_argument
@rubric_option
@agreement_options
@reading_options
@output_options
def check_command(data: str, rubric: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Describe the rated texts of DATA, and say all that would stop a run; sends no call.

    The exit status is 2 if anything would.

    \b
    mogradjudge check ratings.csv --rubric rubric.toml
    """
    read, examples, faults = _read(data, rubric, options)
    _finish(data, read, examples, faults, as_json=as_json, rubric_path=rubric, **options)


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
        "Documents are named by",
        draft.group or _NONE,
        lambda text: {"group": False if text == _NONE else text},
    )
    draft = ask(
        "Raters are named by", draft.rater or _NONE, lambda text: {"rater": _or_none(text) or False}
    )
    return replace(draft, criteria=tuple(map(_with_answers, draft.criteria)))


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


def _read(
    data: str, path: str, options: Mapping[str, Any]
) -> tuple[Rubric | None, list[dspy.Example], list[str]]:
    """Read rubric and data as far as they can be, with all that is wrong with them."""
    from mogradjudge.criteria.rubric import Rubric, read_text
    from mogradjudge.criteria.toml import read_fields
    from mogradjudge.data import load_examples

    faults: list[str] = []
    rubric, examples = None, []
    try:
        values, wrong = read_fields(read_text(Path(path)))
        faults += [f"{path}: {fault}" for fault in wrong]
        if wrong and not values["criteria"]:  # those that are there cannot be read
            return None, [], faults
        rubric = Rubric(**values)
        examples = load_examples(data, rubric, options["limit"], options=reading_of(options))
    except SetupError as error:
        prefix = "" if rubric else f"{path}: "
        faults += [f"{prefix}{line}" for line in _lines(error, data)]
    return rubric, examples, faults


def _lines(error: SetupError, source: str) -> list[str]:
    if not isinstance(error, SetupErrors):
        return [str(error)]
    return [f"{source}: {line}" for line in str(error).splitlines()[1:]]


def _finish(
    data: str,
    rubric: Rubric | None,
    examples: Sequence[dspy.Example],
    faults: list[str],
    *,
    as_json: bool,
    rubric_path: str,
    more: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Print the card and what is wrong.

    Raises:
        SetupError: If anything would stop a run.
    """
    from mogradjudge.optimize.config import MOGradConfig
    from mogradjudge.optimize.data_card import data_card

    chosen = {name: settings[name] for name in ("measure", "level") if name in settings}
    config = MOGradConfig(**chosen)
    card = None
    if rubric is not None and examples:
        faults += _of_a_run(examples, rubric, config)
        card = data_card(examples, rubric, config)
    if as_json:
        click.echo(to_json({**(more or {}), "card": card and card.as_dict(), "problems": faults}))
    elif card is not None and rubric is not None:
        _print_card(card, rubric)
    if faults:
        raise together(f"{data} with {rubric_path}", faults)
    tell("Nothing would stop a run.")


def _of_a_run(examples: Sequence[dspy.Example], rubric: Rubric, config: MOGradConfig) -> list[str]:
    """Say what would stop a run of these texts."""
    from mogradjudge.optimize.datasets import examples_of

    try:
        examples_of(config, rubric, examples, None, (), judged=rubric)
    except SetupError as error:
        return _lines(error, "the texts")
    return []


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
    title = (
        f"{card.texts} texts of {card.documents} documents, "
        f"{card.ratings:.3g} raters a text on average"
    )
    print_table(columns, rows, title)
    for line in describe(card.ceilings):
        say(line)
    say(card.describe())
