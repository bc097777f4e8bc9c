"""``mogradjudge compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mogradjudge.cli.evaluate import ledger_of, measure
from mogradjudge.cli.options import FILE, agreement_options, fallback_option
from mogradjudge.cli.output import Work, output_options
from mogradjudge.cli.paired import print_edits, print_paired
from mogradjudge.cli.saved_judge import held_out_option, judging_options, raw_option
from mogradjudge.cli.tables import print_ledger
from mogradjudge.display.terminal import number, print_table, say
from mogradjudge.errors import SetupError
from mogradjudge.files import to_json

_SHOWN = 10  # changed texts on the terminal


@click.command("compare", cls=Work, short_help="Compare two saved judges on rated texts.")
@click.argument("first", type=FILE, metavar="A")
@click.argument("second", type=FILE, metavar="B")
@judging_options
@fallback_option
@raw_option
@agreement_options
@held_out_option
@click.option("--out", type=FILE, metavar="FILE", help="Write the comparison as an HTML file.")
@output_options
def compare_command(
    first: str,
    second: str,
    data: str,
    out: str | None,
    as_json: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Compare the saved judges A and B on the rated texts of DATA, by a paired test on documents.

    A and B are each a judge.json or a run's folder. Shown are the agreement of both on each
    criterion and the mean, the texts that changed sides, and the words of the instructions that
    differ. Agreement is measured as in B's run, unless --measure or --level say otherwise.

    \b
    mogradjudge compare old/judge.json run ratings.csv --held-out --lm openai/gpt-4o-mini
    """
    from mogradjudge.judge.judge import MultiCriteriaJudge
    from mogradjudge.report.compare_page import instruction_edits, write_comparison
    from mogradjudge.scoring.paired import paired

    judges = [MultiCriteriaJudge.from_saved(path) for path in (first, second)]
    names, others = (judge.rubric.names for judge in judges)
    if names != others:
        raise SetupError(f"The judges must have the same criteria: {names} and {others}.")
    ledger = ledger_of(options)
    paths = (first, second)
    one, two = (
        measure(path, data, options, ledger, as_json=as_json, others=paths, whose=name)[0]
        for path, name in zip(paths, "AB", strict=True)
    )
    weights = judges[0].rubric.weights, judges[1].rubric.weights
    pairs = paired(one.texts, two.texts, names, two.options, ("A", "B"), weights)
    if pairs is None:
        raise SetupError("No text was scored by both judges. Leave --held-out out.")
    edits = instruction_edits(*judges)
    if as_json:
        click.echo(to_json({**pairs.as_dict(), "ledger": [row.as_dict() for row in ledger.rows]}))
    else:
        print_paired(pairs.as_dict(), ("A", "B"))
        _print_changed(pairs.as_dict())
        print_edits(edits, second)
        print_ledger([row.as_dict() for row in ledger.rows])
    if out:
        path = write_comparison(Path(out), (first, second), pairs, edits, two.inputs)
        say(f"The comparison is in {path}.") if not as_json else None


def _print_changed(pairs: dict[str, Any]) -> None:
    if not pairs["changed"]:
        return
    rows = [
        [
            *(it["document"], it["criterion"]),
            *(number(it[key], 1) for key in ("human", "first", "second")),
        ]
        for it in pairs["changed"][:_SHOWN]
    ]
    more = len(pairs["changed"]) - len(rows)
    title = "The largest changes of side" + (f"; {more} more with --out or --json" if more else "")
    print_table(("document", "criterion", "people", "A", "B"), rows, title, keys=2)
