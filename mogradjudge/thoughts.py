"""Separates what a model thinks in writing from its reply."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

_NAMES = ("think", "thinking", "thought", "reasoning")
_TAG = re.compile(
    rf"(?P<open><(?P<name>{'|'.join(_NAMES)})(?:\s[^<>]*)?>|\[THINK\]|<\|START_THINKING\|>|◁think▷)"
    rf"|</(?P<closed>{'|'.join(_NAMES)})\s*>|\[/THINK\]|<\|END_THINKING\|>|◁/think▷",
    re.IGNORECASE,
)
# What follows the end of a thought: a new line, the end, or what a reply in a format begins with.
_REPLY_BEGINS = re.compile(r"[ \t]*(?:[\r\n]|$|\[\[|[{<]|```)")
# Harmony, the format of gpt-oss; servers may have taken its control tokens out.
_HARMONY = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*)?(?:<\|channel\|>|analysis<\|message\|>)")
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_BARE_HARMONY = re.compile(r"\s*analysis(?!\s*<\|).*assistantfinal", re.DOTALL)
_ALONE = re.compile(r"\S+[ \t]*(?:[\r\n]|$)")
_ENDS = re.compile(r"<\|(?:end|return|call)\|>")


def without_thoughts(text: str, fields: Collection[str] = ()) -> str:
    """Blank a reply's thoughts out, so that what remains keeps its place.

    A thought stands between tags at the reply's beginning or at the beginning of a line. One
    without an opening tag, which some chat templates write, goes from the reply's beginning to a
    closing tag that ends a line. One that never ends takes all that follows. A tag inside a
    sentence belongs to the reply.

    Args:
        text: A reply.
        fields: Names that are fields of the reply where its format is XML, and no thoughts.
    """
    for begin, end in _thoughts(text, fields):
        text = text[:begin] + re.sub(r"[^\n]", " ", text[begin:end]) + text[end:]
    return text


def _thoughts(text: str, fields: Collection[str]) -> list[tuple[int, int]]:
    if (bare := _BARE_HARMONY.match(text)) is not None:
        return [(0, bare.end())]
    if _HARMONY.match(text):
        return _around_the_final_message(text)
    return _between_tags(text, {name.lower() for name in fields})


def _around_the_final_message(text: str) -> list[tuple[int, int]]:
    final = None
    for final in _FINAL.finditer(text):  # noqa: B007 - the last one counts
        pass
    if final is None:
        return [(0, len(text))]
    end = _ENDS.search(text, final.end())
    return [(0, final.end()), (len(text) if end is None else end.start(), len(text))]


def _between_tags(text: str, fields: Collection[str]) -> list[tuple[int, int]]:
    tags = [
        tag
        for tag in _TAG.finditer(text)
        if (tag["name"] or tag["closed"] or "").lower() not in fields
    ]
    thoughts: list[tuple[int, int]] = []
    end = 0
    for place, tag in enumerate(tags):
        if tag.start() < end:
            continue
        if not tag["open"]:
            if _REPLY_BEGINS.match(text, tag.end()):
                end = tag.end()
                thoughts = [(0, end)]
        elif _may_begin(text, tag.start(), thoughts) and (end := _end_of(text, tags[place:])):
            thoughts.append((tag.start(), end))
    return thoughts


def _end_of(text: str, tags: Sequence[re.Match[str]]) -> int:
    """Find the end of the thought that the first tag opens; 0 if it opens none."""
    depth = closed = 0
    for tag in tags:
        depth += 1 if tag["open"] else -1
        closed = closed if tag["open"] else tag.end()
        if depth == 0:
            return closed
    begin = tags[0].start()
    endless = not text[:begin].strip() or _ALONE.match(text, begin)
    return closed or (len(text) if endless else 0)  # an inner tag may have opened no thought


def _may_begin(text: str, place: int, thoughts: Sequence[tuple[int, int]]) -> bool:
    """Say whether only blanks stand between a place and its line, or the thought before it."""
    line = max(text.rfind("\n", 0, place) + 1, thoughts[-1][1] if thoughts else 0)
    return not text[line:place].strip()
