import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.dilution.agreement import ACTIONABLE, Kappas, agreement_of, kappa
from benchmarks.dilution.calibration import calibration_of
from benchmarks.dilution.classifier import Classifier
from benchmarks.dilution.embedding_rater import EmbeddingRater
from benchmarks.dilution.lm_rater import (
    AdherenceQuestion,
    FocusQuestion,
    LMRater,
    warning_about,
)
from benchmarks.dilution.measures import measure
from benchmarks.dilution.planted import LEVELS, UNITS, as_json, plant, plantable, texts_in
from benchmarks.worlds.bank import label_of, sentences
from benchmarks.worlds.bank.real_units import RealUnit, read_real_units, real_units_for
from benchmarks.worlds.controls import concatenate, mask, off_topic, on_topic
from benchmarks.worlds.ratings import (
    GENERAL,
    NONE,
    REST,
    RatedUnit,
    Rating,
    rate_texts,
    ratings_in,
)
from benchmarks.worlds.units import Unit, count_words, split_units
from benchmarks.worlds.world import inputs_of, toy_rubric
from engines import FunctionEngine, fake_lm, in_chat, user
from mogradjudge import Criterion, Rubric, SetupError
from mogradjudge.judge.scores import Unscored
from mogradjudge.stages.role import Role

SUMMEVAL = ("coherence", "consistency", "fluency", "relevance")
DATA_SETS = [
    SUMMEVAL,
    ("engagement", "empathy", "surprise", "complexity"),
    ("natural", "understandable", "uses_knowledge", "maintains_context"),
    ("faithfulness", "aspect_coverage", "sentiment_consistency", "specificity"),
    ("anger", "fear", "joy", "sadness"),
    ("helpful", "tone", "brevity"),
]

# --- units ------------------------------------------------------------------------------------


def texts_of(text: str) -> list[str]:
    return [unit.text for unit in split_units(text)]


