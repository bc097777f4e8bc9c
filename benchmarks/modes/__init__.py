"""The decomposition modes side by side: agreement on unseen texts, hypervolume, calls."""

from benchmarks.modes.command import command
from benchmarks.modes.summary import summarize

__all__ = ["command", "summarize"]
