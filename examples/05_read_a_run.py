"""A run's folder in pandas: how agreement went, what was paid for what, and why a text was changed.

Each run leaves plain files: ``result.json``, ``events.jsonl`` (a line for each thing that happened)
and ``calls.jsonl`` (a line when a call leaves and one when it lands). Here they become data frames:

- agreement by step and criterion, with what the gate decided;
- calls, tokens and dollars by role and criteria;
- the chain behind an edit: the example, the critique of it, the advice drawn from that, the text
  that the editor wrote.

    python examples/05_read_a_run.py support-run

Any run's folder will do, also while the run is at work; script 01 leaves one in ``support-run``.
Calls: none.
"""

from pathlib import Path
from typing import Any

import click
import pandas as pd

from mogradjudge.files import LineLog, read_json

TOKENS = ["prompt_tokens", "completion_tokens"]


def read_events(run: Path) -> pd.DataFrame:
    """Give a row per event, with the fields of all kinds as columns; each step is told once."""
    kept: list[dict[str, Any]] = []
    for event in LineLog(run / "events.jsonl").entries():
        if event["event"] == "RunStarted":
            kept = []
        elif event["event"] == "RunResumed":  # it goes on after so many steps, and tells the rest
            kept = [each for each in kept if each.get("step", 0) <= event["steps"]]
        kept.append(event)
    return pd.DataFrame(kept)


def agreement_by_step(events: pd.DataFrame) -> pd.DataFrame:
    """Give a row per step, 0 being the seed, with a column per criterion and the mean."""
    scored = events[events["event"].isin(["SeedScored", "StepEnded"])]
    steps = pd.Index(scored["step"].fillna(0).astype(int), name="step")
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
    lines = pd.DataFrame(LineLog(run / "calls.jsonl").entries())
    sent = lines.dropna(subset="sent").set_index("sent")[["role", "criteria", "model"]]
    landed = lines.dropna(subset="landed").set_index("landed")
    return sent.join(landed[["answered", "prompt_tokens", "completion_tokens"]])


def chain(events: pd.DataFrame) -> pd.DataFrame:
    """Give a row per example and criterion: what was said of it, and the text that came of it."""
    by = ["step", "example_id", "criterion"]
    told = events.drop(columns="criterion").explode("criteria")
    told = told.rename(columns={"criteria": "criterion"})
    critiques = told[told["event"] == "CritiqueWritten"][[*by, "text"]]
    gradients = told[told["event"] == "GradientWritten"][[*by, "text"]]
    edits = events[events["event"] == "SectionRewritten"][["step", "criterion", "text"]]
    both = critiques.merge(gradients, on=by, suffixes=("_critique", "_gradient"))
    found = both.merge(edits.rename(columns={"text": "text_edit"}), on=["step", "criterion"])
    return found.astype({"step": int})


@click.command()
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(run: Path) -> None:
    """Read a run's folder."""
    pd.set_option("display.width", 120, "display.max_columns", None)
    events = read_events(run)
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
    main()
