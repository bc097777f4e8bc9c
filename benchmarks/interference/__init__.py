"""Instruction interference: what criteria's instructions do to each other in one prompt."""

from benchmarks.interference.command import command
from benchmarks.interference.finding import finding
from benchmarks.interference.summary import Interference, summarize

__all__ = ["Interference", "command", "finding", "summarize"]
