"""A predictor's instructions: the user's preamble, then one section per criterion."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mogradjudge.errors import SetupError

_HEADING = re.compile(r"### Criterion: (\w+)")
_FENCE = re.compile(r"\s*(`{3,}+(?!.*`)|~{3,}+)(.*)")
# What ends a section: a heading of its rank or higher, of which Markdown has two forms, or a rule.
# A backslash before it, which `_escape` adds, makes it a line of the section. A fence without its
# other end would end one too; the lines of a whole code block do not count.
_MARK = re.compile(
    r" {0,3}\\*(?:#{1,3}(?:\s.*)?|(?:=+|--+|([-*_])(?: *\1){2,})\s*)"
    r"|\s*\\*(?:`{3,}+(?!.*`)|~{3,}).*"
)


@dataclass(frozen=True, init=False)
class Instructions:
    r"""The user's preamble, and one section of instructions per criterion.

    Sections stand at the end of the text in the form that `render` writes. All else is the
    preamble, also a section that another heading follows, that appears again below, or that stands
    in a code block. The preamble stays unchanged, to the last blank; a code block that it leaves
    open is closed before the sections. Sections are tidied (no tabs, no blank lines at the ends,
    ``\n`` between lines). An empty section is not rendered, and its text reads as ``""``.

    Example:
        >>> text = Instructions("Rate a text.", {"clarity": "Rate from 1 to 5."}).render()
        >>> Instructions.parse(text).section("clarity")
        'Rate from 1 to 5.'
    """

    preamble: str
    sections: tuple[tuple[str, str], ...]

    def __init__(
        self,
        preamble: str = "",
        sections: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Store the texts; sections at the end of ``preamble`` become sections, too.

        Raises:
            SetupError: If a section's name is used twice or is no identifier.
        """
        pairs = [(name, _tidy(text)) for name, text in _pairs(sections)]
        names = [name for name, _ in pairs]
        for name in names:
            if not re.fullmatch(r"\w+", name):
                raise SetupError(f"A section's name must be an identifier, got {name!r}.")
            if names.count(name) > 1:
                raise SetupError(f"A section must appear once, got {name!r} twice.")
        self._keep(_as_dspy_keeps(_joined(preamble, pairs)))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read any text; the output of `render` reads back unchanged."""
        read = cls.__new__(cls)
        read._keep(text.strip("\n"))
        return read

    def _keep(self, text: str) -> None:
        lines = text.split("\n")
        end, sections = _read(lines)
        put = object.__setattr__  # the dataclass is frozen
        put(self, "preamble", "\n".join(lines[:end]))
        put(self, "sections", sections)

    def render(self) -> str:
        """Return the text that the model sees; for a parsed text, that text."""
        return _joined(self.preamble, self.sections)

    def section(self, name: str) -> str:
        """Return one section's text, ``""`` if there is none."""
        return dict(self.sections).get(name, "")

    def replace(self, texts: Mapping[str, str]) -> Instructions:
        """Return a copy with these sections' texts; all others stay byte-identical."""
        return Instructions(self.preamble, {**dict(self.sections), **texts})


def _pairs(sections: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(sections.items() if isinstance(sections, Mapping) else sections)


def _tidy(text: str) -> str:
    # DSPy cleans instructions with inspect.cleandoc, which expands tabs, and splits them into
    # lines wherever str.splitlines does; doing both first keeps the round trip exact.
    return "\n".join(text.expandtabs().splitlines()).strip()


def _as_dspy_keeps(text: str) -> str:
    """Clean a text as DSPy does on each copy of a signature, until nothing changes."""
    while (cleaned := inspect.cleandoc(text)) != text:
        text = cleaned
    return text


def _joined(preamble: str, sections: Iterable[tuple[str, str]]) -> str:
    blocks = [f"### Criterion: {name}\n{_escape(body)}" for name, body in sections if body]
    if preamble and blocks:
        lines = preamble.split("\n")
        opened = next((lines[start] for start, end in _code(lines) if end is None), None)
        if opened is not None:
            # The rule ends a section of the user's that the code block was left open in.
            lines.append(_FENCE.sub(r"\1\n---", opened))
        preamble = "\n".join(lines)
    return "\n\n".join([preamble, *blocks] if preamble else blocks)


def _read(lines: Sequence[str]) -> tuple[int, tuple[tuple[str, str], ...]]:
    """Return the number of the preamble's lines, and the sections below them."""
    sections: dict[str, str] = {}
    end = len(lines)
    for start, name in reversed(_headings(lines)):
        body = "\n".join(lines[start + 1 : end])
        text = _unescape(body)
        if name in sections or not body or _escape(_tidy(text)) != body:
            break
        sections[name] = text
        end = max(0, start - 1)
    return end, tuple(reversed(sections.items()))


def _headings(lines: Sequence[str]) -> list[tuple[int, str]]:
    """Find our headings: after a blank line or at the top, and in no code block."""
    code: set[int] = set()
    for start, end in _code(lines):
        code |= set(range(start, len(lines) if end is None else end))
        if end is None:
            break
    return [
        (place, heading[1])
        for place, line in enumerate(lines)
        if (heading := _HEADING.fullmatch(line)) and place not in code
        if place == 0 or not lines[place - 1]
    ]


def _code(lines: Sequence[str]) -> Iterator[tuple[int, int | None]]:
    """Yield the first and last line of each code block; None as last if it is never closed."""
    fences = [
        (place, fence) for place, line in enumerate(lines) if (fence := _FENCE.fullmatch(line))
    ]
    closed, hopeless = -1, {"`": math.inf, "~": math.inf}
    for number, (start, fence) in enumerate(fences):
        mark = fence[1]
        if start <= closed or len(mark) >= hopeless[mark[0]]:
            continue
        ends = (
            place
            for place, other in fences[number + 1 :]
            if other[1].startswith(mark) and not other[2].strip()
        )
        end = next(ends, None)
        if end is None:
            hopeless[mark[0]] = len(mark)
        else:
            closed = end
        yield start, end


def _escape(text: str) -> str:
    """Put a backslash before each line outside code blocks that would end a section."""
    return _outside_code(text, lambda line: re.sub(r"^(\s*)", r"\1\\", line))


def _unescape(text: str) -> str:
    return _outside_code(text, lambda line: re.sub(r"^(\s*)\\", r"\1", line))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    lines = text.split("\n")
    code = {
        place for start, end in _code(lines) if end is not None for place in range(start, end + 1)
    }
    return "\n".join(
        change(line) if place not in code and _MARK.fullmatch(line) else line
        for place, line in enumerate(lines)
    )
