"""Instruction interference: what criteria's instructions do to each other in one prompt."""

from benchmarks.interference.command import command
from benchmarks.interference.summary import Interference, effect, summarize

__all__ = ["Interference", "command", "effect", "summarize"]
