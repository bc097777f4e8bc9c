"""How a table is read where its file leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass

from mogradjudge.errors import SetupError

_TAB = ("tab", "\\t")  # how a command line writes it


@dataclass(frozen=True)
class ReadOptions:
    r"""How a table is read where its file leaves a choice.

    Args:
        separator: What stands between the fields of a CSV or TSV file, one character or ``tab``;
            None finds it among comma, semicolon, tab and ``|``.
        encoding: How a text file is encoded, a name that Python knows; None reads UTF-8, and
            UTF-16 that begins with a byte order mark.
        skip_bad: Whether rows that cannot be used are left out, and counted, instead of refused.

    Raises:
        SetupError: If the separator is no single character, or the encoding is unknown.

    Example:
        >>> ReadOptions(separator="tab").separator
        '\t'
    """

    separator: str | None = None
    encoding: str | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        """Check separator and encoding."""
        if self.separator in _TAB:
            object.__setattr__(self, "separator", "\t")  # the dataclass is frozen
        if self.separator is not None and not _can_separate(self.separator):
            raise SetupError(
                f"`--sep` must be one character that is no quote, or tab, got {self.separator!r}."
            )
        if self.encoding is not None:
            _check_encoding(self.encoding)


def _can_separate(text: object) -> bool:
    return isinstance(text, str) and len(text) == 1 and text not in '"\r\n'


def _check_encoding(name: object) -> None:
    try:
        "a".encode(name)  # type: ignore[arg-type]  # a TypeError is the answer for other types
    except (LookupError, TypeError, ValueError) as error:
        raise SetupError(
            f"`--encoding` must be a text encoding such as cp1252 or utf-16, got {name!r}."
        ) from error


READ_DEFAULTS = ReadOptions()
