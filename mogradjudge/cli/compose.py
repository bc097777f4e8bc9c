"""``mogradjudge compose``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import (
    FILE,
    FOLDER,
    agreement_options,
    reading_of,
    setting_options,
)
from mogradjudge.cli.output import Work, how_to_resume, note, output_options
from mogradjudge.cli.saved_judge import (
    budget_of,
    failing_at_a_cap,
    held_out_option,
    judging_options,
    model_of,
    unread_texts,
)
from mogradjudge.cli.tables import print_composition
from mogradjudge.display.terminal import tell
from mogradjudge.errors import BudgetExhausted, RunStopped, SetupError
from mogradjudge.files import to_json

if TYPE_CHECKING:
    import dspy


@click.command("compose", cls=Work, short_help="Put judges of single criteria into one judge.")
@click.argument("runs", nargs=-1, required=True, type=FILE, metavar="RUN...")
@judging_options
@click.option(
    "--max-calls-per-text",
    type=click.IntRange(1),
    metavar="N",
    help="Calls that the judge may take for a text  [default: one per criterion]",
)
@setting_options("confirm", "seed")
@agreement_options
@held_out_option
@click.option("--out", type=FOLDER, required=True, metavar="DIR", help="The judge's folder.")
@output_options
def compose_command(
    runs: tuple[str, ...],
    data: str,
    out: str,
    as_json: bool,  # noqa: FBT001 - click's
    **options: Any,
) -> None:
    """Compose a judge of the sections that were optimized in RUN..., by the ratings of DATA.

    Each RUN is a judge.json or the folder of a run. Measured is what each criterion's section does
    to each other one in one call; criteria that do the least harm share calls. DATA should be texts
    that no RUN has read (--held-out). Run the same command again to resume.

    \b
    mogradjudge compose tone-run style-run ratings.csv --lm openai/gpt-4o-mini --out composed
    """
    from mogradjudge.composition.compose import (
        ComposeOptions,
        compose,
        composed_data,
        most_calls,
    )
    from mogradjudge.composition.sources import Sources
    from mogradjudge.data import load_examples
    from mogradjudge.judge.judge import MultiCriteriaJudge

    names = ("max_calls_per_text", "confirm", "measure", "level", "seed", "num_threads", "max_rpm")
    how = ComposeOptions(**{name: options[name] for name in (*names, "keep_going")})
    sources = Sources.of(runs)
    texts: Sequence[dspy.Example] = load_examples(
        data, sources.rubric, options["limit"], options=reading_of(options)
    )
    for run in runs:
        texts, read = unread_texts(run, texts, held_out=options["held_out"])
        if read and options["confirm"] != "off":
            raise SetupError(
                f"{run} has read {read} of these texts, so nothing can be confirmed on them. Give "
                "--held-out, texts that no run has read, or --confirm off."
            )
    tell(f"At most {most_calls(sources, composed_data(sources, texts, how), how)} calls.")
    judges = map(MultiCriteriaJudge.from_saved, runs)
    with failing_at_a_cap(as_json=as_json), model_of(options, *judges):
        try:
            composed = compose(runs, texts, how, budget=budget_of(options), out=out)
        except RunStopped as stop:
            note(f"The paid replies are kept in {out}. {how_to_resume(())}")
            raise click.Abort from stop
        except BudgetExhausted as error:
            caps = [error.cap] if error.cap else []
            kept = f"The paid replies are kept in {out}. {how_to_resume(caps)}"
            raise BudgetExhausted(f"{error} {kept}") from error
    result = composed.as_dict()
    if as_json:
        click.echo(to_json(result))
    else:
        print_composition(result, out)