@pytest.mark.parametrize(
    ["text", "units"],
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("- One thing\n* Another\n2) A third.", ["One thing", "Another", "A third."]),
        ("Mark gaps, e.g. Names. Then stop.", ["Mark gaps, e.g. Names.", "Then stop."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("A score of 3.5 is fine. Next.", ["A score of 3.5 is fine.", "Next."]),
        ("**Fluency**: count errors.", ["Fluency: count errors."]),
        ("> Quoted advice.\n---\n```\n", ["Quoted advice."]),
        ("", []),
        (" \n\u200b\n", []),
    ],
)
def test_a_text_is_split_at_lines_and_ends_of_sentences(text, units):
    assert texts_of(text) == units


@pytest.mark.parametrize("line", ["## Fluency", "**Fluency**", "**On fluency:**", "On fluency:"])
def test_a_heading_is_generic(line):
    heading, advice = split_units(f"{line}\nCount the errors.")
    assert (heading.kind, heading.generic, advice.kind) == ("heading", True, "advice")


@pytest.mark.parametrize("text", ["Great job!", "Let me know if this helps.", "Thank you."])
def test_praise_of_a_fixed_form_is_generic(text):
    assert [unit.kind for unit in split_units(text)] == ["praise"]


def test_what_begins_like_praise_and_goes_on_is_advice():
    text = (
        "Good start on the grammar, but the judge must be told that a missing verb costs a point."
    )
    assert [unit.kind for unit in split_units(text)] == ["advice"]


@given(st.text(max_size=200))
def test_splitting_loses_no_word_and_invents_none(text):
    units = split_units(text)
    assert all(unit.words == count_words(unit.text) > 0 for unit in units)
    assert "".join(unit.text for unit in units).split() == [] or units
    assert split_units(text) == units


# --- measures ---------------------------------------------------------------------------------

K4 = ("a", "b", "c", "d")
masses = st.lists(st.integers(0, 5), min_size=7, max_size=7).filter(any)
rated_units = st.lists(
    st.builds(
        lambda words, mass, act, readable, kind: RatedUnit(
            Unit("x", words, kind),
            Rating({n: m / sum(mass) for n, m in zip((*K4, *REST), mass, strict=True)}, act)
            if readable
            else Unscored("no"),
        ),
        st.integers(1, 30),
        masses,
        st.booleans(),
        st.sampled_from([True, True, True, False]),
        st.sampled_from(["advice", "advice", "heading", "praise"]),
    ),
    max_size=12,
)


def pure(label: str, words: int = 5, *, actionable: bool = True) -> RatedUnit:
    return RatedUnit(Unit(label, words), Rating.of(label, actionable=actionable))


@given(rated_units)
def test_measures_agree_with_a_count_by_hand(rated):
    found = measure(rated, K4)
    kept = [e for e in rated if e.unit.kind != "heading" and isinstance(e.rating, Rating)]
    for name in K4:
        of = found.by_criterion[name]
        if not kept:
            assert (of.share, of.actionable) == (None, 0)
            continue
        assert of.share == pytest.approx(sum(each.rating.mass[name] for each in kept) / len(kept))
        can_act = [each.rating.mass[name] for each in kept if each.rating.actionable]
        assert of.actionable == pytest.approx(sum(can_act))
    assert found.actionable_units == sum(each.rating.actionable for each in kept)
    headings = sum(each.unit.kind == "heading" for each in rated)
    assert found.unrated + found.units + headings == len(rated)


@given(rated_units, st.randoms())
def test_the_order_of_the_units_does_not_matter(rated, rng):
    shuffled = rng.sample(rated, len(rated))
    assert measure(shuffled, K4) == measure(rated, K4)  # all sums are exact


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(rated_units.filter(any), min_size=1, max_size=4))
def test_a_concatenation_has_the_mean_of_the_shares_and_the_sum_of_the_yields(parts):
    whole = measure([each for part in parts for each in part], K4)
    own = [measure(part, K4) for part in parts]
    counted = [of for of in own if of.units]
    for name in K4 if counted else ():
        mean = sum(of.by_criterion[name].share * of.units for of in counted) / whole.units
        assert whole.by_criterion[name].share == pytest.approx(mean)
        yields = sum(of.by_criterion[name].actionable for of in own)
        assert whole.by_criterion[name].actionable == pytest.approx(yields)


def test_a_unit_about_two_criteria_counts_for_both_by_its_share():
    both = RatedUnit(Unit("x", 4), Rating.of("a", "b", actionable=True))
    found = measure([both, pure(NONE, 4)], K4)
    assert [found.by_criterion[name].share for name in K4] == [0.25, 0.25, 0, 0]
    assert [found.by_criterion[name].actionable for name in K4] == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("mass", [{"a": 0.5}, {"a": 1.5, "b": -0.5}, {"a": math.nan}])
def test_a_mass_that_is_no_distribution_is_refused(mass):
    with pytest.raises(SetupError, match="distribution"):
        Rating(mass, actionable=True)


# --- the bank ---------------------------------------------------------------------------------


def test_every_criterion_of_our_data_has_sentences_half_of_them_actionable():
    for label in (*(name for names in DATA_SETS for name in names), *REST):
        both = [s for half in ("train", "held_out") for s in sentences(half) if label in s.labels]
        assert len(both) >= 24, label
        assert sum(s.actionable for s in both) == len(both) / 2
        held_out = sum(label in s.labels for s in sentences("held_out"))
        assert held_out >= (UNITS if label not in REST else 12), label


def test_no_sentence_is_in_both_halves_or_under_two_labels():
    texts = [s.text.lower() for half in ("train", "held_out") for s in sentences(half)]
    assert len(set(texts)) == len(texts)


