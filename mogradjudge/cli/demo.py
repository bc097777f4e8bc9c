"""``mogradjudge demo``."""

from __future__ import annotations

import tempfile
import time
from importlib.resources import as_file, files

import click

from mogradjudge.cli.compile import run, verdict
from mogradjudge.cli.job import Options, prepare
from mogradjudge.tables import print_run

_MAX_TOKENS = 100  # a small model does not know when to stop


@click.command("demo", short_help="The whole job in two minutes; no key, no network.")
@click.option("--lm", default="local/smollm2", show_default=True, metavar="MODEL")
@click.option("--out", metavar="RUN_DIR", help="Keep the run here; else nothing is kept.")
def demo_command(lm: str, out: str | None) -> None:
    """Optimize a judge of customer-support replies with a model inside this process.

    The 36 replies are written for this purpose and come with the package, like the ratings: each
    reply was written to show planned levels of three criteria.
    """
    started = time.monotonic()
    with as_file(files("mogradjudge.demo")) as folder, tempfile.TemporaryDirectory() as scratch:
        options = Options(
            data=str(folder / "replies.jsonl"),
            rubric=str(folder / "rubric.toml"),
            lm=lm,
            api_base=None,
            temperature=0.0,
            max_tokens=_MAX_TOKENS,
            num_threads=1,  # the model works on one call at a time
            layout="combined",
            score_rule="expected",
            n=1,
            rationale=False,
            fallback="integer",
            mode="SSC",
            auto=None,
            steps=2,
            batch_size=1,
            seed=0,
            gate="mean",
            tolerance=0.0,
            skip_tolerance=None,
            level="pooled",
            edit_preamble=False,
            max_calls=None,
            max_total_tokens=None,
            max_cost=None,
            max_seconds=None,
            target=None,
            patience=None,
            max_rpm=None,
            prompt_lm=None,
            test_share=0.0,
            limit=None,
        )
        job = prepare(options)
        click.echo(
            f"Optimizing a judge of {len(job.train) + len(job.validation)} customer-support "
            f"replies on {', '.join(job.rubric.names)} with {lm}.",
            err=True,
        )
        result = run(options, job, out or scratch)
    print_run(result)
    click.echo(f"{verdict(result)} It took {time.monotonic() - started:.0f} s.")
    click.echo(
        "A model of 135 million parameters shows the machinery and not the quality: its ratings "
        "carry next to no signal, so take no figure above for a result."
    )
