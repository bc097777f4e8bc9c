"""A stream of items through calls in flight: order, window, equal items, errors, closing."""

import itertools
import threading
import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mogradjudge.concurrency import AHEAD, in_order


@given(
    items=st.lists(st.integers(0, 5), max_size=60),
    threads=st.integers(1, 5),
    keyed=st.booleans(),
    failing=st.sets(st.integers(0, 5), max_size=1),
)
def test_a_stream_gives_what_a_loop_gives_up_to_the_first_error(items, threads, keyed, failing):
    def double(item: int) -> int:
        if item in failing:
            raise ValueError(item)
        return 2 * item

    given_, error = [], None
    try:
        given_.extend(
            in_order(double, iter(items), threads, (lambda item: item) if keyed else None)
        )
    except ValueError as raised:
        error = raised
    before = list(itertools.takewhile(lambda item: item not in failing, items))
    assert given_ == [(item, 2 * item) for item in before[: len(given_)]]
    assert (error is not None) == (len(before) < len(items))
    if error is None:
        assert len(given_) == len(items)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_items_are_read_no_further_ahead_than_the_window(threads):
    read = []

    def items():
        for item in itertools.count(1):
            read.append(item)
            yield item

    results = in_order(lambda item: item, items(), threads)
    for given_, (item, _) in enumerate(itertools.islice(results, 500), start=1):
        assert item == given_
        assert len(read) - given_ < AHEAD * threads
    results.close()


def test_all_threads_are_at_work_while_the_first_item_takes_long():
    release, seen = threading.Event(), []

    def work(item: int) -> None:
        seen.append(item)
        if item == 0:
            release.wait(60)
        if item == 4 * AHEAD - 1:
            release.set()

    assert len(list(in_order(work, range(100), 4))) == 100
    assert set(seen[: 4 * AHEAD]) == set(range(4 * AHEAD))


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_items_with_equal_keys_share_a_call(threads):
    calls: Counter[str] = Counter()

    def work(item: str) -> str:
        calls[item] += 1
        time.sleep(0.001)
        return item.upper()

    items = ["a", "b", "a", "a", "c", "b"] * 20
    results = list(in_order(work, items, threads, str))
    assert results == [(item, item.upper()) for item in items]
    assert set(calls.values()) == {1}


def test_a_run_of_equal_items_is_not_read_to_its_end():
    items = iter(["same"] * 100_000)
    results = in_order(str.upper, items, 2, str)
    assert next(results) == ("same", "SAME")
    assert len(list(items)) > 99_000
    results.close()


def test_the_results_before_an_error_are_given():
    def work(item: int) -> int:
        if item == 5:
            raise ValueError(item)
        time.sleep(0.005)
        return item

    given_ = []
    with pytest.raises(ValueError, match="5"):
        given_.extend(item for item, _ in in_order(work, range(100), 4))
    assert given_ == list(range(len(given_)))
    assert len(given_) <= 5


def test_a_source_that_fails_ends_the_stream_and_leaves_no_thread():
    def items():
        yield from range(3)
        raise ValueError("bad row")

    before = set(threading.enumerate())  # other tests may have left some
    with pytest.raises(ValueError, match="bad row"):
        list(in_order(lambda item: item, items(), 4))
    assert set(threading.enumerate()) <= before


def test_closing_drops_what_has_not_started_and_leaves_no_thread():
    seen = []

    def work(item: int) -> None:
        seen.append(item)
        time.sleep(0.01)

    before = set(threading.enumerate())
    results = in_order(work, itertools.count(), 2)
    next(results)
    results.close()
    assert len(seen) < 2 * AHEAD
    assert set(threading.enumerate()) <= before
