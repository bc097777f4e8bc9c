"""``mogradjudge evaluate`` and ``mogradjudge calibrate``: a saved judge beside human ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.options import (
    FILE,
    FOLDER,
    agreement_options,
    fallback_option,
    reading_of,
)
from mogradjudge.cli.output import Work, note, output_options
from mogradjudge.cli.paired import against, against_option, print_against, read_earlier
from mogradjudge.cli.saved_judge import (
    budget_of,
    check_new_folder,
    folder_of,
    held_out_option,
    judge_argument,
    judging,
    judging_options,
    raw_option,
    saved_judge,
    unread_texts,
)
from mogradjudge.cli.tables import print_calibration, print_evaluation, print_ledger
from mogradjudge.cli.thresholds import check_summary, hold, minima_of, threshold_options
from mogradjudge.files import to_json

if TYPE_CHECKING:
    import dspy

    from mogradjudge.lm.ledger import Ledger
    from mogradjudge.scoring.evaluate import Evaluation


@click.command("evaluate", cls=Work, short_help="Measure a saved judge against human ratings.")
@judge_argument
@judging_options
@fallback_option
@raw_option
@agreement_options
@held_out_option
@click.option(
    "--out",
    type=FILE,
    metavar="FILE",
    help="Write each text and criterion, the largest differences first, to a .csv, .jsonl or "
    ".parquet file.",
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@against_option
@threshold_options
@output_options
def evaluate_command(judge: str, data: str, as_json: bool, **options: Any) -> None:  # noqa: FBT001
    """Measure how well the saved judge JUDGE agrees with the human columns of DATA.

    JUDGE is a judge.json, or the folder of a run. Agreement is measured as in the run, unless
    --measure or --level say otherwise. The exit status is 4 if an agreement is below its --min.

    \b
    mogradjudge evaluate run ratings.csv --held-out --lm openai/gpt-4o-mini
    mogradjudge evaluate run ratings.csv --lm openai/gpt-4o-mini --min mean=0.6 --confident
    mogradjudge evaluate run ratings.csv --lm openai/a-new-model --against last.json
    """
    from mogradjudge.scoring.differing import differing, write_differing
    from mogradjudge.scoring.output import check_output

    names = saved_judge(judge, options["fallback"], raw=options["raw"]).rubric.names
    minima = minima_of(options["minima"], names)
    check_summary(is_wanted=options["github_summary"])
    if out := options["out"]:
        check_output(Path(out), overwrite=options["overwrite"])
    earlier = read_earlier(options["against"]) if options["against"] else None
    evaluation, read = measure(judge, data, options, ledger_of(options), as_json=as_json)
    report = {**evaluation.report, "read_by_run": read}
    if earlier is not None:
        report["against"] = against(earlier, evaluation, names)
    if as_json:
        click.echo(to_json({**report, "texts": [text.as_line() for text in evaluation.texts]}))
    else:
        print_evaluation(report)
        if earlier is not None:
            print_against(report["against"], report)
    if out:
        write_differing(Path(out), differing(evaluation.texts, names, evaluation.inputs))
        note(f"The texts are in {out}, those on which judge and people differ most first.")
    hold(report, minima, options)


def measure(
    judge: str,
    data: str,
    options: Mapping[str, Any],
    ledger: Ledger,
    *,
    as_json: bool,
    others: Sequence[str] = (),
    whose: str = "The judge",
) -> tuple[Evaluation, int | None]:
    """Judge the texts of a table as the options say; also returns how many the run has read.

    With --held-out, texts that the runs of ``others`` have read are left out, too. ``whose`` is
    what the judge is called.
    """
    from mogradjudge.data import load_examples
    from mogradjudge.scoring.evaluate import evaluate

    saved = saved_judge(judge, options["fallback"], raw=options["raw"])
    options = {**options, **_of_the_run(folder_of(judge))}
    rated = load_examples(data, saved.rubric, options["limit"], options=reading_of(options))
    examples, read = _unread_by_all(judge, others, rated, held_out=options["held_out"])
    with judging(options, saved, examples, as_json=as_json, whose=whose):
        evaluation = evaluate(
            *(saved, examples, ledger, options["num_threads"], options["level"]),
            keep_going=options["keep_going"],
            measure=options["measure"],
        )
    return evaluation, read


def _unread_by_all(
    judge: str, others: Sequence[str], examples: Sequence[dspy.Example], *, held_out: bool
) -> tuple[Sequence[dspy.Example], int | None]:
    from mogradjudge.optimize.parts import Parts

    if held_out and others:
        runs = [path for path in others if Parts.read_from(folder_of(path)) is not None]
        for path in runs:
            examples, _ = unread_texts(path, examples, held_out=True)
        held_out = not runs  # where no run is known, that is said of the judge
    return unread_texts(judge, examples, held_out=held_out)


def ledger_of(options: Mapping[str, Any]) -> Ledger:
    """Make the ledger of a command that only judges."""
    from mogradjudge.lm.ledger import Ledger

    return Ledger(budget_of(options), options["num_threads"], options["max_rpm"])


@click.command("calibrate", cls=Work, short_help="Map a saved judge's scores to the human scale.")
@judge_argument
@judging_options
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
    from mogradjudge.optimize.parts import Parts
    from mogradjudge.programs.saving import save_judge
    from mogradjudge.scoring.calibration import calibrated

    check_new_folder(out)
    saved = saved_judge(judge, options["fallback"], raw=True)
    reading, threads = reading_of(options), options["num_threads"]
    rated = load_examples(data, saved.rubric, options["limit"], options=reading)
    examples, _ = unread_texts(judge, rated, held_out=options["held_out"])
    ledger = ledger_of(options)
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
