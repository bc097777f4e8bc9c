"""A run's folder in pandas: how agreement went, what was paid for what, and why a text was changed.

Each run leaves plain files: ``result.json``, ``events.jsonl`` (a line for each thing that happened)
and ``calls.jsonl`` (a line when a call leaves and one when it lands). Here they become data frames:

- agreement by step and criterion, with what the gate decided;
- calls, tokens and dollars by role and criteria;
- the chain behind an edit: what the judge read and how far it was off, the critique of that, the
  advice drawn from it, the text that the editor wrote.

    python examples/04_read_a_run.py run

Any run's folder will do, also while the run is at work; ``02_csv_start.sh`` leaves one in
``csv-start/run``.
Calls: none.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click
import pandas as pd

from mogradjudge.cli import run_command
from mogradjudge.files import LineLog, read_json

BY = ["step", "example_id", "criterion"]
TOKENS = ["prompt_tokens", "completion_tokens"]


def _with_columns(rows: Iterable[Mapping[str, Any]], *names: str) -> pd.DataFrame:
    """Give a frame that has these columns even where no row does: a run may just have begun."""
    frame = pd.DataFrame(list(rows), dtype=object)
    return frame.reindex(columns=frame.columns.union(names)).astype(object)


def read_events(run: Path) -> pd.DataFrame:
    """Give a row per event, with the fields of all kinds as columns; each step is told once."""
    kept: list[dict[str, Any]] = []
    for event in LineLog(run / "events.jsonl").entries():
        if event["event"] == "RunStarted":
            kept = []
        elif event["event"] == "RunResumed":  # it goes on after so many steps, and tells the rest
            kept = [each for each in kept if each.get("step", 0) <= event["steps"]]
        kept.append(event)
    return _with_columns(kept, *BY, "agreement", "accepted", "criteria", "text")


def agreement_by_step(events: pd.DataFrame) -> pd.DataFrame:
    """Give a row per step, 0 being the seed, with a column per criterion and the mean."""
    scored = events[events["event"].isin(["SeedScored", "StepEnded"])]
    steps = pd.Index(pd.to_numeric(scored["step"]).fillna(0).astype(int), name="step")
    values = pd.DataFrame(scored["agreement"].tolist(), index=steps)
    decided = events[events["event"] == "GateDecided"].set_index("step")
    return values.join(decided["accepted"])


def spending(run: Path) -> pd.DataFrame:
    """Give calls, tokens and dollars by role and criteria; dollars are None without a price."""
    rows = pd.DataFrame(read_json(run / "result.json")["ledger"])
    rows["criteria"] = rows["criteria"].str.join(" ")
    return rows.set_index(["role", "criteria"])


def paid_calls(run: Path) -> pd.DataFrame:
    """Give a row per call that was sent, by its number; what a cache answered is left out."""
    names = ("sent", "landed", "role", "criteria", "model", "answered", *TOKENS)
    lines = _with_columns(LineLog(run / "calls.jsonl").entries(), *names)
    sent = lines.dropna(subset="sent").set_index("sent")[["role", "criteria", "model"]]
    landed = lines.dropna(subset="landed").set_index("landed")
    return sent.join(landed[["answered", *TOKENS]].astype(dict.fromkeys(TOKENS, float)))


def judged(events: pd.DataFrame) -> pd.DataFrame:
    """Give a row per text that a step judged, and criterion; labels where it compares labels."""
    rows = [
        (
            *(each.step, text["example_id"], name, inputs),
            *(text["produced"].get(name), text["expected"].get(name)),
        )
        for each in events[events["event"] == "BatchJudged"].itertuples()
        for text, inputs in zip(each.texts, each.inputs, strict=True)
        for name in text["scores"]
    ]
    return pd.DataFrame(rows, columns=[*BY, "example", "judge", "human"], dtype=object)


def chain(events: pd.DataFrame) -> pd.DataFrame:
    """Give a row per example and criterion: what was said of it, and the text that came of it."""
    told = events.drop(columns="criterion").explode("criteria")
    told = told.rename(columns={"criteria": "criterion"})
    parts = {}
    for name, event in {"critique": "CritiqueWritten", "gradient": "GradientWritten"}.items():
        parts[name] = told[told["event"] == event][[*BY, "text"]].rename(columns={"text": name})
    edits = events[events["event"] == "SectionRewritten"][["step", "criterion", "text"]]
    found = parts["critique"].merge(judged(events), on=BY, how="left")
    gradients = parts["gradient"]
    of_batch = gradients["example_id"] == ""  # drawn from all texts of a step
    found = pd.concat(
        [
            found.merge(gradients[~of_batch], on=BY),
            found.merge(gradients[of_batch].drop(columns="example_id"), on=["step", "criterion"]),
        ]
    )
    found = found.merge(edits.rename(columns={"text": "edit"}), on=["step", "criterion"])
    return found[[*BY, "example", "judge", "human", "critique", "gradient", "edit"]]


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(run: Path) -> None:
    """Read a run's folder."""
    pd.set_option("display.width", 120, "display.max_columns", None)
    if not (run / "events.jsonl").exists():
        raise click.UsageError(f"RUN must be a run's folder; {run} has no events.jsonl.")
    events = read_events(run)
    if "SeedScored" not in set(events["event"]):
        print(f"Nothing has been scored yet in {run}.")
        return
    print(agreement_by_step(events).round(3), end="\n\n")
    print(
        paid_calls(run).groupby("role", sort=False)[TOKENS].agg(["count", "mean", "max"]),
        end="\n\n",
    )
    if (run / "result.json").exists():
        print(spending(run), end="\n\n")
    links = chain(events)
    print(f"{len(links)} chains from an example to an edit")
    for name, value in links.head(1).squeeze().items() if len(links) else ():
        print(f"  {name}: {value}")


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
