"""``mogradjudge show``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mogradjudge.cli.output import Work, output_options
from mogradjudge.cli.saved_judge import folder_of, judge_argument, saved_judge

if TYPE_CHECKING:
    from mogradjudge.criteria import Rubric

_NAME = "data:,"  # before the name of an image that stands for it


@click.command("show", cls=Work, short_help="Print a judge's instructions and its prompt.")
@judge_argument
@output_options
def show_command(judge: str, as_json: bool) -> None:  # noqa: FBT001 - click's
    """Print the instructions of the saved judge JUDGE, and a prompt as it is sent.

    JUDGE is a judge.json, or the folder of a run. The prompt is about a text that the run has read,
    or else about placeholders. No call is sent.

    \b
    mogradjudge show run
    """
    import dspy

    from mogradjudge.files import to_json
    from mogradjudge.lm.models import adapter_named
    from mogradjudge.report.write import visible

    saved = saved_judge(judge, None, raw=False)
    with dspy.context(adapter=adapter_named(saved.model or "")):
        prompts = saved.prompts(**_text(folder_of(judge), saved.rubric))
    instructions = {name: part.signature.instructions for name, part in saved.judges.items()}
    facts = {"model": saved.model, **saved.judges[next(iter(prompts))].manifest["settings"]}
    if as_json:
        click.echo(to_json({"settings": facts, "instructions": instructions, "prompts": prompts}))
        return
    click.echo(", ".join(f"{name}: {'-' if it is None else it}" for name, it in facts.items()))
    for name, text in instructions.items():
        click.echo(f"\n=== instructions of {name} ===\n{visible(text)}")
    for name, messages in prompts.items():
        for message in messages:
            heading = f"=== prompt of {name}, {message['role']} ==="
            click.echo(f"\n{heading}\n{visible(_shown(message['content']))}")


def _text(folder: Path, rubric: Rubric) -> Mapping[str, Any]:
    """Return the first text of a run's first batch, or a placeholder for each input."""
    from mogradjudge.files import LineLog
    from mogradjudge.optimize.directory import EVENTS
    from mogradjudge.optimize.event_log import read_events
    from mogradjudge.optimize.events import BatchJudged

    for line in read_events(LineLog(folder / EVENTS)):
        if isinstance(line.event, BatchJudged):
            return _stood_for(rubric, line.event.inputs[0])
    return _stood_for(rubric, {name: f"({name})" for name in rubric.inputs})


def _stood_for(rubric: Rubric, texts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a text's inputs; an image is its name, as a run keeps no more of it."""
    from mogradjudge.lm.images import NamedImage

    return {
        name: NamedImage(f"{_NAME}{texts[name]}", name=texts[name])
        if name in rubric.images
        else texts[name]
        for name in rubric.inputs
    }


def _shown(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part["text"] if "text" in part else part["image_url"]["url"].removeprefix(_NAME)
        for part in content
    )
