"""Tables and pictures of what was measured; it reads cells and measures nothing."""

from benchmarks.report.command import command

__all__ = ["command"]
