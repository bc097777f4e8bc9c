"""How long a worker waits for a database that does not answer, and what it says meanwhile."""

import logging
from dataclasses import dataclass

import pytest
import sqlalchemy as sa
from optuna.exceptions import StorageInternalError

from mogradjudge.search.workers import database
from mogradjudge.search.workers.database import LONGEST, Outage, outage_of

AWAY = sa.exc.OperationalError("SELECT 1", {}, Exception("server closed the connection"))
WRONG = sa.exc.DataError("INSERT", {}, Exception("value too long"))


@dataclass
class Clock:
    """Time that passes only where somebody sleeps."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(database, "time", clock)
    return clock


@dataclass
class Server:
    """A server that is down from one second to another."""

    clock: Clock
    until: float
    error: Exception
    asked: int = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.clock.now < self.until:
            raise self.error
        return "row"


def by_optuna(cause: Exception) -> Exception:
    error = StorageInternalError("This typically happens due to invalid data in the commit")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [AWAY, by_optuna(AWAY)])
def test_an_outage_is_waited_for_and_told_once_a_minute(error, clock, caplog):
    server = Server(clock, 210, error)
    assert Outage(LONGEST).retry(server) == "row"
    assert server.asked > 50
    lines = [record.getMessage() for record in caplog.records]
    minutes = ("", "1 min", "2 min", "3 min")
    assert [minute in line for minute, line in zip(minutes, lines, strict=True)] == [True] * 4
    assert not any("invalid data" in line for line in lines)


def test_those_who_wait_beside_one_another_tell_one_line(clock, caplog):
    outage, server = Outage(LONGEST), Server(clock, 50, AWAY)

    def waits_beside() -> str:
        return outage.retry(server)

    outage.retry(waits_beside)
    outage.retry(Server(clock, clock.now + 5, AWAY))  # it comes and goes within a minute
    assert len(caplog.records) == 1


def test_an_outage_that_does_not_end_is_given_up_by_all(clock, caplog):
    caplog.set_level(logging.CRITICAL)
    outage = Outage(LONGEST)
    with pytest.raises(sa.exc.OperationalError):
        outage.retry(Server(clock, 2 * LONGEST, AWAY))
    assert LONGEST <= clock.now <= LONGEST + 5
    with pytest.raises(sa.exc.OperationalError):
        outage.retry(Server(clock, 2 * LONGEST, AWAY))
    assert clock.now <= LONGEST + 15


def test_whoever_wants_to_leave_waits_no_longer(clock):
    outage = Outage(LONGEST)
    outage.hurry()
    with pytest.raises(sa.exc.OperationalError):
        outage.retry(Server(clock, LONGEST, AWAY))
    assert clock.now < 10


@pytest.mark.parametrize("error", [WRONG, by_optuna(WRONG)])
def test_what_a_database_refuses_is_not_waited_for(error, clock):
    server = Server(clock, 210, error)
    with pytest.raises(type(error)):
        Outage(LONGEST).retry(server)
    assert [server.asked, clock.now] == [1, 0]


def test_a_file_is_never_away(clock):
    server = Server(clock, 210, AWAY)
    with pytest.raises(sa.exc.OperationalError):
        outage_of(sa.create_engine("sqlite://")).retry(server)
    assert server.asked == 1
