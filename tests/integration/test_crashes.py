"""A process may die right after any change on disk: what it leaves is taken up."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dspy
import pytest

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import MOGrad, MultiCriteriaJudge
from mogradjudge.files import LineLog
from mogradjudge.scoring.options import ScoringOptions
from mogradjudge.scoring.table import score_table

pytestmark = pytest.mark.slow

RUBRIC = toy_rubric("fluency", "coherence")
EXAMPLES = toy_examples(RUBRIC, 14)
CHANGES = ((os, "replace"), (Path, "unlink"), (Path, "mkdir"), (shutil, "rmtree"), (LineLog, "add"))


class Died(BaseException):
    """The process is gone."""


@contextmanager
def dying_after(number: int) -> Iterator[Callable[[], int]]:
    """Let the process die after so many changes on disk; gives how many there were."""
    count = 0
    with pytest.MonkeyPatch.context() as patch:
        for where, name in CHANGES:
            change = getattr(where, name)

            def counted(*args, change=change, **kwargs):
                nonlocal count
                made = change(*args, **kwargs)
                count += 1
                if count == number:
                    raise Died
                return made

            patch.setattr(where, name, counted)
        yield lambda: count


def lm(engine: ToyEngine) -> dspy.LM:
    return dspy.LM("toy/world", engine=engine, temperature=0.0)


def optimize(folder: Path, engine: ToyEngine) -> None:
    with dspy.context(lm=lm(engine)):
        MOGrad(steps=1, mode="CCC", batch_size=2, num_threads=1, run_dir=folder).optimize(
            MultiCriteriaJudge(RUBRIC),
            trainset=EXAMPLES[:5],
            valset=EXAMPLES[5:10],
            testset=EXAMPLES[10:],
        )


def score(folder: Path, engine: ToyEngine) -> None:
    folder.mkdir(exist_ok=True)
    source, out = folder / "texts.jsonl", folder / "scores.jsonl"
    if not source.exists():
        rows = [json.dumps({"id": n, "output": each.output}) for n, each in enumerate(EXAMPLES)]
        source.write_text("\n".join([*rows, rows[0]]))
    with dspy.context(lm=lm(engine)):
        score_table(MultiCriteriaJudge(RUBRIC), source, out, ScoringOptions(1, part_rows=4))


@pytest.mark.parametrize(
    ("work", "result", "every"),
    [(optimize, "judge.json", 3), (score, "scores.jsonl", 1)],  # most changes of a run are lines
    ids=["run", "score"],
)
def test_it_dies_after_a_change_on_disk_and_goes_on(work, result, every, tmp_path):
    work(tmp_path / "whole", whole := ToyEngine())
    with dying_after(0) as changes:
        work(tmp_path / "counted", ToyEngine())
        last = changes()
    assert last > 10
    for number in range(1, last + 1, every):
        folder, engine = tmp_path / f"died-{number}", ToyEngine()
        with dying_after(number), pytest.raises(Died):
            work(folder, engine)
        if work is not score or not (folder / result).exists():
            work(folder, engine)
        assert (folder / result).read_bytes() == (tmp_path / "whole" / result).read_bytes()
        # The reply of the call that was under way may be lost.
        assert engine.calls.total() <= whole.calls.total() + 1