def test_both_halves_hold_sentences_about_two_criteria_which_planted_texts_take_up():
    for half in ("train", "held_out"):
        assert sum(len(s.labels) == 2 for s in sentences(half)) >= 20
    texts = plant(SUMMEVAL, n=4)
    assert {text.share * UNITS % 1 for text in texts} == {0, 0.5}
    assert any(len(s.labels) == 2 for text in texts for s in text.sentences)


def test_only_some_sentences_name_their_criterion():
    for names in DATA_SETS:
        of = [
            s for s in (*sentences("train"), *sentences("held_out")) if set(s.labels) <= set(names)
        ]
        named = sum(mask(s.text, s.labels) != s.text for s in of)
        assert 0 < named < 0.35 * len(of)


def test_each_sentence_of_the_bank_is_one_unit():
    for each in (*sentences("train"), *sentences("held_out")):
        units = split_units(each.text)
        assert [unit.text for unit in units] == [each.text]
        assert each.labels == (NONE,) or not units[0].generic


def test_a_criterion_is_found_by_any_of_its_names():
    assert label_of("helpfulness") == label_of("resolution") == "helpful"
    assert label_of("aspect coverage") == label_of("Aspect_Coverage") == "aspect_coverage"
    assert label_of("interest") == "engagement"
    assert label_of("wit") is None


# --- planted texts ----------------------------------------------------------------------------


def test_planted_texts_hold_what_they_say_and_no_training_sentence():
    known = set(sentences("held_out"))
    found = plant(SUMMEVAL, n=3, seed=1)
    assert len(found) == 4 * len(LEVELS) * 3
    assert found == plant(SUMMEVAL, n=3, seed=1) != plant(SUMMEVAL, n=3, seed=2)
    for each in found:
        assert set(each.sentences) <= known and len(set(each.sentences)) == UNITS
        on_target = [s for s in each.sentences if each.target in s.labels]
        assert len(on_target) == each.level * UNITS
        assert sum(1 / len(s.labels) for s in on_target) == pytest.approx(each.share * UNITS)
        yields = [s for s in on_target if s.actionable]
        assert sum(1 / len(s.labels) for s in yields) == pytest.approx(each.actionable)
        assert sum(s.actionable for s in each.sentences) == each.actionable_units
        assert len(split_units(each.text)) == UNITS


def test_planted_texts_are_kept_in_json_and_read_again():
    found = plant(SUMMEVAL, n=2)
    assert texts_in(json.loads(json.dumps(as_json(found)))) == found


def test_planting_leaves_unknown_criteria_out_and_says_if_all_are():
    assert {each.target for each in plant(("wit", "fluency"), n=1)} == {"fluency"}
    with pytest.raises(SetupError, match="wit"):
        plant(("wit",))


# --- raters -----------------------------------------------------------------------------------


class Oracle:
    """Knows the bank, but for a share of the units that it labels at random or not at all."""

    name = "oracle"

    def __init__(self, criteria, noise=0.0, silent=0.0):
        self.criteria, self.noise, self.silent = criteria, noise, silent
        self.known = {s.text: s for s in sentences("held_out")}
        self.asked: list[list[str]] = []

    def rate(self, units):
        self.asked.append(list(units))
        return tuple(self._rate(random.Random(f"{unit}/0"), unit) for unit in units)

    def _rate(self, rng, unit):
        if rng.random() < self.silent:
            return Unscored("no reply")
        if rng.random() < self.noise:
            return Rating.of(rng.choice((*self.criteria, *REST)), actionable=rng.random() < 0.5)
        return Rating.of(*self.known[unit].labels, actionable=self.known[unit].actionable)


def calibrate(rater, n, seed=0):
    texts = plant(rater.criteria, n=n, seed=seed)
    ratings = ratings_in([text.text for text in texts], rater)
    return calibration_of(texts, ratings, rater.criteria)


