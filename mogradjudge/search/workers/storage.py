"""Where a study is kept: an SQLite file, a database server, or any Optuna storage."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage

from mogradjudge.errors import MogradError, SetupError
from mogradjudge.files import check_database, check_folder
from mogradjudge.search.workers.database import outage_of, reason
from mogradjudge.secrets import redact, secrets_in

STUDY, SHARED = "study.sqlite3", "shared.sqlite3"
_BUSY = 60  # seconds that a connection waits for another one's transaction
_POOL, _SERVER_POOL = 16, 2  # connections that are kept open: a run has many calls in flight
_USED_BY_THE_CACHE = ("_create_new_trial", "_get_trials", "_set_trial_param", "_get_best_trial_id")
_USES_NO_SERVER = ("check_trial_is_updatable", "remove_session")
_CONNECTING = 10  # seconds
_LOCK = 0x6D6F67726164  # names the lock; any number that others do not use


@contextmanager
def opened(
    storage: str | BaseStorage | None, folder: Path
) -> Iterator[tuple[BaseStorage, sa.Engine]]:
    """Open a study's storage while the block runs; create it if it does not exist.

    Gives the storage, and the database in which workers keep what they share beside the trials.

    Args:
        storage: A database's URL as SQLAlchemy writes it, ``sqlite:///study.sqlite3`` or
            ``postgresql://user@host/name``; any Optuna storage; None for a file in ``folder``. One
            that is no database, in memory or a journal say, is for the workers of one machine: what
            they share is kept in ``folder``.
        folder: The search's folder.

    Raises:
        SetupError: If there is no such database, or no driver for it, or the folder holds a link.
    """
    check_folder(folder)
    with ExitStack() as stack:
        if isinstance(storage, BaseStorage):
            study = storage
        else:
            study = _storage(storage, folder)
            stack.callback(study.engine.dispose)
            stack.callback(study.remove_session)
        engine = _engine_of(study)
        if engine is None or engine.dialect.name == "sqlite":
            # A writer locks an SQLite file as a whole, so the study's own file will not do.
            engine = _engine_beside(engine, folder)
            stack.callback(engine.dispose)
        yield study, engine


def _storage(storage: str | None, folder: Path) -> RDBStorage:
    file = sa.URL.create("sqlite", database=str(folder / STUDY))
    url = file if storage is None else url_of(storage)
    if _is_file(url):
        check_database(Path(str(url.database)))
    engine_kwargs = _file_options() if _is_file(url) else _server_options(url)
    with making_tables(url):
        return _PatientStorage(url.render_as_string(hide_password=False), engine_kwargs)


def _patient(cls: type[RDBStorage]) -> type[RDBStorage]:
    """Let all methods that Optuna's studies use wait for a server that cannot be reached."""
    for name in (*dir(BaseStorage), *_USED_BY_THE_CACHE):
        method = getattr(RDBStorage, name)
        if inspect.isfunction(method) and name not in _USES_NO_SERVER and name[:2] != "__":
            setattr(cls, name, _retried(method))
    return cls


