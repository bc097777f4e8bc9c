"""Separates what a model thinks in writing from its reply."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence

_NAMES = ("think", "thinking", "thought", "reasoning")
_TAG = re.compile(
    rf"(?P<open><(?P<name>{'|'.join(_NAMES)})(?:\s[^<>]*)?>|\[THINK\]|<\|START_THINKING\|>|◁think▷"
    rf"|<\|channel>|<unused94>)"  # Gemma's, as are the last ones in the next line
    rf"|</(?P<closed>{'|'.join(_NAMES)})\s*>|\[/THINK\]|<\|END_THINKING\|>|◁/think▷"
    rf"|<channel\|>|<unused95>",
    re.IGNORECASE,
)
# What follows the end of a thought: a new line, the end, or what a reply in a format begins with.
_REPLY_BEGINS = re.compile(r"[ \t]*(?:[\r\n]|$|\[\[|[{<]|```)")
# Harmony, the format of gpt-oss; servers may have taken its control tokens out.
_HARMONY = re.compile(r"\s*(?:<\|start\|>\s*assistant\s*)?(?:<\|channel\|>|analysis<\|message\|>)")
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>")
_BARE_HARMONY = re.compile(r"\s*(?:analysis|commentary)(?!\s*<\|).*assistantfinal", re.DOTALL)
_ENDLESS_HARMONY = re.compile(r"\s*(?:analysis|commentary)(?!<\|)(?=[^\W_]|[{<\[`])")
_ALONE = re.compile(r"\S+[ \t]*(?:[\r\n]|$)")
_ENDS = re.compile(r"<\|(?:end|return|call)\|>")


def without_thoughts(
    text: str, fields: Collection[str] = (), *, values_may_hold_tags: bool = False
) -> str:
    """Blank a reply's thoughts out, so that what remains keeps its place.

    A thought stands between tags at the reply's beginning, at the beginning of a line, or ahead of
    the first field. One without an opening tag, which some chat templates write, goes from the
    reply's beginning to a closing tag that ends a line. One that never ends takes all that follows.
    A tag inside a sentence belongs to the reply.

    Args:
        text: A reply.
        fields: Names that are fields of the reply where its format is XML, and no thoughts.
        values_may_hold_tags: Whether a pair of tags after the first field belongs to the reply.
    """
    pieces, place = [], 0
    for begin, end in _thoughts(text, fields, tags_stay=values_may_hold_tags):
        pieces += [text[place:begin], re.sub(r"[^\n]", " ", text[begin:end])]
        place = end
    return "".join([*pieces, text[place:]])


def _thoughts(text: str, fields: Collection[str], *, tags_stay: bool) -> list[tuple[int, int]]:
    if (bare := _BARE_HARMONY.match(text)) is not None:
        return [(0, bare.end())]
    if _ENDLESS_HARMONY.match(text):
        return [(0, len(text))]
    if _HARMONY.match(text) or _FINAL.search(text):
        return _around_the_final_message(text)
    return _between_tags(text, fields, tags_stay=tags_stay)


def _around_the_final_message(text: str) -> list[tuple[int, int]]:
    final = None
    for final in _FINAL.finditer(text):  # noqa: B007 - the last one counts
        pass
    if final is None:
        return [(0, len(text))]
    end = _ENDS.search(text, final.end())
    return [(0, final.end()), (len(text) if end is None else end.start(), len(text))]


def _between_tags(text: str, fields: Collection[str], *, tags_stay: bool) -> list[tuple[int, int]]:
    names = {name.lower() for name in fields}
    tags = [
        tag
        for tag in _TAG.finditer(text)
        if (tag["name"] or tag["closed"] or "").lower() not in names
    ]
    ends, begins = _ends(tags), _begins_of_fields(text, fields)
    thoughts: list[tuple[int, int]] = []
    passed = 0  # up to the end of a thought, or of a pair of tags that stays
    for tag in tags:
        begin, end = tag.start(), thoughts[-1][1] if thoughts else 0
        if begin < passed:
            continue
        if not tag["open"]:
            if _REPLY_BEGINS.match(text, tag.end()):
                passed = tag.end()
                thoughts = [(0, passed)]
            continue
        is_ahead = bisect_left(begins, begin) == bisect_left(begins, end)
        if tags_stay and not is_ahead:
            passed = ends[begin]
            continue
        leads = is_ahead and bool(begins) and begins[-1] > begin  # to the first field
        if leads or _may_begin(text, begin, thoughts):
            is_endless = leads or not text[:begin].strip() or _ALONE.match(text, begin)
            passed = ends[begin] or (len(text) if is_endless else 0)
            thoughts += [(begin, passed)] if passed else []
    return thoughts


def _begins_of_fields(text: str, fields: Collection[str]) -> list[int]:
    """Find where a reply may begin to give its fields: at a marker, a brace or a field's tag."""
    tags = "".join(rf"|<{re.escape(name)}\b" for name in fields)
    return [begin.start() for begin in re.finditer(r"\[\[|\{" + tags, text, re.IGNORECASE)]


def _ends(tags: Sequence[re.Match[str]]) -> dict[int, int]:
    """Give the end of the thought that each tag opens; 0 if no tag closes it.

    An inner tag may have opened no thought: the last closing tag ends the outer ones.
    """
    ends: dict[int, int] = {}
    open_tags: list[int] = []
    last = 0
    for tag in tags:
        if tag["open"]:
            open_tags.append(tag.start())
        else:
            last = tag.end()
            if open_tags:
                ends[open_tags.pop()] = last
    return ends | {begin: last if last > begin else 0 for begin in open_tags}


def _may_begin(text: str, place: int, thoughts: Sequence[tuple[int, int]]) -> bool:
    """Say whether only blanks stand between a place and its line, or the thought before it."""
    line = max(text.rfind("\n", 0, place) + 1, thoughts[-1][1] if thoughts else 0)
    return not text[line:place].strip()
