"""Compare the four decomposition modes on one table: agreement, and the calls that it took.

``python examples/02_compare_modes.py openai/gpt-4o-mini`` with its key in the environment, or
without arguments on the toy world.
"""

import sys
from pathlib import Path

import dspy

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.world import toy_examples, toy_lm, toy_rubric
from mogradjudge import MODES, MOGrad, MultiCriteriaJudge, agreement_of, judge_examples
from mogradjudge import rubric_objectives as objectives_of


def main() -> None:
    """Optimize once in every mode, and score each result on texts that no run has seen."""
    rubric = toy_rubric("coherence", "fluency", "relevance")
    examples = toy_examples(rubric, 36)
    train, validation, test = examples[:12], examples[12:24], examples[24:]
    print(f"{'mode':<6}{'validation':>11}{'test':>7}{'calls':>7}  critic, coach, editor per step")
    for name, mode in MODES.items():
        result = MOGrad(mode=name, steps=5, seed=0).optimize(
            MultiCriteriaJudge(rubric), trainset=train, valset=validation
        )
        objectives = objectives_of(rubric)
        judged = judge_examples(result.program, test, objectives, num_threads=8)
        calls = mode.calls(batch_size=3, criteria=rubric.names)
        print(
            f"{name:<6}{result.final_agreement.mean:>11.3f}"
            f"{agreement_of(judged, objectives).mean:>7.3f}{result.calls:>7}"
            f"  {calls.loss} + {calls.gradient} + {calls.optimizer}"
        )


if __name__ == "__main__":
    lm = dspy.LM(sys.argv[1], temperature=0.0) if len(sys.argv) > 1 else toy_lm()
    with dspy.context(lm=lm):
        main()