def _retried(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def called(self: RDBStorage, *args: Any, **kwargs: Any) -> Any:
        return outage_of(self.engine).retry(functools.partial(method, self, *args, **kwargs))

    return called


@_patient
class _PatientStorage(RDBStorage):
    """Optuna's storage that waits while its server cannot be reached."""


def _engine_of(storage: BaseStorage) -> sa.Engine | None:
    for backend in (storage, getattr(storage, "_backend", None)):  # Optuna wraps a study's storage
        if isinstance(backend, RDBStorage):
            return backend.engine
    return None


def file_beside(study: Path) -> Path:
    """Name the file of what workers share, beside a study's SQLite file."""
    return study.with_name(SHARED if study.name == STUDY else f"{study.stem}.{SHARED}")


def _engine_beside(engine: sa.Engine | None, folder: Path) -> sa.Engine:
    file = None if engine is None else engine.url.database
    study = folder / STUDY if file in (None, "", ":memory:") else Path(str(file))
    check_database(file_beside(study))
    url = sa.URL.create("sqlite", database=str(file_beside(study)))
    return sa.create_engine(url, **_file_options())


def _is_file(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")


def _file_options() -> dict[str, Any]:
    return {
        "connect_args": {"timeout": _BUSY},
        "pool_events": [(distrust, "connect"), (_quick, "connect")],
        "pool_size": _POOL,
    }


def _server_options(url: sa.URL) -> dict[str, Any]:
    # A server takes only so many connections (PostgreSQL 100), and has many workers. A worker needs
    # two: one holds the study's lock while Optuna begins a trial through the other.
    waits = {"pool_timeout": 2 * _BUSY, "pool_pre_ping": True}
    bounds = {"pool_size": _SERVER_POOL, "max_overflow": 0, **waits}
    if url.get_backend_name() != "postgresql":
        return bounds
    return {
        **bounds,
        "pool_events": [(_bounded, "connect")],
        "connect_args": {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECTING},
    }


@contextmanager
def making_tables(url: sa.URL) -> Iterator[None]:
    """Let one worker at a time make its tables while the block runs.

    Raises:
        SetupError: If the database cannot be opened.
    """
    with said_plainly(url), ExitStack() as stack:
        if url.get_backend_name() == "postgresql":
            engine = sa.create_engine(url)
            stack.callback(engine.dispose)
            lock = sa.select(sa.func.pg_advisory_xact_lock(_LOCK))
            stack.enter_context(engine.begin()).execute(lock)
        elif _is_file(url) and Path(str(url.database)).parent.is_dir():
            stack.enter_context(FileLock(f"{url.database}.lock"))
        yield


@contextmanager
def said_plainly(url: sa.URL, *, begun: bool = False) -> Iterator[None]:
    """Say in one line what is wrong with a database; a password is never in it.

    Args:
        url: The database.
        begun: Whether the work has begun, so that it was open.

    Raises:
        SetupError: If the database cannot be opened while the block runs.
        MogradError: If it fails after the beginning.
    """
    shown = shown_of(url)
    try:
        yield
    except (sa.exc.NoSuchModuleError, ImportError) as error:
        what = f"`storage` {shown} needs a driver: {str(error).rstrip('.')}."
        raise SetupError(f"{what} {_install(url)}") from error
    except (sa.exc.DBAPIError, StorageInternalError, RuntimeError) as error:
        if (line := _line(error)) is None:
            raise
        why = redact(line, _secrets_of(url))
        if not begun:
            raise SetupError(f"`storage` {shown} cannot be opened: {why}") from error
        again = "Run the same command again to resume; nothing that was paid for is lost."
        raise MogradError(f"`storage` {shown} failed: {why}. {again}") from error


def _line(error: Exception) -> str | None:
    """Return a database's own line in an error; None for an error of something else."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, sa.exc.DBAPIError):
        return reason(error)
    if isinstance(error, RuntimeError) and "table schema" in str(error):  # Optuna's, of its tables
        return str(error)
    return None


def shown_of(url: sa.URL) -> str:
    """Write a database's URL without its password, which may be in the query too."""
    hidden = {name: "***" for name in url.query if "pass" in name}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _secrets_of(url: sa.URL) -> set[str]:
    queried = [str(value) for name, value in url.query.items() if "pass" in name]
    passwords = {str(url.password or ""), *queried}
    return {secret for text in passwords for secret in (text, *secrets_in(text)) if secret}


def url_of(text: str) -> sa.URL:
    """Read a database's URL.

    Raises:
        SetupError: If it is none.
    """
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):  # the latter quotes what may be a password
        raise SetupError(
            "`storage` must be a database URL, e.g. sqlite:///study.sqlite3 or "
            "postgresql://user@host/name; got something else."
        ) from None
    if url.get_backend_name() != "sqlite" and _login_is_cut(text, url):
        raise SetupError(
            "`storage` has an @ in its user name or password that is not escaped, so that a part "
            "of it would be read as the host. Write %40 for @ (and %2F for /, %3F for ?)."
        )
    # SQLAlchemy's own choice of a driver has changed between its versions.
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _login_is_cut(text: str, url: sa.URL) -> bool:
    names = [pair.partition("=")[0] for pair in text.partition("?")[2].split("&")]
    return any("@" in part for part in (url.host or "", url.database or "", *names))


def _install(url: sa.URL) -> str:
    if url.get_backend_name() == "postgresql":
        return "Install mogradjudge[postgres]."
    return "Install it, or give sqlite:/// or postgresql://."


def distrust(connection: object, record: object) -> None:
    """Run no code from an SQLite file: the file may come from anybody.

    Raises:
        SetupError: If it holds what runs by itself.
    """
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA trusted_schema=OFF")
    cursor.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')")
    strange = cursor.fetchone()
    cursor.close()
    if strange is not None:
        raise SetupError(
            "The study's database holds a {} {!r}, which is not ours. Remove it from there, or "
            "give another database.".format(*strange)
        )


def _quick(connection: object, record: object) -> None:
    # Many small transactions: one sync to the disk for each would cost more than the call.
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _bounded(connection: object, record: object) -> None:
    # A worker that hangs must not keep a lock from all others: they wait, and then it is taken off.
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"SET lock_timeout = '{_BUSY}s'")
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_BUSY // 2}s'")
    cursor.close()
    connection.commit()  # type: ignore[attr-defined]
