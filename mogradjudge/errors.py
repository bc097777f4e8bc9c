"""The package's errors, sorted by who can help.

MogradError
├── SetupError        the caller must change something; never retried
│   ├── SetupErrors   several things
│   ├── InputError    an input that a judge cannot rate
│   └── ResourceError
├── ReplyError        a model's answer cannot be used; another try may help
├── BudgetExhausted   a cap was reached before a call was sent
└── RunStopped        the user wants no more calls

A provider's errors (``dspy.LMError`` and its subclasses) are not wrapped: they pass through.
"""

from collections.abc import Sequence
from typing import Literal


class MogradError(Exception):
    """The base of this package's errors; its text is one line for the user.

    >>> issubclass(SetupError, MogradError)
    True
    """


class SetupError(MogradError, ValueError):
    """The caller must change something: a parameter, a file, a column.

    >>> from mogradjudge import Budget
    >>> Budget(max_calls=0)
    Traceback (most recent call last):
    mogradjudge.errors.SetupError: `max_calls` must be a whole number >= 1 or None, got 0.
    """


class SetupErrors(SetupError):
    """The caller must change several things; its text has a line for each, after a first line."""


def together(source: str, lines: Sequence[str]) -> SetupError:
    """Make one error of all that is wrong with a file.

    >>> together("a.csv", ["it has no rows."])
    SetupError('a.csv: it has no rows.')
    """
    if len(lines) == 1:
        return SetupError(f"{source}: {lines[0]}")
    return SetupErrors("\n".join([f"{source} has {len(lines)} problems:", *lines]))


class InputError(SetupError):
    """A judge cannot rate an input: it is missing, blank or no text.

    >>> issubclass(InputError, SetupError)
    True
    """


class ResourceError(SetupError):
    """A resource is missing: open files, connections, disk space, a writable folder."""


class ReplyError(MogradError):
    """A model's answer cannot be used; another try may help.

    >>> isinstance(ReplyError("No score for `tone`."), MogradError)
    True
    """


class BudgetExhausted(MogradError):
    """The next call would pass a cap of the `Budget`, so it was not sent.

    Args:
        message: The line for the user.
        cap: The cap's field in `Budget`; None if the budget is shared with other runs.

    >>> BudgetExhausted("The cap of max_calls=20 is reached.", "max_calls").cap
    'max_calls'
    """

    def __init__(self, message: str, cap: str | None = None) -> None:
        super().__init__(message)
        self.cap = cap


class RunStopped(MogradError):
    """The user stopped the run.

    Args:
        reason: ``"interrupted"`` or ``"stop_file"``.

    >>> RunStopped("stop_file").reason
    'stop_file'
    """

    def __init__(self, reason: Literal["interrupted", "stop_file"]) -> None:
        super().__init__(f"The run was asked to stop ({reason}).")
        self.reason = reason