def test_a_perfect_rater_is_calibrated_along_the_diagonal():
    found = calibrate(Oracle(SUMMEVAL), n=4)
    assert found.passed(SUMMEVAL) == found.passed(SUMMEVAL, yields=True) == SUMMEVAL
    line = found.shares.overall
    assert (line.slope, line.rho) == pytest.approx((1, 1))
    assert line.intercept == pytest.approx(0)
    assert tuple(found.shares.levels) == LEVELS
    assert found.yield_rho == pytest.approx(1)
    assert found.yields.overall.slope == pytest.approx(1, abs=0.01)  # praise is not rated


def test_the_line_undoes_a_raters_compression():
    found = calibrate(Oracle(SUMMEVAL, noise=0.4), n=10)
    assert found.passed(SUMMEVAL)
    assert found.shares.overall.slope < 0.8
    texts = plant(SUMMEVAL, n=10)
    for level, mean in found.shares.levels.items():
        true = [text.share for text in texts if text.level == level]
        assert found.shares.overall.corrected(mean) == pytest.approx(sum(true) / len(true), abs=0.1)
    line = found.shares.by_criterion["fluency"]
    assert found.corrected(0.5, "fluency") == pytest.approx((0.5 - line.intercept) / line.slope)


def test_a_line_is_that_of_least_squares():
    from scipy.stats import linregress

    found = calibrate(Oracle(SUMMEVAL, noise=0.4), n=3)
    texts = plant(SUMMEVAL, n=3)
    rated = rate_texts([each.text for each in texts], Oracle(SUMMEVAL, noise=0.4))
    shares = [
        measure(units, SUMMEVAL).by_criterion[text.target].share
        for units, text in zip(rated, texts, strict=True)
    ]
    fit = linregress([text.share for text in texts], shares)
    line = found.shares.overall
    assert (line.slope, line.intercept) == pytest.approx((fit.slope, fit.intercept))
    # The planted texts share sentences, and each of those is rated once.
    sentences = [sentence.text for text in texts for sentence in text.sentences]
    shared = len(sentences) / len(set(sentences))
    assert shared > 1
    assert line.intercept_error == pytest.approx(fit.intercept_stderr * math.sqrt(shared))


def test_a_corrected_yield_goes_by_the_number_of_units_that_can_be_acted_on():
    found = calibrate(Oracle(SUMMEVAL, noise=0.4), n=10)
    line = found.yields.by_criterion["fluency"]
    right = found.corrected_yield(3.0, 12, "fluency")
    assert right == pytest.approx(12 * (3 / 12 - line.intercept) / line.slope)
    assert found.corrected_yield(0.0, 0, "fluency") == 0


def test_a_rater_that_guesses_fails():
    found = calibrate(Oracle(SUMMEVAL, noise=1.0), n=4)
    assert not found.shares.passed
    assert found.passed(SUMMEVAL) == ()


def test_a_rater_of_one_answer_has_no_line_and_nothing_is_undone():
    class Constant(Oracle):
        def rate(self, units):
            return tuple(Rating.of(GENERAL, actionable=True) for _ in units)

    found = calibrate(Constant(("fluency",)), n=2)
    assert found.shares.overall.rho is None
    assert found.passed(("fluency",)) == ()
    assert found.shares.overall.corrected(1.0) is None
    assert (found.corrected(0.4, "fluency"), found.corrected_yield(1.0, 4, "fluency")) == (0.4, 1.0)


def test_unreadable_ratings_are_no_number():
    found = calibrate(Oracle(SUMMEVAL, silent=0.25), n=4)
    assert found.shares.overall.slope == pytest.approx(1, abs=0.15)


def test_all_texts_are_rated_in_one_stream_that_tells_nothing():
    oracle = Oracle(SUMMEVAL)
    a, b = [s.text for s in sentences("held_out") if s.labels == ("fluency",)][:2]
    rated = rate_texts([f"# Fluency\n{a} {b}", b, ""], oracle)
    (stream,) = oracle.asked
    assert sorted(stream) == sorted([a, b])
    assert [[each.unit.text for each in units] for units in rated] == [["Fluency", a, b], [b], []]
    rate_texts([b, f"# Fluency\n{a} {b}"], oracle)
    assert oracle.asked[1] == stream


