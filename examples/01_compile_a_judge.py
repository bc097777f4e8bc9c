"""Compile a judge of your own: a rubric, rated texts, one optimizer.

Run it with a model of yours, ``python examples/01_compile_a_judge.py openai/gpt-4o-mini`` with its
key in the environment, or without arguments on the toy world, which needs nothing.
"""

import sys
import tempfile
from pathlib import Path

import dspy

from mogradjudge import Criterion, MOGrad, MultiCriteriaJudge, Rubric, load_examples, split_by_group

RATINGS = """\
ticket,reply,human_courtesy,human_clarity
t1,"Thanks for asking! Your parcel leaves today. courtesy=5 clarity=4",5,4
t1,"It leaves when it leaves. courtesy=1 clarity=2",1,2
t2,"Please press the green button twice. courtesy=4 clarity=5",4,5
t2,"Press things until it works. courtesy=2 clarity=1",2,1
t3,"We are sorry, the shop is closed on Monday. courtesy=5 clarity=5",5,5
t3,"Closed. courtesy=2 clarity=3",2,3
t4,"Kindly send us the receipt and we refund you. courtesy=5 clarity=4",5,4
t4,"No receipt, no refund, read the terms. courtesy=1 clarity=4",1,4
t5,"The cable goes into the blue socket. courtesy=3 clarity=5",3,5
t5,"Cable, socket, done, perhaps. courtesy=3 clarity=1",3,1
"""


def main() -> None:
    """Compile a judge and show what changed."""
    rubric = Rubric(
        inputs=("reply",),
        criteria=(
            Criterion("courtesy", "Is the customer treated with respect?", scale=(1, 5)),
            Criterion("clarity", "Can the reply be understood at once?", scale=(1, 5)),
        ),
        group="ticket",
        task="Rate a customer-support reply.",
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "ratings.csv"
        table.write_text(RATINGS, encoding="utf-8")
        examples = load_examples(table, rubric)
        # Replies to one ticket stay on one side, or the judge would be tested on what it has seen.
        train, val, test = split_by_group(examples, fractions=(0.4, 0.4, 0.2), seed=0)

        judge = MultiCriteriaJudge(rubric)
        optimizer = MOGrad(mode="SSC", steps=4, seed=0)
        compiled = optimizer.compile(judge, trainset=train, valset=val)
        compiled.save(Path(folder) / "judge.json")

        restored = MultiCriteriaJudge(rubric)
        restored.load(Path(folder) / "judge.json")

    result = compiled.detailed_results
    print("before:", result.seed_agreement.as_dict())
    print("after: ", result.final_agreement.as_dict())
    print("calls: ", result.calls)
    print(restored.judges["all"].signature.instructions)
    print("a text it never saw:", dict(restored(**test[0].inputs())))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        lm = dspy.LM(sys.argv[1], temperature=0.0)
    else:
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from benchmarks.world import toy_lm

        lm = toy_lm()
    with dspy.context(lm=lm):
        main()
