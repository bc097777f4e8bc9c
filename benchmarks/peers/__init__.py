"""Our optimizer beside others: the same judge, texts, model, calls and gate for all of them."""

from benchmarks.peers.command import command, methods_command
from benchmarks.peers.figures import Row, summarize
from benchmarks.peers.method import Found, Method, Task

__all__ = ["Found", "Method", "Row", "Task", "command", "methods_command", "summarize"]