CASES = [(names, False) for names in DATA_SETS] + [(SUMMEVAL, True)]


@pytest.mark.parametrize(["criteria", "masked"], CASES)
def test_the_classifier_passes_on_sentences_that_it_never_saw(criteria, masked):
    classifier = Classifier(criteria, masked=masked)
    unseen = [s for s in sentences("held_out") if set(s.labels) <= {*criteria, *REST}]
    rated = list(zip(classifier.rate([s.text for s in unseen]), unseen, strict=True))
    assert sum(any(map(rating.is_on, s.labels)) for rating, s in rated) / len(rated) > 0.6
    assert sum(rating.actionable == s.actionable for rating, s in rated) / len(rated) > 0.75
    found = calibrate(classifier, n=15 if criteria == SUMMEVAL else 6)
    assert found.shares.passed, found


def test_the_classifier_says_what_it_has_no_sentences_for():
    assert plantable(("fluency", "wit")) == ("fluency",)
    (rating,) = Classifier(("fluency", "wit")).rate(["Count every pun, and whether it lands."])
    assert "wit" not in rating.mass


def test_a_criterion_cannot_have_the_name_of_another_label():
    with pytest.raises(SetupError, match="'general'"):
        Classifier(("general",))


def lm_rater(answer, *, masked=False, retries=0, names=SUMMEVAL):
    engine = FunctionEngine(lambda request: answer(inputs_of(user(request))))
    role = Role("rater", fake_lm(engine), 0.0, retries=retries)
    return LMRater(toy_rubric(*names), role, masked), engine


def test_the_lm_is_asked_about_each_wording_once():
    def answer(inputs):
        about = "fluency" if "grammar" in inputs["sentence"] else GENERAL
        return in_chat({"about": [about], "can_be_acted_on": "yes" if about == GENERAL else "no"})

    rater, engine = lm_rater(answer)
    units = ["Mind the grammar.", "Be stricter.", "Mind the grammar."]
    ratings = rater.rate(units)
    assert ratings[0] == ratings[2] == Rating({"fluency": 1.0}, actionable=False)
    assert ratings[1] == Rating({GENERAL: 1.0}, actionable=True)
    assert len(engine.requests) == 2
    rated = rate_texts(["Mind the grammar. Be stricter.", "Be stricter."], rater)
    assert [len(units) for units in rated] == [2, 1]


def test_a_sentence_about_two_criteria_counts_half_for_each():
    both = ["fluency", "relevance", "fluency"]
    rater, _ = lm_rater(lambda inputs: in_chat({"about": both, "can_be_acted_on": "yes"}))
    (rating,) = rater.rate(["Mind the grammar of what matters."])
    assert rating.mass == {"fluency": 0.5, "relevance": 0.5}
    assert Rating(**rating.as_dict()) == rating
    silent, _ = lm_rater(lambda inputs: in_chat({"about": [], "can_be_acted_on": "no"}))
    assert isinstance(silent.rate(["Mind it."])[0], Unscored)


def test_an_unknown_label_is_asked_for_again_and_then_unrated():
    rater, engine = lm_rater(
        lambda inputs: in_chat({"about": ["style"], "can_be_acted_on": "yes"}), retries=1
    )
    (rating,) = rater.rate(["Be stricter."])
    assert isinstance(rating, Unscored)
    assert len(engine.requests) == 2


def test_a_masked_rater_is_shown_no_name_in_the_text():
    seen = []

    def answer(inputs):
        seen.append(inputs["sentence"])
        return in_chat({"about": ["fluency"], "can_be_acted_on": "yes"})

    lm_rater(answer, masked=True)[0].rate(["Incoherent but fluent."])
    assert seen == ["CRIT but CRIT."]


