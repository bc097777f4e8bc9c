"""Words of columns' names, which say what the columns hold."""

from __future__ import annotations

import re

from mogradjudge.criteria.criterion import Criterion, identifier_of
from mogradjudge.errors import SetupError

HUMAN = {"human", "humans", "rating", "ratings", "rated", "score", "scores", "grade", "likert"}
HUMAN |= {"annotation", "label", "expert", "crowd", "raters"}
MACHINE = {"model", "gpt", "llm", "auto", "bleu", "rouge", "bert", "bertscore", "predicted"}
MACHINE |= {"prediction", "pred", "system", "machine"}
NUMBERS = {"id", "ids", "idx", "index", "count", "length", "len", "year", "num", "number", "rank"}
NUMBERS |= {"age", "seed", "fold", "run", "step", "turn", "page", "line", "tokens", "words"}
LABELS = {"id", "ids", "uid", "uuid", "key", "url", "link", "file", "path", "split", "date"}
LABELS |= {"model", "system", "language", "lang", "time", "timestamp", "created", "submitted"}
GROUP = {"doc", "document", "article", "group", "thread", "conversation", "dialog", "dialogue"}
GROUP |= {"topic", "prompt", "question", "source", "passage", "story", "item", "text", "id"}
COMMENT = {"comment", "comments", "note", "notes", "reason", "reasons", "rationale", "remark"}
COMMENT |= {"explanation", "justification", "feedback", "remarks", "why"}
RATED = {"output", "response", "reply", "answer", "summary", "completion", "generation"}


def words_of(column: str) -> set[str]:
    """Return the words of a column's name, without numbers behind them.

    >>> sorted(words_of("humanTone_2"))
    ['', 'human', 'tone']
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", column)
    return {word.rstrip("0123456789") for word in identifier_of(apart).split("_")}


def may_hold_scores(column: str) -> bool:
    """Say whether a criterion may name a column: its name is neither reserved nor too long.

    >>> may_hold_scores("human_tone"), may_hold_scores("group")
    (True, False)
    """
    try:
        return bool(Criterion("guess", "A guess.", human=column))
    except SetupError:
        return False
