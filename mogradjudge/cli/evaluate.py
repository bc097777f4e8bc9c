"""``mogradjudge evaluate`` and ``mogradjudge calibrate``: a saved judge beside human ratings."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import (
    FOLDER,
    agreement_options,
    cap_options_for,
    data_argument,
    fallback_option,
    keep_going_option,
    reading_of,
    reading_options,
    saved_lm_options,
)
from mogradjudge.cli.output import Work, output_options
from mogradjudge.cli.saved_judge import (
    budget_of,
    check_new_folder,
    folder_of,
    held_out_option,
    judge_argument,
    judging,
    raw_option,
    saved_judge,
    unread_texts,
)
from mogradjudge.cli.tables import print_calibration, print_evaluation, print_ledger
from mogradjudge.files import to_json

if TYPE_CHECKING:
    pass


@click.command("evaluate", cls=Work, short_help="Measure a saved judge against human ratings.")
@judge_argument
@data_argument
@saved_lm_options
@reading_options
@cap_options_for()
@keep_going_option
@fallback_option
@raw_option
@agreement_options
@held_out_option
@output_options
def evaluate_command(judge: str, data: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Measure how well the saved judge JUDGE agrees with the human columns of DATA.

    JUDGE is a judge.json, or the folder of a run. Agreement is measured as in the run, unless
    --measure or --level say otherwise.

    \b
    mogradjudge evaluate run ratings.csv --held-out --lm openai/gpt-4o-mini
    """
    from mogradjudge.data import load_examples
    from mogradjudge.scoring.evaluate import evaluation_report

    budget, saved = budget_of(options), saved_judge(judge, options["fallback"], raw=options["raw"])
    options |= _of_the_run(folder_of(judge))
    reading = reading_of(options)
    rated = load_examples(data, saved.rubric, options["limit"], options=reading)
    examples, read = unread_texts(judge, rated, held_out=options["held_out"])
    with judging(options, saved, examples, as_json=as_json):
        report = evaluation_report(
            *(saved, examples, options["num_threads"], options["level"], options["max_rpm"]),
            budget=budget,
            keep_going=options["keep_going"],
            measure=options["measure"],
        )
    if as_json:
        click.echo(to_json({**report, "read_by_run": read}))
    else:
        print_evaluation(report)


@click.command("calibrate", cls=Work, short_help="Map a saved judge's scores to the human scale.")
@judge_argument
@data_argument
@saved_lm_options
@reading_options
@cap_options_for()
@keep_going_option
@fallback_option
@held_out_option
@click.option(
    "--out", type=FOLDER, required=True, metavar="JUDGE2", help="A new folder for the judge."
)
@output_options
def calibrate_command(judge: str, data: str, out: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Fit a map from the scores of the saved judge JUDGE to the human columns of DATA.

    A map never falls, and is kept where it lowers the mean error on documents that it was not
    fitted to. `score` and `evaluate` apply it to the judge in JUDGE2; with --raw they do not. Texts
    that chose the judge's instructions make it look better than it is: take others, or --held-out.

    \b
    mogradjudge calibrate run ratings.csv --held-out --lm openai/gpt-4o-mini --out calibrated
    """
    from mogradjudge.data import load_examples
    from mogradjudge.lm.ledger import Ledger
    from mogradjudge.optimize.parts import Parts
    from mogradjudge.programs.saving import save_judge
    from mogradjudge.scoring.calibration import calibrated

    check_new_folder(out)
    saved = saved_judge(judge, options["fallback"], raw=True)
    reading, threads = reading_of(options), options["num_threads"]
    rated = load_examples(data, saved.rubric, options["limit"], options=reading)
    examples, _ = unread_texts(judge, rated, held_out=options["held_out"])
    ledger = Ledger(budget_of(options), threads, options["max_rpm"])
    with judging(options, saved, examples, as_json=as_json):
        mapped = calibrated(saved, examples, ledger, threads, keep_going=options["keep_going"])
        save_judge(mapped, Path(out))
        before = Parts.read_from(folder_of(judge))
        parts = Parts.of({"calibration": examples}).including([before] if before else [])
        parts.write_to(Path(out))
    rows = [row.as_dict() for row in ledger.rows]
    if as_json:
        maps = {name: asdict(it) for name, it in mapped.calibration.items()}
        click.echo(to_json({"calibration": maps, "ledger": rows, "out": out}))
    else:
        print_calibration(mapped.calibration, out)
        print_ledger(rows)


def _of_the_run(folder: Path) -> dict[str, str]:
    """Return how a run measured agreement, as far as the command's options do not say it."""
    from click.core import ParameterSource

    from mogradjudge.files import read_json
    from mogradjudge.optimize.directory import RESULT

    context, path = click.get_current_context(), folder / RESULT
    config = read_json(path, "Remove it to do without.").get("config", {}) if path.exists() else {}
    return {
        name: config[name]
        for name in ("measure", "level")
        if name in config and context.get_parameter_source(name) is ParameterSource.DEFAULT
    }