def test_whole_texts_are_rated_from_one_to_ten_or_not_at_all():
    def answer(inputs):
        return in_chat({"focus": {"fluency": 9, "relevance": 11}[inputs["criterion"]]})

    rater, _ = lm_rater(answer)
    asked = [FocusQuestion(name, "Mind the grammar.") for name in ("fluency", "relevance")]
    nine, unread = rater.rate_focus(asked)
    assert nine == 9
    assert isinstance(unread, Unscored)


def test_adherence_is_rated_on_the_old_and_the_new_text():
    def answer(inputs):
        return in_chat({"adherence": 10 if inputs["new_instructions"] == "Count errors." else 1})

    rater, _ = lm_rater(answer)
    asked = [
        AdherenceQuestion("fluency", "Ask for a count.", "Rate it.", new)
        for new in ("Count errors.", "Rate it.")
    ]
    assert rater.rate_adherence(asked) == (10, 1)


def test_a_rater_that_is_the_coach_is_warned_about():
    models = {"rater": {"model": "toy/one"}, "coach": {"model": "toy/other"}}
    assert warning_about({"models": models}) is None
    assert "toy/one" in (warning_about({"models": {**models, "coach": models["rater"]}}) or "")


# --- real units -------------------------------------------------------------------------------


def labelled(unit, first, second, can_act=(True, True)):
    """Make a line of the file of real units."""
    return {"unit": unit, "arm": "S", "labels": [first, second], "actionable": list(can_act)}


REAL = [
    labelled("Count typos.", ["fluency"], ["fluency"]),
    labelled("Find the main fact.", ["relevance"], ["relevance", "coherence"]),
    labelled("Mind the order.", ["coherence"], ["coherence"]),
    labelled("It was long.", ["none"], ["relevance"], (False, False)),
]


