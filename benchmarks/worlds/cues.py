"""The phrases of the planted worlds: those that help a judge, and those that help nobody.

A *rule* is a cue, one that is narrowed to its criterion, or an exception made for one text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

CUES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "coherence": (
            "check that each sentence follows from the one before",
            "take off a point when the order of the events is jumbled",
            "ask whether the sentences build one account and no heap of facts",
            "look for a thread that runs from the first line to the last",
            "lower the score when the topic jumps without a bridge",
            "reward links such as pronouns whose referent is plain",
        ),
        "consistency": (
            "compare each claim with the source before scoring",
            "give the lowest score to a figure that the article does not have",
            "take off a point for a name that is swapped with another",
            "treat a claim that the source cannot support as an error of fact",
            "check who said what against the article",
            "keep the top score for texts without any invented detail",
        ),
        "fluency": (
            "count the grammar mistakes in each sentence",
            "take off a point for broken or cut off words",
            "punish missing punctuation and stray capital letters",
            "read every sentence aloud and mark where it stumbles",
            "give the top score only where no spelling mistake is left",
            "lower the score for a verb that does not fit its subject",
        ),
        "relevance": (
            "ask whether the main event of the article is told",
            "take off a point for side matters that push out the main point",
            "list the key facts first and see how many are covered",
            "reward a text that a reader could use in place of the article",
            "lower the score when trivia fill more than a sentence",
            "punish the repetition of what was already reported",
        ),
    }
)
GENERIC = (
    "keep a calm and friendly manner throughout",
    "remember that good judges are attentive people",
    "be glad of the progress that has been made so far",
    "work through all of the material with due care",
    "stay open to different points of view",
    "do not lose heart over hard cases",
)
_EXCEPTION = re.compile(r"make an exception for (\w+) as in case \d+")


def exception_for(criterion: str, case: int) -> str:
    """Write the rule that one text alone speaks for."""
    return f"make an exception for {criterion} as in case {case}"


def narrowed(cue: str, criterion: str) -> str:
    """Write a cue so that it says nothing to other criteria."""
    return f"{cue}, for {criterion} alone"


def rules_of(criterion: str, text: str) -> list[str]:
    """Give a criterion's rules that stand in a text: cues first, and each once."""
    exceptions = [it.group() for it in _EXCEPTION.finditer(text) if it.group(1) == criterion]
    cues = [_as_said(cue, criterion, text) for cue in CUES[criterion] if cue in text]
    return cues + list(dict.fromkeys(exceptions))


def _as_said(cue: str, criterion: str, text: str) -> str:
    narrow = narrowed(cue, criterion)
    return narrow if text.count(narrow) == text.count(cue) else cue


def owners_in(text: str) -> dict[str, str]:
    """Give the rules that stand in a text, each with its criterion."""
    return {rule: criterion for criterion in CUES for rule in rules_of(criterion, text)}
