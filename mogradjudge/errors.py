"""Errors, divided by who can help.

MogradError
├── SetupError        the caller must change something; never retried
├── ReplyError        a model answered badly; another try may help
└── BudgetExhausted   a cap was reached before a call was sent

Provider errors (``dspy.LMError`` and its kin) are not wrapped: they pass through.
"""


class MogradError(Exception):
    """The root of this package's errors; its text is one line for the user."""


class SetupError(MogradError, ValueError):
    """The caller must change something: a parameter, a file, a column."""


class ReplyError(MogradError):
    """A model answered, but not with what was asked for; another try may help."""


class BudgetExhausted(MogradError):
    """The next call would pass a cap that the caller set, so it was not sent."""
