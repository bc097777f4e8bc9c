"""TextGrad 0.1.8: the judge's instructions are one variable, with a text loss per criterion.

Each text of a batch is judged once, by TextGrad's own forward (`BlackboxLLM`, with the instructions
as its system prompt) over an engine that asks the one judge program of all methods: a prompt that
TextGrad had to write the output format into could lose it, and would be another judge. Each
criterion has a `TextLoss` on that judgement, whose evaluator is told what our critic is told. The
gradients' and the optimizer's prompts are TextGrad's own, and so is the client.

It runs twice. As shipped, the losses are summed with `tg.sum` and go backward together; in 0.1.8
the sum hands each loss an empty gradient, and their prompts have a blank objective. And with each
loss going backward by itself, which states the objective and takes more calls.

TextGrad has no gate. After each step the instructions are measured on the validation texts, within
the cap, and put back if they did worse, as its own example of prompt optimization does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import dspy

from benchmarks.peers.budget import CapReached
from benchmarks.peers.gating import Keeper, batches
from benchmarks.peers.method import Found, Method, Task, text_of
from mogradjudge import Objective
from mogradjudge.objectives import feedback_on

_ROLE = "instructions of a judge that rates texts on several criteria"
_EVALUATOR = (
    "You review a judge that rates texts. Below are a text, one criterion, and how far the judge's "
    "score was from the human one. Say briefly what the judge should have done differently on this "
    "criterion, or that it was right."
)


def optimize(backward: Callable[[Sequence[Any]], None], task: Task) -> Found:
    """Take steps until the calls are spent; one whose reply has no tags is a failed step."""
    import textgrad

    with dspy.context(lm=task.lm), _client(task) as engine:
        textgrad.set_backward_engine(engine, override=True)
        keeper = Keeper(task)
        prompt = textgrad.Variable(keeper.current, requires_grad=True, role_description=_ROLE)
        optimizer = textgrad.TGD(parameters=[prompt], engine=engine)
        steps = failed = 0
        try:
            keeper.start()
            for batch in batches(task):
                optimizer.zero_grad()
                backward(_losses(task, prompt, batch, engine))
                failed += not _step(optimizer)
                steps += 1
                if prompt.value.strip() and prompt.value != keeper.current:
                    keeper.offer(prompt.value)
                prompt.set_value(keeper.current)
        except CapReached:
            return Found(keeper.best, f"{steps} steps, {failed} failed")
    raise AssertionError("there are batches without end")


def _step(optimizer: Any) -> bool:
    try:
        optimizer.step()
    except IndexError:  # TextGrad looks for the tags by splitting at them
        return False
    return True


def summed(losses: Sequence[Any]) -> None:
    """Go backward as TextGrad's documentation does."""
    import textgrad

    textgrad.sum(list(losses)).backward()


def one_by_one(losses: Sequence[Any]) -> None:
    """Go backward from each loss by itself."""
    for loss in losses:
        loss.backward()


def _losses(task: Task, prompt: Any, batch: Sequence[dspy.Example], engine: Any) -> list[Any]:
    import textgrad

    judge = _judge_engine(task)
    model = textgrad.BlackboxLLM(judge, prompt)
    losses = []
    for example in batch:
        judge.example = example
        text = text_of(example)
        judged = model(
            textgrad.Variable(text, requires_grad=False, role_description="a text to rate")
        )
        for objective in task.objectives:
            evaluator = _evaluator(objective, text, example, judge.prediction)
            losses.append(textgrad.TextLoss(evaluator, engine=engine)(judged))
    return losses


def _evaluator(
    objective: Objective, text: str, example: dspy.Example, prediction: dspy.Prediction
) -> str:
    said = feedback_on([objective], example, prediction)
    return f"{_EVALUATOR}\n\nCriterion: {objective.description}\n\nText: {text}\n\n{said}"


@contextmanager
def _client(task: Task) -> Iterator[Any]:
    """Give TextGrad's client of the server, each request held to the cap, with an empty cache."""
    from openai import DefaultHttpxClient, OpenAI
    from textgrad.engine.local_model_openai_api import ChatExternalClient

    def count(request: object) -> None:
        task.meter.take()

    http = DefaultHttpxClient(event_hooks={"request": [count]})
    client = OpenAI(base_url=task.url, api_key="none", max_retries=0, http_client=http)
    # It takes the place of its cache from the one, and insists on the other.
    with client, patch.dict(os.environ, XDG_CACHE_HOME=str(task.folder), OPENAI_API_KEY="none"):
        engine = ChatExternalClient(client=client, model_string=task.model)
        try:
            yield engine
        finally:
            engine.cache.close()


def _judge_engine(task: Task) -> Any:
    from textgrad.engine import EngineLM

    class JudgeEngine(EngineLM):  # type: ignore[misc]  # textgrad is untyped
        """Answers with the scores that the judge program gives under the system prompt."""

        model_string = task.model
        example = dspy.Example()
        prediction = dspy.Prediction()

        def generate(self, prompt: str, system_prompt: str = "", **settings: Any) -> str:
            self.prediction = task.judge(system_prompt)(**self.example.inputs())
            names = task.rubric.names
            return "\n".join(f"{name}: {self.prediction[name]}" for name in names)

        __call__ = generate

    return JudgeEngine()


def prepare() -> None:
    """Import TextGrad. Its import opens a log file, and looks for a price list on the network."""
    with (
        TemporaryDirectory() as folder,
        patch.dict(os.environ, TEXTGRAD_LOG_DIR=folder, LITELLM_LOCAL_MODEL_COST_MAP="True"),
    ):
        import openai.resources.chat  # noqa: F401 - the client does at its first call
        import textgrad.engine.local_model_openai_api  # noqa: F401

        logger = logging.getLogger("textgrad")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()


METHODS = (
    Method("TextGrad, as shipped", partial(optimize, summed), prepare, is_served=True),
    Method("TextGrad, one by one", partial(optimize, one_by_one), prepare, is_served=True),
)
