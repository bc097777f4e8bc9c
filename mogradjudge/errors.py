"""Errors, divided by who can help.

MogradError
├── SetupError        the caller must change something; never retried
│   └── ResourceError
├── ReplyError        a model answered badly; another try may help
├── BudgetExhausted   a cap was reached before a call was sent
└── RunStopped        the user wants no more calls

Provider errors (``dspy.LMError`` and its kin) are not wrapped: they pass through.
"""

from typing import Literal


class MogradError(Exception):
    """The root of this package's errors; its text is one line for the user."""


class SetupError(MogradError, ValueError):
    """The caller must change something: a parameter, a file, a column."""


class ResourceError(SetupError):
    """The machine gives no more: no open file or connection, no space, no place to write to."""


class ReplyError(MogradError):
    """A model answered, but not with what was asked for; another try may help."""


class BudgetExhausted(MogradError):
    """The next call would pass a cap that the caller set, so it was not sent."""


class RunStopped(MogradError):
    """Somebody asked the run to send no more calls.

    Args:
        reason: ``"interrupted"`` or ``"stop_file"``.
    """

    def __init__(self, reason: Literal["interrupted", "stop_file"]) -> None:
        super().__init__(f"The run was asked to stop ({reason}).")
        self.reason = reason