def file_of(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def test_real_units_are_read_for_the_criteria_of_summeval_alone(tmp_path):
    file = file_of(tmp_path / "units.jsonl", REAL)
    assert len(real_units_for(SUMMEVAL, file)) == 4
    renamed = real_units_for(("coherence", "factuality", "fluency", "relevance"), file)
    assert len(renamed) in (0, 4)  # as the bank knows the name or not
    assert real_units_for(("coherence", "fluency"), file) == ()
    assert real_units_for(SUMMEVAL, tmp_path / "none.jsonl") == ()


@pytest.mark.parametrize(
    ["line", "named"],
    [
        ({**REAL[0], "labels": [["style"], ["fluency"]]}, "style"),
        ({**REAL[0], "labels": [["fluency"]]}, "labels"),
        ({**REAL[0], "more": 1}, "more"),
    ],
)
def test_a_line_that_is_no_labelled_unit_is_named(tmp_path, line, named):
    with pytest.raises(SetupError, match=f"line 2,.*{named}") as raised:
        read_real_units(file_of(tmp_path / "units.jsonl", [REAL[0], line]))
    assert "units.jsonl" in str(raised.value)


def test_agreement_with_readers_is_told_by_label_and_between_them(tmp_path):
    units = read_real_units(file_of(tmp_path / "units.jsonl", REAL))
    first = {unit.unit: Rating.of(*unit.labels[0], actionable=True) for unit in units}
    found = agreement_of(units, first, SUMMEVAL)
    fluency, relevance = found.by_label["fluency"], found.by_label["relevance"]
    assert fluency == Kappas((1.0, 1.0), 1.0, 0.0)
    assert relevance.with_each == pytest.approx((1.0, 0.5))
    assert (relevance.between, relevance.bias) == pytest.approx((0.5, -0.125))
    assert found.by_label["consistency"].with_each == (None, None)  # nobody says so
    assert found.by_label[ACTIONABLE].bias == 0.25
    assert found.n == 4 and all(map(found.passes, SUMMEVAL))


def test_a_rater_that_fails_on_real_units_is_not_believed_on_that_criterion():
    units = [RealUnit(**{**line, "labels": tuple(line["labels"])}) for line in REAL]
    wrong = {unit.unit: Rating.of("fluency", actionable=True) for unit in units}
    real = agreement_of(units, wrong, SUMMEVAL)
    planted = calibrate(Oracle(SUMMEVAL), n=4)
    assert replace(planted, real=real).passed(SUMMEVAL) == ("consistency",)
    assert replace(planted, real=real).passed(SUMMEVAL, yields=True) == ()  # all can be acted on
    unread = agreement_of(units, {**wrong, units[0].unit: Unscored("no reply")}, SUMMEVAL)
    assert unread.n == 3


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_kappa_is_that_of_scikit_learn(pairs):
    from sklearn.metrics import cohen_kappa_score

    one, other = zip(*pairs, strict=True)
    if len({*one, *other}) == 2:
        assert kappa(one, other) == pytest.approx(cohen_kappa_score(one, other))
    else:
        assert kappa(one, other) is None


# --- embeddings -------------------------------------------------------------------------------


def by_words(texts):
    """Embed texts by the words that they hold."""
    known = ("grammar", "reply", "facts", "thanks", "judge")
    return [[float(word in text.lower()) for word in known] for text in texts]


def test_a_unit_is_about_the_nearest_definition_and_about_two_that_are_as_near():
    criteria = [("fluency", "Is the grammar right?"), ("relevance", "Are the facts there?")]
    rubric = Rubric(
        inputs=("output",), criteria=tuple(Criterion(name, text) for name, text in criteria)
    )
    rater = EmbeddingRater(rubric, by_words)
    grammar, both, thanks = rater.rate(
        ["Count each slip of grammar.", "Mind grammar and facts.", "Thanks for all of that."]
    )
    assert (grammar.mass, grammar.actionable) == ({"fluency": 1.0}, True)
    assert both.mass == {"fluency": 0.5, "relevance": 0.5}
    assert thanks.mass == {NONE: 1.0}
    assert rater.rate([]) == ()


# --- controls ---------------------------------------------------------------------------------


def test_each_criterion_gets_its_units_and_nobody_the_rest():
    rated = [
        RatedUnit(Unit("Names", 1, "heading"), Rating.of(NONE, actionable=False)),
        pure("a"),
        RatedUnit(Unit("both", 1), Rating.of("a", "b", actionable=True)),
        pure(GENERAL),
        RatedUnit(Unit("lost", 1), Unscored("no reply")),
    ]
    assert [on_topic(rated, name) for name in ("a", "b", "c")] == ["a\nboth", "both", ""]
    assert off_topic(rated, "b") == f"a\n{GENERAL}"


def test_a_concatenation_keeps_every_unit():
    texts = ["One. Two.", "- Three\n- Four"]
    assert texts_of(concatenate(texts)) == [u for text in texts for u in texts_of(text)]


@pytest.mark.parametrize(
    ["text", "masked"],
    [
        ("Coherence, incoherent, Coherently", "CRIT, CRIT, CRIT"),
        ("the relevance of irrelevant parts", "the CRIT of CRIT parts"),
        ("fluency: non-fluent", "CRIT: CRIT"),
        ("influence, confluence", "influence, confluence"),
        ("helpfulness and unhelpful", "helpfulness and unhelpful"),
    ],
)
def test_masking_hides_names_and_their_forms(text, masked):
    assert mask(text, SUMMEVAL) == masked


def test_masking_knows_forms_of_criteria_that_the_bank_does_not():
    assert mask("Verbosity is verbose.", ("verbosity",)) == "CRIT is CRIT."
    assert mask("uses knowledge, uses_knowledge", ("uses_knowledge",)) == "CRIT, CRIT"
    assert mask("An art of artists.", ("art",)) == "An CRIT of artists."
