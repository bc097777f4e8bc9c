"""What rated texts allow a run to learn and to confirm, before it."""

import dspy
import numpy as np
import pytest

from mogradjudge import Criterion, Rubric
from mogradjudge.data import Rating
from mogradjudge.optimize.data_card import data_card

RUBRIC = Rubric(["text"], [Criterion("tone", "Is it kind?"), Criterion("clarity", "Is it clear?")])


def examples(documents, texts=2, raters=1):
    rng = np.random.default_rng(0)
    for n in range(documents * texts):
        scores = {name: rng.integers(1, 6, raters).astype(float) for name in RUBRIC.names}
        means = {f"human_{name}": float(values.mean()) for name, values in scores.items()}
        single = [
            Rating(str(rater), name, float(value))
            for name, values in scores.items()
            for rater, value in enumerate(values)
        ]
        several = {"single_ratings": tuple(single)} if raters > 1 else {}
        row = {"text": f"text {n}", "group": f"d{n // texts}", **means, **several}
        yield dspy.Example(**row).with_inputs("text")


def test_texts_documents_raters_and_levels_are_counted():
    rows = [*examples(5, raters=3)]
    rows[0] = rows[0].copy(human_tone=None, single_ratings=())
    card = data_card(rows, RUBRIC)
    assert (card.texts, card.documents, card.ratings) == (10, 5, 2.8)
    assert card.missing == {"tone": 1, "clarity": 0}
    assert {name: sum(levels.values()) for name, levels in card.use.items()} == {
        "tone": 9,
        "clarity": 10,
    }
    assert set(card.ceilings) == {"tone", "clarity"}
    assert (card.confirming, card.gain) == (0, None)
    assert str(card.needed) in card.describe()


@pytest.mark.slow
def test_more_documents_confirm_smaller_gains():
    few, many = (data_card([*examples(number)], RUBRIC) for number in (60, 240))
    assert (few.confirming, many.confirming) == (18, 72)
    assert 0 < many.gain < few.gain < 1
    assert many.gain == pytest.approx(few.gain / 2, rel=0.25)
    assert data_card([*examples(60)], RUBRIC) == few


def test_scores_that_are_all_equal_have_no_gain_to_confirm():
    rows = [row.copy(human_tone=3.0, human_clarity=3.0) for row in examples(60)]
    assert data_card(rows, RUBRIC).gain is None
