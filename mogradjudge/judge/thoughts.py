"""Removes the thoughts that a reasoning model writes before its reply."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

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
    """Replace a reply's thoughts by blanks, so that all other text keeps its place.

    A thought stands between tags at the reply's beginning, at the beginning of a line, or ahead of
    the first field. One without an opening tag, which some chat templates write, goes from the
    reply's beginning to a closing tag that ends a line. One that never ends takes all that follows.
    A tag inside a sentence belongs to the reply.

    Args:
        text: A reply.
        fields: Names that are fields of the reply where its format is XML, and no thoughts.
        values_may_hold_tags: Whether a pair of tags after the first field belongs to the reply.

    Example:
        >>> without_thoughts("<think>Good.</think> 4").split()
        ['4']
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
    tags = _thought_tags(text, fields)
    reply = _Reply(text, _begins_of_fields(text, fields), _ends(tags))
    thoughts: list[tuple[int, int]] = []
    passed = 0  # up to the end of a thought, or of a pair of tags that stays
    for tag in tags:
        begin, last_end = tag.start(), _last_end(thoughts)
        if begin < passed:
            continue
        if not tag["open"]:
            if _REPLY_BEGINS.match(text, tag.end()):
                passed = tag.end()
                thoughts = [(0, passed)]
        elif tags_stay and reply.has_field_between(last_end, begin):
            passed = reply.ends[begin]
        elif end := reply.end_of_thought(begin, last_end):
            passed = end
            thoughts.append((begin, end))
    return thoughts


def _thought_tags(text: str, fields: Collection[str]) -> list[re.Match[str]]:
    """Find the opening and closing tags of thoughts that are no fields' tags."""
    names = {name.lower() for name in fields}
    return [
        tag
        for tag in _TAG.finditer(text)
        if (tag["name"] or tag["closed"] or "").lower() not in names
    ]


def _last_end(thoughts: Sequence[tuple[int, int]]) -> int:
    return thoughts[-1][1] if thoughts else 0


@dataclass(frozen=True)
class _Reply:
    """A reply, where its fields may begin, and where each opening tag's thought would end."""

    text: str
    field_begins: Sequence[int]
    ends: Mapping[int, int]

    def has_field_between(self, start: int, end: int) -> bool:
        return bisect_left(self.field_begins, start) < bisect_left(self.field_begins, end)

    def end_of_thought(self, begin: int, last_end: int) -> int:
        """Find the end of the thought that a tag opens; 0 if it opens none.

        ``last_end`` is the end of the thought before it.
        """
        leads = self._leads_to_first_field(begin, last_end)
        if not leads and not self._begins_a_line(begin, last_end):
            return 0
        is_endless = leads or not self.text[:begin].strip() or _ALONE.match(self.text, begin)
        return self.ends[begin] or (len(self.text) if is_endless else 0)

    def _leads_to_first_field(self, begin: int, last_end: int) -> bool:
        is_ahead = not self.has_field_between(last_end, begin)
        return is_ahead and bool(self.field_begins) and self.field_begins[-1] > begin

    def _begins_a_line(self, begin: int, last_end: int) -> bool:
        """Say whether only blanks stand ahead of a tag in its line, or after the last thought."""
        line = max(self.text.rfind("\n", 0, begin) + 1, last_end)
        return not self.text[line:begin].strip()


def _begins_of_fields(text: str, fields: Collection[str]) -> list[int]:
    """Find where a reply may begin to give its fields: at a marker, a brace or a field's tag."""
    tags = "".join(rf"|<{re.escape(name)}\b" for name in fields)
    return [begin.start() for begin in re.finditer(r"\[\[|\{" + tags, text, re.IGNORECASE)]


def _ends(tags: Sequence[re.Match[str]]) -> dict[int, int]:
    """Return the end of each opening tag's thought; 0 if no tag closes it.

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
