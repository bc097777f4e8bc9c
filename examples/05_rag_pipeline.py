"""A retrieval pipeline, optimized for being faithful and brief at once; no gold answers needed.

The program has two predictors: one writes a search query, the other answers from the passages that
the query finds. An objective is a plain function of an example and a prediction. Both of these look
at the prediction alone: the share of the answer's words that the passages hold (a crude but free
measure of faithfulness; a judge of your own fits the same place), and how short the answer is. The
optimizer gives the instructions of both predictors a section per objective.

Neither function knows whether an answer is right. Where you have gold answers, add an objective
with a function that compares ``example.answer`` and ``prediction.answer``.

    python examples/05_rag_pipeline.py --lm openai/gpt-4o-mini
    python examples/05_rag_pipeline.py --lm local/PATH.gguf --steps 1

Calls: at most 48 with 2 steps.
"""

import re

import click
import dspy

from mogradjudge import MOGrad, Objective
from mogradjudge.cli import run_command
from mogradjudge.cli.tables import print_run
from mogradjudge.lm.models import adapter_for, make_lm

PASSAGES = (
    "The lighthouse on Skerry Point was lit in 1867. Its lamp burned colza oil until 1911.",
    "Skerry Point's keepers rowed to the village of Anstruth every Sunday, two miles each way.",
    "The lamp on Skerry Point was electrified in 1911 and has needed no keeper since 1984.",
    "Anstruth has a harbour for 40 boats; herring was its trade until the shoals left in 1932.",
    "The ferry from Anstruth to the mainland takes 50 minutes and does not sail in gales.",
    "Gales above force 9 closed the harbour of Anstruth on 23 days of last year.",
    "The school of Anstruth teaches 31 children; the older ones board on the mainland.",
    "Puffins nest below the lighthouse from April to July, and the path there is closed then.",
)
QUESTIONS = (
    "When was the lighthouse first lit?",
    "How did the keepers get to the village?",
    "Since when is there no keeper any more?",
    "Why did the village lose its trade?",
    "How long does the ferry take?",
    "On how many days did storms close the harbour?",
    "Where do the older children live in term time?",
    "When can one not walk to the lighthouse?",
)


def words(text: str) -> list[str]:
    """Give a text's words of four letters or more, and its numbers."""
    return re.findall(r"[a-z]{4,}|\d+", text.lower())


def found(query: str, count: int = 2) -> list[str]:
    """Give the passages that share the most words with a query."""
    asked = set(words(query))
    return sorted(PASSAGES, key=lambda text: -len(asked & set(words(text))))[:count]


class Pipeline(dspy.Module):  # type: ignore[misc]  # dspy is untyped
    """Answers a question from the passages that a query of its own finds."""

    def __init__(self) -> None:
        super().__init__()
        self.search = dspy.Predict("question -> search_query")
        self.answer = dspy.Predict("question, passages: list[str] -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        """Search and answer; the passages come along, for the objectives to see."""
        query = self.search(question=question).search_query
        passages = found(f"{question} {query}")
        answer = self.answer(question=question, passages=passages).answer
        return dspy.Prediction(search_query=query, passages=passages, answer=answer)


def faithfulness(example: dspy.Example, prediction: dspy.Prediction) -> float:
    """Give the share of the answer's words that stand in the passages; 0 for no words."""
    said, read = words(prediction.answer), set(words(" ".join(prediction.passages)))
    return sum(word in read for word in said) / max(1, len(said))


def brevity(example: dspy.Example, prediction: dspy.Prediction) -> float:
    """Give 1 up to eight words, and less with each word more."""
    return 8 / max(8, len(prediction.answer.split()))


OBJECTIVES = (
    Objective("faithfulness", "The answer says only what the passages say.", score=faithfulness),
    Objective("brevity", "The answer takes at most eight words.", score=brevity),
)


@click.command()
@click.option("--lm", required=True, help="A litellm name, or local/PATH.gguf.")
@click.option("--api-base", help="The URL of an OpenAI-compatible server.")
@click.option("--steps", type=click.IntRange(min=1), default=2, show_default=True)
def main(lm: str, api_base: str | None, steps: int) -> None:
    """Optimize a retrieval pipeline for two objectives."""
    examples = [dspy.Example(question=each).with_inputs("question") for each in QUESTIONS]
    model = make_lm(lm, api_base)
    with dspy.context(lm=model, adapter=adapter_for(model)):
        optimizer = MOGrad(mode="SCC", objectives=OBJECTIVES, steps=steps, seed=0)
        compiled = optimizer.compile(Pipeline(), trainset=examples[:4], valset=examples[4:])
        print_run(compiled.detailed_results.as_dict())
        for name, predictor in compiled.named_predictors():
            print(f"--- {name}\n{predictor.signature.instructions}\n")
        print(compiled(question="What do the puffins have to do with the path?").answer)


if __name__ == "__main__":
    run_command(main)  # what goes wrong becomes one line
