"""Drop the optimizer into a DSPy program that has several metrics of its own.

``python examples/03_several_metrics.py openai/gpt-4o-mini`` with its key in the environment, or
without arguments on a stand-in model that answers every prompt alike.
"""

import sys

import dspy
from dspy.lm15 import Message, Request, Response, Usage

from mogradjudge import MOGrad, Objective

QUESTIONS = {
    "What is the capital of France?": "Paris",
    "How many legs has a spider?": "8",
    "Which metal is liquid at room temperature?": "Mercury",
    "What gas do plants take in?": "Carbon dioxide",
    "Who wrote Hamlet?": "Shakespeare",
    "What is the boiling point of water in Celsius?": "100",
}


def accuracy(example: dspy.Example, prediction: dspy.Prediction) -> float:
    """Score 1 if the expected answer stands in the given one."""
    return float(example.answer.lower() in prediction.answer.lower())


def brevity(example: dspy.Example, prediction: dspy.Prediction) -> float:
    """Score 1 up to five words, and less for each word more."""
    return 1.0 / max(1, len(prediction.answer.split()) - 4)


def main() -> None:
    """Optimize a question answerer for two metrics at once."""
    examples = [
        dspy.Example(question=question, answer=answer).with_inputs("question")
        for question, answer in QUESTIONS.items()
    ]
    program = dspy.ChainOfThought("question -> answer")
    optimizer = MOGrad(
        mode="SCC",
        objectives=[
            Objective("accuracy", "The answer is right.", score=accuracy),
            Objective("brevity", "The answer takes at most five words.", score=brevity),
        ],
        steps=2,
        seed=0,
    )
    compiled = optimizer.compile(program, trainset=examples[:3], valset=examples[3:])
    result = compiled.detailed_results
    print("before:", result.seed_agreement.as_dict())
    print("after: ", result.final_agreement.as_dict())
    print(compiled.predict.signature.instructions)


class StandIn:
    """Answers each field that a prompt asks for with a fixed text; edits ask for brevity."""

    supported_params = ("temperature",)

    def __deepcopy__(self, memo: object) -> "StandIn":
        return self

    def complete(self, request: Request) -> Response:
        """Answer by the fields that the prompt names."""
        system = str(request.system)
        if "new_instructions" in system:
            fields = {"new_instructions": '{"accuracy": "Be right.", "brevity": "Be brief."}'}
        elif "### Criterion: brevity" in system:
            fields = {"reasoning": "It is known.", "answer": "Paris"}
        else:
            fields = {"reasoning": "It is known.", "answer": "I think that it must be Paris"}
        fields |= {"advice": "Ask for less.", "critique": "It is too long."}
        text = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in fields.items())
        return Response(
            id=None,
            model="stand-in",
            message=Message.assistant(text),
            finish_reason="stop",
            usage=Usage(input_tokens=len(system) // 4, output_tokens=len(text) // 4),
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        lm = dspy.LM(sys.argv[1], temperature=0.0)
    else:
        lm = dspy.LM("stand-in/model", engine=StandIn(), temperature=0.0, cache=False)
    with dspy.context(lm=lm):
        main()
