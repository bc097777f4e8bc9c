"""Numbers as reports write them."""

import pytest

from mogradjudge.agreement.claims import Claim
from mogradjudge.report.numbers import plain


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (0.0021, 0.4, "+0.002 to +0.40"),
        (-0.4, -0.00004, "\N{MINUS SIGN}0.40 to \N{MINUS SIGN}0.00004"),
        (0.0, 0.4, "+0.00 to +0.40"),
        (1e-17, 0.4, "+0.00 to +0.40"),
    ],
)
def test_an_end_that_is_not_0_does_not_look_like_it(low, high, shown):
    claim = Claim("a minus b", 0.2, low, high, 0.047, 12, "established")
    assert shown in plain(claim)


def test_too_few_documents_are_counted_once():
    claim = Claim("a minus b", 0.2, None, None, 0.875, 4, "not established")
    assert plain(claim).count("4 documents") == 1
