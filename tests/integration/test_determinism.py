"""The same seed, data and replies give the same result, for any number of threads."""

import json
import os
import random
import subprocess
import sys
import time

import dspy
import pytest

from benchmarks.worlds.world import ToyEngine, toy_examples, toy_rubric
from mogradjudge import MODES, Budget, MOGrad, MultiCriteriaJudge
from mogradjudge.lm.reply_cache import replies_kept_in
from mogradjudge.optimize.event_log import as_json

pytestmark = pytest.mark.slow

RUBRIC = toy_rubric("style", "fluency", "coherence")
ONCE = toy_examples(RUBRIC, 16)
EXAMPLES = [*ONCE[:10], ONCE[8], ONCE[9], ONCE[8], *ONCE[10:]]  # some texts come twice


class Uneven(ToyEngine):
    """Answers after a time that nobody can foresee."""

    def complete(self, request):
        time.sleep(random.random() * 0.004)
        return super().complete(request)


def run(num_threads: int, mode: str, **settings: object) -> str:
    events: list[object] = []
    layout = settings.pop("judge", {})
    with dspy.context(lm=dspy.LM("toy/x", engine=Uneven(), temperature=0.0)), replies_kept_in(None):
        result = MOGrad(
            mode=mode,
            steps=3,
            num_threads=num_threads,
            observers=[lambda event: events.append(as_json(event))],
            **settings,
        ).optimize(MultiCriteriaJudge(RUBRIC, **layout), trainset=EXAMPLES[:8], valset=EXAMPLES[8:])
    shown = result.as_dict()
    del shown["config"]["num_threads"]
    return json.dumps([shown, events, result.program.dump_state()])


@pytest.mark.parametrize("mode", list(MODES))
def test_the_number_of_threads_changes_nothing(mode):
    alone = run(1, mode)
    assert all(run(threads, mode) == alone for threads in (4, 32))


@pytest.mark.parametrize(
    "settings",
    [
        {"judge": {"layout": "separate"}},
        {"judge": {"score_rule": "mean_of_n", "n": 3}},
        {"batch_size": 3, "budget": Budget(max_calls=61)},
        {"patience": 1},
    ],
    ids=["separate", "mean_of_n", "budget", "patience"],
)
def test_nor_does_it_with_other_judges_and_stoppers(settings):
    alone = run(1, "SSC", **dict(settings))
    assert all(run(threads, "SSC", **dict(settings)) == alone for threads in (3, 16))


def test_nor_does_the_order_that_python_gives_to_sets():
    code = "import sys; sys.path[:0] = ['.', 'tests', 'tests/integration']; "
    code += "import test_determinism as this; print(this.run(4, 'SCC'))"
    shown = {
        subprocess.check_output(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, text=True
        )
        for seed in ("1", "2")
    }
    assert len(shown) == 1
