"""A connection to Ray: a cluster started here for the run, or a running one."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mogradjudge.errors import MogradError, SetupError

LOCAL = "local"
INSTALL = 'Install the extra: pip install "mogradjudge[ray]".'
_CLIENT = "ray://"
_PATIENCE = 10.0  # seconds
_USUAL = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
}
_HOST_AND_PORT = re.compile(r"[^\s/]+:\d+")


class ClusterFailed(MogradError):
    """Ray failed, not the judge or the provider."""


def check_ray(address: str) -> None:
    """Check, before anything is started, that Ray is installed and an address is valid.

    Raises:
        SetupError: If not.
    """
    if importlib.util.find_spec("ray") is None:
        raise SetupError(f"`--ray` needs Ray, which is not installed. {INSTALL}")
    if address.startswith(_CLIENT):
        raise SetupError(
            f"`--ray` must be joined from a machine of the cluster, because a Ray client cannot "
            f"read this machine's table, got {address!r}. Run the command there, with `--ray auto`."
        )
    if address not in (LOCAL, "auto") and not _HOST_AND_PORT.fullmatch(address):
        raise SetupError(f"`--ray` must be `local`, `auto` or HOST:PORT, got {address!r}.")


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Join a Ray cluster while the block runs; if this process has joined one already, use that.

    Ray's usage statistics are off unless ``RAY_USAGE_STATS_ENABLED`` is set, and the working
    folder is not copied to the cluster unless ``RAY_ENABLE_UV_RUN_RUNTIME_ENV`` is set.

    Args:
        address: ``local`` starts a Ray on this machine and stops it at the end; ``auto`` and
            ``HOST:PORT`` join a running one.

    Raises:
        SetupError: If it cannot be joined, or Ray Data lacks what it needs.
    """
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)  # Ray reads them when it is imported
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise SetupError(f"`--ray` needs Ray Data, which is incomplete. {INSTALL}") from error
    if ray.is_initialized():
        yield
        return
    options = {"include_dashboard": False} if address == LOCAL else {}
    try:
        if _HOST_AND_PORT.fullmatch(address):
            _check_listening(address)
        with _signals_left_alone():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", **options)
    except Exception as error:  # a Ray that starts too slowly raises nothing narrower
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SetupError(f"`--ray {address}` cannot connect: {reason}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_listening(address: str) -> None:
    """Raise an OSError if nothing listens there; Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


@contextmanager
def _signals_left_alone() -> Iterator[None]:
    """Restore our handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
