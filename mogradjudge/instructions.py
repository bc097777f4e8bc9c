"""A predictor's instructions as sections: a preamble, then a heading and a body per criterion."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from mogradjudge.errors import SetupError

_HEADING = re.compile(r"### Criterion: (\w+)")
# A line of a body that would be read as a heading carries one more backslash than the user wrote.
_LOOKALIKE = re.compile(r"^(\\*### Criterion:)", re.MULTILINE)
_ESCAPED = re.compile(r"^\\(\\*### Criterion:)", re.MULTILINE)


@dataclass(frozen=True, init=False)
class Instructions:
    r"""A preamble and one text per criterion.

    Texts are kept as DSPy would keep them (no tabs, no blank lines at the ends, ``\n`` between
    lines), so that a signature gives back exactly what it was given. An empty section is no
    section: it is not rendered, and its text reads as ``""``.
    """

    preamble: str
    sections: tuple[tuple[str, str], ...]

    def __init__(
        self,
        preamble: str = "",
        sections: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        """Keep the texts.

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
        put = object.__setattr__  # the dataclass is frozen
        put(self, "preamble", inspect.cleandoc(_tidy(preamble)))
        put(self, "sections", tuple(pair for pair in pairs if pair[1]))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `render` wrote; a text without our headings is a preamble alone.

        Raises:
            SetupError: If two headings name the same criterion.
        """
        blocks: list[tuple[str, list[str]]] = [("", [])]
        for line in _tidy(text).split("\n"):
            if heading := _HEADING.fullmatch(line):
                blocks.append((heading.group(1), []))
            else:
                blocks[-1][1].append(line)
        (_, preamble), *sections = (
            (name, _ESCAPED.sub(r"\1", "\n".join(lines))) for name, lines in blocks
        )
        return cls(preamble, sections)

    def render(self) -> str:
        """Write the text that the model sees."""
        blocks = [_escape(self.preamble)] if self.preamble else []
        blocks += [f"### Criterion: {name}\n{_escape(body)}" for name, body in self.sections]
        return "\n\n".join(blocks)

    def section(self, name: str) -> str:
        """Give one section's text, ``""`` if there is none."""
        return dict(self.sections).get(name, "")

    def replace(self, texts: Mapping[str, str]) -> Instructions:
        """Give a copy with these sections' texts; all others stay byte-identical."""
        return Instructions(self.preamble, {**dict(self.sections), **texts})


def _pairs(sections: Mapping[str, str] | Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(sections.items() if isinstance(sections, Mapping) else sections)


def _tidy(text: str) -> str:
    # DSPy cleans instructions with inspect.cleandoc, which expands tabs, and splits them into
    # lines wherever str.splitlines does; doing both first keeps the round trip exact.
    return "\n".join(text.expandtabs().splitlines()).strip()


def _escape(text: str) -> str:
    return _LOOKALIKE.sub(r"\\\1", text)
