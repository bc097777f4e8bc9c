"""OPRO (Yang et al. 2023, "Large Language Models as Optimizers"), our own small implementation.

A step asks an optimizer LM several times, at temperature 1, for a new instruction. Its prompt holds
the best instructions so far with their scores, the worst first, and a few examples of the task,
drawn anew. Differences from the paper: an instruction's score is its mean agreement with the human
scores on the validation texts, times 100, where the paper has accuracy on training texts; and where
the cap would end it after less than five steps of eight proposals, a step has fewer.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

import dspy

from benchmarks.peers.budget import CapReached
from benchmarks.peers.gating import Keeper
from benchmarks.peers.method import Found, Method, Task, text_of
from mogradjudge import Rubric
from mogradjudge.concurrency import in_parallel
from mogradjudge.report.numbers import counted

_HISTORY = 20  # instructions in the prompt, as in the paper; so are the next two
_EXEMPLARS = 3
_PROPOSALS = 8
_FEWEST_STEPS = 5
_TAGS = ("<instruction>", "</instruction>")
_INTRODUCTION = (
    "These are instructions for a judge that rates texts, each with its score; the worst comes "
    "first. A score says how well the judge agrees with people, and 100 is the most."
)
_EXAMPLES = "These are texts that the judge is to rate, with the scores that people gave them."
_REQUEST = (
    "Write instructions that differ from all of the above and score higher. Put them between "
    "<instruction> and </instruction>, and write nothing else."
)
_REPLY = re.compile(r"<instruction>(.*?)</instruction>", re.DOTALL)


def optimize(task: Task) -> Found:
    """Propose and score until the calls are spent."""
    affordable = task.meter.cap // (len(task.validation) + 1)
    proposals = min(_PROPOSALS, max(1, affordable // _FEWEST_STEPS))
    rng = random.Random(task.seed)
    steps, keeper = 0, Keeper(task)
    with dspy.context(lm=task.lm):
        try:
            keeper.start()
            while True:
                count = min(_EXEMPLARS, len(task.training))
                prompt = meta_prompt(
                    keeper.scores, rng.sample(list(task.training), count), task.rubric
                )
                for text in proposed(task, prompt, proposals):
                    if text not in keeper.scores:
                        keeper.offer(text)
                steps += 1
        except CapReached:
            return Found(
                keeper.best, f"{counted(steps, 'step')}, {counted(proposals, 'proposal')} each"
            )


def meta_prompt(
    scores: Mapping[str, float], exemplars: Sequence[dspy.Example], rubric: Rubric
) -> str:
    """Write what the optimizer LM is asked."""
    best = sorted(scores.items(), key=lambda pair: pair[1])[-_HISTORY:]
    tried = [f"{text.join(_TAGS)}\nscore: {100 * score:.0f}" for text, score in best]
    exemplified = [shown(example, rubric) for example in exemplars]
    return "\n\n".join([_INTRODUCTION, *tried, _EXAMPLES, *exemplified, _REQUEST])


def proposed(task: Task, prompt: str, count: int) -> list[str]:
    """Ask for so many proposals at once; a reply without tags is none."""
    replies = in_parallel(lambda _: tagged(task, prompt), range(count), task.num_threads)
    # Replies to one prompt come in any order where they come together.
    return sorted(set(filter(None, replies)))


def tagged(task: Task, prompt: str) -> str:
    """Ask for an instruction between tags; a reply without them is ""."""
    reply = task.lm(prompt, temperature=1.0)[0]
    instruction = _REPLY.search(reply if isinstance(reply, str) else reply["text"])
    return instruction.group(1).strip() if instruction else ""


def shown(example: dspy.Example, rubric: Rubric) -> str:
    """Write a text with the scores that people gave it."""
    scores = [f"{criterion.name}: {example[criterion.human]}" for criterion in rubric.criteria]
    return "\n".join([text_of(example), *scores])


METHODS = (Method("OPRO", optimize),)
