"""A look at a study that changes nothing: no table, no file and no study is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage

from mogradjudge.errors import SetupError
from mogradjudge.files import check_database
from mogradjudge.search.workers.database import TASKS
from mogradjudge.search.workers.existing import check_version, earlier_version
from mogradjudge.search.workers.queue import Queue
from mogradjudge.search.workers.shared import ASKED, Shared
from mogradjudge.search.workers.storage import (
    STUDY,
    distrust,
    file_beside,
    said_plainly,
    shown_of,
    url_of,
)

_BUSY = 60  # seconds to wait for another one's transaction
_NEEDED = ("studies", "trials", "version_info")  # Optuna's tables, and
_OURS = ("mogradjudge_notes", "mogradjudge_purses")
_MOST_NAMED = 5


@contextmanager
def to_read(storage: str | None, folder: Path | None, name: str) -> Iterator[tuple[Queue, Shared]]:
    """Open a study to read it while the block runs; workers may use it.

    Args:
        storage: The database's URL; None for the file that `search` makes in ``folder``.
        folder: The search's folder.
        name: The study's name.

    Raises:
        SetupError: If the database or the study is not there, or it is no search's.
    """
    url = _url(storage, folder)
    with ExitStack() as stack:
        with said_plainly(url):
            queue = _opened(url, name, stack)
        yield queue, queue.shared


def _opened(url: sa.URL, name: str, stack: ExitStack) -> Queue:
    shared_url = _check_there(url)
    engine = sa.create_engine(shared_url, **_options(shared_url))
    stack.callback(engine.dispose)
    _check_tables(engine, _OURS)
    storage = _storage(url)
    stack.callback(storage.engine.dispose)
    stack.callback(storage.remove_session)
    study = _study(storage, name)
    shared = Shared(engine, name, 0.0, makes=False)
    if shared.noted(ASKED) is None:
        raise SetupError(f"The study {name!r} was not made by a search of mogradjudge.")
    if not sa.inspect(engine).has_table(TASKS.name):
        raise SetupError(earlier_version(name))
    queue = Queue(study, study._storage, shared)
    with engine.begin() as connection:
        check_version(connection, study)
    return queue


def _url(storage: str | None, folder: Path | None) -> sa.URL:
    if storage is not None:
        return url_of(storage)
    if folder is None:
        raise SetupError("Give `storage` or `out`, to say where the study is; got neither.")
    return sa.URL.create("sqlite", database=str(folder / STUDY))


def _check_there(url: sa.URL) -> sa.URL:
    """Check what can be checked without a change; gives where workers share things."""
    if url.get_backend_name() != "sqlite":
        engine = sa.create_engine(url, **_options(url))
        try:
            _check_tables(engine, (*_NEEDED, *_OURS))
        finally:
            engine.dispose()
        return url
    file = Path(url.database or ":memory:")
    beside = file_beside(file)
    for path in (file, beside):
        if not path.is_file():
            raise SetupError(f"No study found: {path} is missing.")
        check_database(path)
    engine = sa.create_engine(_read_only(url), **_options(url))
    try:
        _check_tables(engine, _NEEDED)
    finally:
        engine.dispose()
    return _read_only(sa.URL.create("sqlite", database=str(beside)))


def _check_tables(engine: sa.Engine, names: tuple[str, ...]) -> None:
    there = sa.inspect(engine)
    for name in names:
        if not there.has_table(name):
            raise SetupError(f"No study found: {shown_of(engine.url)} has no table {name}.")


def _storage(url: sa.URL) -> RDBStorage:
    opened = _read_only(url) if url.get_backend_name() == "sqlite" else url
    return RDBStorage(
        opened.render_as_string(hide_password=False), _options(url), skip_table_creation=True
    )


def _study(storage: RDBStorage, name: str) -> optuna.Study:
    names = [study.study_name for study in storage.get_all_studies()]
    if name not in names:
        first = ", ".join(map(repr, names[:_MOST_NAMED])) or "none"
        more = ", ..." if len(names) > _MOST_NAMED else ""
        raise SetupError(f"Unknown study {name!r}. Known studies: {first}{more}.")
    return optuna.load_study(study_name=name, storage=storage)


def _read_only(url: sa.URL) -> sa.URL:
    """Name an SQLite file so that it is opened for reading alone."""
    file = Path(str(url.database)).absolute()
    query = {"mode": "ro", "uri": "true"}
    # To read a journal that is written ahead is to make files, unless nobody is at work there.
    if _writes_ahead(file) and not file.with_name(f"{file.name}-wal").exists():
        query["immutable"] = "1"
    return url.set(database=file.as_uri(), query=query)


def _writes_ahead(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(20)[18:] == b"\x02\x02"  # https://www.sqlite.org/fileformat.html


def _options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": _BUSY}, "pool_events": [(distrust, "connect")]}
    readonly = {"postgresql_readonly": True} if url.get_backend_name() == "postgresql" else {}
    return {"pool_pre_ping": True, "execution_options": readonly}
