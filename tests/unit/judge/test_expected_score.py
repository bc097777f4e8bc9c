"""The expected score: found at its field's place, and equal to what brute force gives."""

import asyncio
import copy
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import dspy
import pytest
from dspy.lm15 import AuthError, InvalidRequestError, UnsupportedFeatureError
from hypothesis import given, settings
from hypothesis import strategies as st

from engines import FORMATS, FunctionEngine, fake_lm, token
from mogradjudge.criteria import Criterion, Rubric, Scale
from mogradjudge.errors import SetupError
from mogradjudge.judge.expected_score import Expected, Token, expected_score, read_tokens
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.scores import Reading, Unscored
from mogradjudge.lm.ledger import Ledger
from mogradjudge.lm.metering import booked
from mogradjudge.programs.execution import call_program

Piece = tuple[str, Mapping[str, float]]

CHAT, JSON, XML = (FORMATS[name][0]() for name in ("chat", "json", "xml"))
ONE_TO_FIVE = Scale(1, 5)
FOUR_OR_FIVE = {"4": 0.75, "5": 0.25}


def cut(text: str, *places: Mapping[str, float]) -> list[Piece]:
    """Cut a reply into characters, each certain, but put a token with alternatives at each ``@``.

    The first alternative is what the model took.
    """
    marked = iter(places)
    tokens = [next(marked) if char == "@" else {char: 1.0} for char in text]
    return [(next(iter(alternatives)), alternatives) for alternatives in tokens]


def locate(
    pieces: Sequence[Piece], adapter: dspy.Adapter, written: int, scale: Scale = ONE_TO_FIVE
) -> Expected | None:
    tokens = [Token(text, alternatives) for text, alternatives in pieces]
    return expected_score(tokens, "coherence", scale, adapter, written)


class TestPlace:
    """The score is read where the adapter reads it, whatever else stands in the reply."""

    @pytest.mark.parametrize(
        ["adapter", "reply"],
        [
            (CHAT, "[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## coherence ## ]]\n@\n\n[[ ## completed ## ]]"),
            (CHAT, "[[ ## coherence ## ]] @"),
            (CHAT, "  [[ ## coherence ## ]]\n\n  @.0"),
            (CHAT, '[[ ## coherence ## ]]\n"@"'),
            (CHAT, "5 of 5!\n\n[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## rationale ## ]]\n1 2 3 of 5\n\n[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## rationale ## ]]\nsee [[ ## coherence ## ]] 1\n[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## coherence2 ## ]]\n1\n\n[[ ## coherence ## ]]\n@\n[[ ## q5 ## ]]\n2"),
            (CHAT, "[[ ## q1_coherence ## ]]\n1\n\n[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## coherence ## ]]\n4\n\n[[ ## coherence ## ]]\n@"),
            (CHAT, '```json\n{"coherence": @}\n```'),
            (CHAT, "<think>\n[[ ## coherence ## ]]\n1\n</think>\n[[ ## coherence ## ]]\n@"),
            (CHAT, "[[ ## coherence ## ]]\n1\n</think>\n[[ ## coherence ## ]]\n@"),
            (JSON, '<think>{"coherence": 1}</think>{"coherence": @}'),
            (XML, "<think><coherence>1</coherence></think><coherence>@</coherence>"),
            (CHAT, "[[ ## coherence ## ]]\nScore: @"),
            (CHAT, "[[ ## coherence ## ]]\n**@/5**"),
            (CHAT, "[[ ## coherence ## ]]\n`@` out of 5"),
            (CHAT, "[[ ## coherence ## ]]\n@ - good"),
            (CHAT, "[[ ## coherence ## ]]\n@\n\nBecause it flows."),
            (JSON, '{"coherence": "@/5"}'),
            (XML, "<coherence>Rating: @ (Good)</coherence>"),
            (JSON, '{"coherence": @}'),
            (JSON, '{"coherence":@, "q5": 2}'),
            (JSON, '{\n  "coherence" :\n  "@"\n}'),
            (JSON, '```json\n{"coherence": @}\n```'),
            (JSON, '1 of 5: {"coherence": @} 2'),
            (JSON, '{"rationale": "1 of 5, \\"coherence\\": 2", "coherence": @}'),
            (JSON, '{"rationale": "a line\nand another: 3", "coherence": @}'),
            (JSON, '{"q1": 1, "coherence2": 2, "coherence": @, "fluency": 3}'),
            (JSON, '{"detail": {"coherence": 1}, "list": [1, 2], "coherence": @}'),
            (XML, "<coherence>@</coherence>"),
            (XML, "<coherence>\n  @\n</coherence>\n<q5>2</q5>"),
            (XML, "<rationale>1 of 5</rationale><coherence>@</coherence>"),
            (XML, "<q1>1</q1><coherence2>2</coherence2><coherence>@</coherence>"),
        ],
    )
    def test_the_token_at_the_fields_place_is_weighed(self, adapter, reply):
        expected = locate(cut(reply, FOUR_OR_FIVE), adapter, 4)
        assert expected == Expected(4.25, ((4, 0.75), (5, 0.25)), 1.0)

    @pytest.mark.parametrize(
        ["adapter", "reply"],
        [
            (CHAT, ""),
            (CHAT, "4"),
            (CHAT, "[[ ## coherence ## ]]\n4\n\n[[ ## coherence ## ]]\n1"),
            (CHAT, "[[ ## coherence ## ]]"),
            (CHAT, "[[ ## coherence ## ]]\n\n[[ ## fluency ## ]]\n4"),
            (CHAT, "[[ ## coherence ## ]]\nabout 4"),
            (JSON, "[[ ## coherence ## ]]\n4"),
            (JSON, '{"coherence'),
            (JSON, '{"coherence": "", "fluency": 4}'),
            (JSON, '{"fluency": 4}'),
            (JSON, '{"detail": {"coherence": 4}}'),
            (JSON, '{"a": ' * 5000),
            (XML, "<fluency>4</fluency>"),
            (XML, "<coherence></coherence><fluency>4</fluency>"),
        ],
    )
    def test_a_field_that_is_not_there_has_no_expected_score(self, adapter, reply):
        assert locate(cut(reply), adapter, 4) is None

    @pytest.mark.parametrize(
        ["adapter", "reply"],
        [  # the adapter reads the 2
            (JSON, '{"coherence": @}\n{"coherence": 2}'),
            (JSON, '{"coherence": @, "coherence": 2}'),
            (XML, "<rationale><coherence>@</coherence></rationale><coherence>2</coherence>"),
        ],
    )
    def test_another_score_than_the_one_read_is_not_weighed(self, adapter, reply):
        assert locate(cut(reply, FOUR_OR_FIVE), adapter, 2) is None

    @pytest.mark.parametrize("spelled", ["{}", " {}", "\n{}", "\n\n{}", ' "{}', "{}\n\n", "{}."])
    @pytest.mark.parametrize(
        ["adapter", "reply"],
        [
            (CHAT, "[[ ## coherence ## ]]@\n"),
            (JSON, '{"coherence":@}'),
            (XML, "<coherence>@</coherence>"),
        ],
    )
    def test_blanks_and_quotes_in_the_scores_own_token_do_not_hide_it(
        self, adapter, reply, spelled
    ):
        at = {spelled.format(4): 0.75, spelled.format(5): 0.25}
        expected = locate(cut(reply, at), adapter, 4)
        assert expected == Expected(4.25, ((4, 0.75), (5, 0.25)), 1.0)

    @pytest.mark.parametrize(
        ["adapter", "reply", "spelled"],
        [
            (CHAT, "[[ ## coherence ## @", "]]\n{}"),
            (JSON, '{"coherence@}', '": {}'),
            (XML, "<coherence@</coherence>", ">\n{}"),
        ],
    )
    def test_the_end_of_a_marker_in_the_scores_own_token_does_not_hide_it(
        self, adapter, reply, spelled
    ):
        at = {spelled.format(4): 0.75, spelled.format(5): 0.25}
        expected = locate(cut(reply, at), adapter, 4)
        assert expected == Expected(4.25, ((4, 0.75), (5, 0.25)), 1.0)

    def test_digits_of_another_width_are_digits(self):
        expected = locate(cut("[[ ## coherence ## ]]\n@", {"\uff14": 0.75, "5": 0.25}), CHAT, 4)
        assert expected == Expected(4.25, ((4, 0.75), (5, 0.25)), 1.0)

    @pytest.mark.parametrize("spelling", ["@/10", "@@/10", "@ / 10", "Score: @ out of 10"])
    def test_a_share_of_the_scales_top_is_the_score_of_its_first_digits(self, spelling):
        places = [{"1": 0.8, "2": 0.2}, {"0": 1.0}][: spelling.count("@")]
        written = 10 if len(places) > 1 else 1
        text = "[[ ## coherence ## ]]\n" + spelling
        expected = locate(cut(text, *places), CHAT, written, Scale(1, 10))
        assert dict(expected.distribution)[written] == pytest.approx(0.8)

    @pytest.mark.parametrize("written", ["@-5", "@.5", "@/10", "@ or 5", "about @"])
    def test_what_is_no_score_is_not_weighed(self, written):
        pieces = cut(f"[[ ## coherence ## ]]\n{written}", FOUR_OR_FIVE)
        assert locate(pieces, CHAT, 4) is None

    def test_one_score_spelled_in_several_ways_is_one_score(self):
        at = {"4": 0.3, " 4": 0.2, "\n4": 0.1, "5": 0.2, " 5": 0.2}
        expected = locate(cut("[[ ## coherence ## ]]\n@", at), CHAT, 4)
        assert dict(expected.distribution) == pytest.approx({4: 0.6, 5: 0.4})

    @pytest.mark.parametrize("other", ["x", "6", "0", "44", "4.5", "4/9", "-4", "four", ""])
    def test_what_is_no_score_of_the_scale_only_lowers_the_support(self, other):
        at = {"4": 0.6, other: 0.4}
        expected = locate(cut("[[ ## coherence ## ]]\n@\n", at), CHAT, 4)
        assert expected == Expected(4.0, ((4, 1.0),), 0.6)

    def test_scores_below_zero_are_weighed(self):
        reply = cut("[[ ## coherence ## ]]\n@@\n", {"-": 0.75, "1": 0.25}, {"1": 0.5, "2": 0.5})
        expected = locate(reply, CHAT, -1, Scale(-2, 2))
        assert dict(expected.distribution) == pytest.approx({-2: 0.375, -1: 0.375, 1: 0.25})


# How a token may spell a score, and what a token may hold instead.
SPELLINGS = ["{}", " {}", "\n{}", '"{}', "{}\n\n", "{}.", "{},"]
NOISE = ["x", "", "The", "99", "-9", "0.5", "1/2", "[["]  # 1/2 is 1 out of 2 where 2 is the top
REPLIES = [
    (CHAT, "[[ ## rationale ## ]]\n1, 2, 3.\n\n[[ ## coherence ## ]]\n@\n[[ ## q5 ## ]]\n2"),
    (JSON, '{"q1": 2, "rationale": "1, 2", "coherence": @, "q2": 3}'),
    (XML, "<q1>2</q1><rationale>3</rationale>\n<coherence>@</coherence><q5>1</q5>"),
]


@st.composite
def distributions(draw: st.DrawFn, texts: Sequence[str]) -> dict[str, float]:
    """Draw probabilities of some texts; what they leave was not among those sent."""
    weights = draw(st.lists(st.floats(1e-6, 1.0), min_size=len(texts), max_size=len(texts)))
    share = draw(st.floats(0.1, 1.0))
    return {t: share * w / sum(weights) for t, w in zip(texts, weights, strict=True)}


@st.composite
def single_digits(draw: st.DrawFn) -> tuple[Scale, dict[str, tuple[int | None, float]], str]:
    """Draw a scale, what each alternative spells and how probable it is, and the one taken."""
    low = draw(st.integers(0, 8))
    scale = Scale(low, draw(st.integers(low + 1, 9)))
    spelled = {
        form.format(score): score
        for score in scale.values
        for form in draw(st.lists(st.sampled_from(SPELLINGS), max_size=2, unique=True))
    }
    taken = str(draw(st.sampled_from(scale.values)))
    noise = draw(st.lists(st.sampled_from(NOISE), max_size=3, unique=True))
    meant: dict[str, int | None] = {taken: int(taken), **spelled, **dict.fromkeys(noise)}
    if "1/2" in meant and scale.high == 2:
        meant["1/2"] = 1
    probable = draw(distributions(list(meant)))
    return scale, {text: (meant[text], probable[text]) for text in meant}, taken


@pytest.mark.slow
@given(drawn=single_digits(), reply=st.sampled_from(REPLIES))
@settings(max_examples=200)
def test_it_is_the_expectation_of_the_normalized_alternatives(drawn, reply):
    scale, alternatives, taken = drawn
    adapter, text = reply
    at = {text: probability for text, (_, probability) in alternatives.items()}
    expected = locate(cut(text, at), adapter, int(taken), scale)

    on_scale = [(score, p) for score, p in alternatives.values() if score is not None]
    support = math.fsum(p for _, p in on_scale)
    assert expected.score == pytest.approx(math.fsum(s * p for s, p in on_scale) / support)
    assert expected.support == pytest.approx(support)
    assert scale.low <= expected.score <= scale.high
    assert math.fsum(p for _, p in expected.distribution) == pytest.approx(1.0)
    assert [score for score, _ in expected.distribution] == sorted({score for score, _ in on_scale})


FIRST = ["1", "10", "2", "0", "7", "x", "12"]
SECOND = ["0", "\n", "\n\n", " of 10", "1", "00", "."]


def brute_force(
    first: Mapping[str, float], second: Mapping[str, float], scale: Scale
) -> dict[int, float]:
    """Spell out every reply of a model of two tokens, where the second follows a lone 1."""
    replies = {
        one + two: p * q
        for one, p in first.items()
        for two, q in (second if one == "1" else {"\n": 1.0}).items()
    }
    masses: dict[int, float] = {}
    for text, probability in replies.items():
        number = re.match(r"\d+", text)
        if number and int(number.group()) in scale.values:
            score = int(number.group())
            masses[score] = masses.get(score, 0.0) + probability
    return masses


class TestScoresOfSeveralTokens:
    @given(first=distributions(FIRST), second=distributions(SECOND), reply=st.sampled_from(REPLIES))
    @pytest.mark.parametrize("end", ["0", "\n"])
    @settings(max_examples=60)
    def test_ten_in_two_tokens_equals_brute_force(self, end, first, second, reply):
        adapter, text = reply
        second = {end: second[end], **second}  # what the model took stands first
        scale = Scale(0, 10)
        expected = locate(
            cut(text.replace("@", "@@"), first, second), adapter, int(f"1{end}"), scale
        )
        masses = brute_force(first, second, scale)
        support = math.fsum(masses.values())
        assert expected.support == pytest.approx(support)
        assert dict(expected.distribution) == pytest.approx(
            {score: mass / support for score, mass in masses.items()}
        )

    @given(first=distributions(FIRST))
    @settings(max_examples=30)
    def test_what_would_have_followed_an_untaken_one_is_unknown(self, first):
        first = {"7": first["7"], **first}
        expected = locate(cut("[[ ## coherence ## ]]\n@\n", first), CHAT, 7, Scale(0, 10))
        assert expected.support == pytest.approx(sum(first[text] for text in ("0", "2", "7", "10")))
        assert 1 not in dict(expected.distribution)

    def test_a_leading_blank_does_not_part_the_tokens_of_a_score(self):
        first, second = {" 1": 0.8, " 2": 0.2}, {"0": 0.5, "\n": 0.5}
        expected = locate(cut('{"coherence":@@}', first, second), JSON, 10, Scale(0, 10))
        assert dict(expected.distribution) == pytest.approx({1: 0.4, 2: 0.2, 10: 0.4})

    def test_a_reply_that_ends_on_the_one_scores_one(self):
        expected = locate(
            cut("[[ ## coherence ## ]]\n@", {"1": 0.8, "2": 0.2}), CHAT, 1, Scale(0, 10)
        )
        assert dict(expected.distribution) == pytest.approx({1: 0.8, 2: 0.2})

    def test_a_hundred_in_three_tokens(self):
        path = {"1": 0.5, "2": 0.5}, {"0": 0.5, "\n": 0.5}, {"0": 0.5, "\n": 0.5}
        expected = locate(cut("[[ ## coherence ## ]]\n@@@\n", *path), CHAT, 100, Scale(0, 100))
        assert dict(expected.distribution) == pytest.approx({1: 0.5, 10: 0.25, 100: 0.25})
        assert expected.support == pytest.approx(0.5)  # what follows the 2 is unknown


class TestReadTokens:
    def content(self, *entries):
        return {
            "content": [
                {
                    "token": text,
                    "logprob": math.log(p),
                    "top_logprobs": [{"token": t, "logprob": math.log(q)} for t, q in top],
                }
                for text, p, top in entries
            ]
        }

    def probabilities(self, *top, text="4", p=0.5):
        (read,) = read_tokens(self.content((text, p, top)))
        return dict(read.alternatives)

    @pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}])
    def test_none_were_sent(self, logprobs):
        assert read_tokens(logprobs) == ()

    def test_a_token_without_alternatives_is_as_good_as_none(self):
        assert read_tokens(self.content(("a", 0.9, [("a", 0.9)]), ("4", 0.9, []))) == ()

    @pytest.mark.parametrize("logprob", [800.0, 1e308, math.inf, math.nan, 0.5, None, "much", []])
    def test_what_is_no_logarithm_of_a_probability_supports_nothing(self, logprob):
        sound = self.content(("4", 0.5, [("4", 0.5), ("5", 0.5)]))["content"][0]
        for broken in (
            {**sound, "top_logprobs": [{"token": "4", "logprob": logprob}]},
            {**sound, "logprob": logprob},
        ):
            first, second = read_tokens({"content": [broken, sound]})
            assert first == Token("4", {"4": 0.0})
            assert second.alternatives == pytest.approx({"4": 0.5, "5": 0.5})

    @pytest.mark.parametrize("logprob", [0.0, 1e-6, -800.0, -math.inf])
    def test_a_server_may_round_and_may_call_a_token_impossible(self, logprob):
        entry = {"token": "4", "logprob": logprob}
        (token,) = read_tokens({"content": [{**entry, "top_logprobs": [entry]}]})
        assert token.alternatives == {"4": math.exp(min(logprob, 0.0))}

    def test_the_token_that_was_taken_counts_where_it_is_not_listed(self):
        expected = self.probabilities(("5", 0.25), ("3", 0.125))
        assert expected == pytest.approx({"5": 0.25, "3": 0.125, "4": 0.5})

    def test_two_tokens_of_one_text_add_up(self):
        assert self.probabilities(("4", 0.5), ("4", 0.25)) == pytest.approx({"4": 0.75})

    def test_a_token_that_is_listed_twice_counts_once(self):
        assert self.probabilities(("4", 0.5), ("5", 0.2), ("4", 0.5)) == pytest.approx(
            {"4": 0.5, "5": 0.2}
        )


RUBRIC = Rubric(
    inputs=("output",),
    criteria=(
        Criterion("coherence", "Does it hang together?"),
        Criterion("level5", "Is it at level 5 of 5?", scale=(0, 10)),
    ),
)
SHAPES = {
    "chat": "[[ ## rationale ## ]]\n1 of 5\n\n[[ ## coherence ## ]]\n@\n\n[[ ## level5 ## ]]\n@@\n",
    "json": '{"rationale": "1 of 5", "coherence": @, "level5": @@}',
    "xml": "<rationale>1 of 5</rationale><coherence>@</coherence><level5>@@</level5>",
}
TEN = {"1": 0.5, "8": 0.5}, {"0": 1.0}


def wire(pieces):
    return [token(text, alternatives) for text, alternatives in pieces]


def rate(reply, adapter=None, **options):
    engine = FunctionEngine(lambda _: reply)
    judge = MultiCriteriaJudge(RUBRIC, score_rule="expected", rationale=True, **options)
    with dspy.context(lm=fake_lm(engine), adapter=adapter):
        return judge(output="A text.")


WRITTEN = "".join(text for text, _ in cut(SHAPES["chat"], FOUR_OR_FIVE, *TEN))
BARE = {"no logprobs": WRITTEN, "no alternatives": [token(char, {}) for char in WRITTEN]}


class TestJudge:
    @pytest.mark.parametrize("format", FORMATS)
    def test_readings_carry_score_distribution_and_support(self, format):
        at = {"4": 0.5, "5": 0.25, "x": 0.25}
        reply = wire(cut(SHAPES[format], at, *TEN))
        prediction = rate(reply, FORMATS[format][0]())
        assert prediction.coherence == pytest.approx(13 / 3)
        assert prediction.level5 == pytest.approx(9.0)
        reading = prediction.readings["coherence"]
        assert reading.score == prediction.coherence
        assert reading.source == "expected"
        assert dict(reading.distribution) == pytest.approx({4: 2 / 3, 5: 1 / 3})
        assert reading.support == pytest.approx(0.75)
        assert reading.rationale == "1 of 5"
        assert prediction.readings["level5"].distribution == ((8, 0.5), (10, 0.5))

    @pytest.mark.parametrize("format", FORMATS)
    def test_support_below_a_half_is_unscored(self, format):
        reply = wire(cut(SHAPES[format], {"4": 0.3, "5": 0.1, "x": 0.6}, *TEN))
        prediction = rate(reply, FORMATS[format][0]())
        assert isinstance(prediction.coherence, Unscored)
        assert "0.40" in prediction.coherence.reason
        assert prediction.readings["coherence"].support == pytest.approx(0.4)
        assert prediction.level5 == pytest.approx(9.0)

    def test_support_of_a_half_is_enough(self):
        reply = wire(cut(SHAPES["json"], {"4": 0.5, "x": 0.5}, *TEN))
        assert rate(reply, dspy.JSONAdapter()).coherence == 4.0

    @pytest.mark.parametrize("format", FORMATS)
    def test_with_a_fallback_the_integer_stands_in_and_says_so(self, format):
        reply = wire(cut(SHAPES[format], {"4": 0.3, "x": 0.7}, *TEN))
        prediction = rate(reply, FORMATS[format][0](), fallback="integer")
        assert prediction.readings["coherence"] == Reading(4, "fallback", rationale="1 of 5")
        assert prediction.readings["level5"].source == "expected"

    @pytest.mark.parametrize("reply", BARE)
    def test_without_logprobs_the_caller_must_choose(self, reply):
        with pytest.raises(SetupError, match=r"needs token logprobs.*fallback='integer'"):
            rate(BARE[reply])

    @pytest.mark.parametrize("reply", BARE)
    def test_without_logprobs_a_fallback_gives_the_integers(self, reply):
        prediction = rate(BARE[reply], fallback="integer")
        assert (prediction.coherence, prediction.level5) == (4, 10)
        assert {reading.source for reading in prediction.readings.values()} == {"fallback"}

    def test_an_unreadable_score_is_unscored_whatever_its_tokens_say(self):
        pieces = cut(SHAPES["chat"], {"x": 0.4, "4": 0.6}, *TEN)
        prediction = rate(wire(pieces), fallback="integer")
        assert isinstance(prediction.coherence, Unscored)
        assert prediction.readings["coherence"].source == "expected"
        assert prediction.level5 == pytest.approx(9.0)

    @pytest.mark.parametrize(
        "reply",
        [
            '{"coherence": @, "level5": @@}\n{"coherence": 2, "level5": 3}',
            '{"coherence": @, "level5": @@, "coherence": 2, "level5": 3}',
        ],
    )
    def test_of_two_scores_for_one_criterion_none_is_weighed(self, reply):
        pieces = cut(reply, FOUR_OR_FIVE, *TEN)
        prediction = rate(wire(pieces), dspy.JSONAdapter(), fallback="integer")
        for name in ("coherence", "level5"):
            assert isinstance(prediction[name], Unscored)
            assert name in prediction[name].reason

    def test_each_separate_call_is_weighed_by_its_own_tokens(self):
        def reply(request):
            text, places = (
                ("[[ ## coherence ## ]]\n@\n", [FOUR_OR_FIVE])
                if "`coherence`" in str(request.system)
                else ("[[ ## level5 ## ]]\n@@\n", TEN)
            )
            return wire(cut("[[ ## rationale ## ]]\n5\n" + text, *places))

        judge = MultiCriteriaJudge(RUBRIC, "separate", "expected")
        with dspy.context(lm=fake_lm(FunctionEngine(reply))):
            prediction = judge(output="A text.")
        assert (prediction.coherence, prediction.level5) == (4.25, pytest.approx(9.0))


TOP_TOO_MANY = "Invalid value for 'top_logprobs': must be less than or equal to {}."
REFUSING = {
    "400": lambda most: InvalidRequestError("logprobs is not supported by this model"),
    "403": lambda most: AuthError("You are not allowed to request logprobs from this model"),
    "of DSPy": lambda most: UnsupportedFeatureError("no logprobs here", feature="logprobs"),
    "a number": lambda most: InvalidRequestError(TOP_TOO_MANY.format(most)),
}


class Sparing(FunctionEngine):
    """Gives at most so many alternatives to a token, and refuses to give more."""

    def __init__(self, most: int, refusal: str) -> None:
        super().__init__(lambda _: [])
        self.most, self.refusal = most, refusal
        self.alternatives_asked: list[int] = []

    def complete(self, request):
        alternatives_asked = request.config.logprobs or 0
        self.alternatives_asked.append(alternatives_asked)
        if alternatives_asked > self.most:
            raise REFUSING[self.refusal](self.most)
        text = "[[ ## coherence ## ]]\n4\n\n[[ ## completed ## ]]"
        self.reply = lambda _: (
            [token(each) for each in re.split("(4)", text)] if alternatives_asked else text
        )
        return super().complete(request)


def judged_by(engine: FunctionEngine, **settings: object):
    rubric = Rubric(inputs=("output",), criteria=(Criterion("coherence", "?"),))
    judge = MultiCriteriaJudge(rubric, score_rule="expected", **settings)
    return judge, fake_lm(engine)


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("refusal", ["400", "403", "of DSPy"])
def test_logprobs_that_are_refused_cannot_be_had_and_are_not_asked_for_again(refusal, awaited):
    engine = Sparing(0, refusal)
    judge, lm = judged_by(engine, fallback="integer")
    with dspy.context(lm=lm):
        for text in ("a", "b", "c"):
            judge = copy.deepcopy(judge)  # as each step of a run does
            rated = asyncio.run(judge.acall(output=text)) if awaited else judge(output=text)
            assert (rated.coherence, rated.readings["coherence"].source) == (4, "fallback")
    assert engine.alternatives_asked == [20, 5, 0, 0, 0]


@pytest.mark.parametrize("fallback", [None, "integer"])
@pytest.mark.parametrize(["most", "refusal"], [(5, "400"), (5, "403"), (3, "a number")])
def test_fewer_logprobs_are_tried_first_with_and_without_a_fallback(most, refusal, fallback):
    engine = Sparing(most, refusal)
    judge, lm = judged_by(engine, fallback=fallback)
    with dspy.context(lm=lm):
        sources = [judge(output=text).readings["coherence"].source for text in "ab"]
    assert sources == ["expected"] * 2
    assert engine.alternatives_asked == [20, most, most]


class Filtering(Sparing):
    """Refuses one text with words of its own, and gives 20 alternatives for all others."""

    def __init__(self, words: str, gives_without: bool) -> None:
        super().__init__(20, "400")
        self.words, self.gives_without = words, gives_without

    def complete(self, request):
        if "bad text" in str(request) and (request.config.logprobs or not self.gives_without):
            raise InvalidRequestError(self.words)
        return super().complete(request)


@pytest.mark.parametrize("first", [["bad text"], ["good", "bad text"]])
@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("words", ["flagged: logprob", "Not possible: 'bad text on logprob'"])
def test_one_refused_text_takes_logprobs_from_no_other(words, awaited, first):
    judge, lm = judged_by(Filtering(words, gives_without=False), fallback="integer")
    with dspy.context(lm=lm):
        for text in first:
            with suppress(dspy.LMInvalidRequestError):
                asyncio.run(judge.acall(output=text)) if awaited else judge(output=text)
        rated = judge(output="another")
    assert rated.readings["coherence"].source == "expected"


def test_a_text_that_is_taken_without_logprobs_takes_none_from_those_that_had_them():
    judge, lm = judged_by(Filtering("no logprobs here", gives_without=True), fallback="integer")
    with dspy.context(lm=lm):
        texts = ("good", "bad text", "another")
        sources = [judge(output=text).readings["coherence"].source for text in texts]
    assert sources == ["expected", "fallback", "expected"]


def test_without_a_fallback_refused_logprobs_are_the_providers_error():
    judge, lm = judged_by(Sparing(0, "400"))
    with dspy.context(lm=lm), pytest.raises(dspy.LMInvalidRequestError, match="logprobs"):
        judge(output="a")


def test_another_refusal_is_no_reason_to_ask_without_logprobs():
    class Wrong(FunctionEngine):
        def complete(self, request):
            self.requests.append(request)
            raise AuthError("no such key")

    engine = Wrong(lambda _: [])
    judge, lm = judged_by(engine, fallback="integer")
    with dspy.context(lm=lm), pytest.raises(dspy.LMAuthError):
        judge(output="a")
    assert len(engine.requests) == 1


def test_a_program_around_a_judge_has_not_failed_where_logprobs_are_refused():
    class Around(dspy.Module):
        def __init__(self, judge: MultiCriteriaJudge) -> None:
            super().__init__()
            self.judge = judge

        def forward(self, output: str) -> dspy.Prediction:
            return self.judge(output=output)

    judge, lm = judged_by(Sparing(0, "403"), fallback="integer")
    with dspy.context(lm=lm), booked(Ledger(), "judge", ("coherence",)):
        assert call_program(Around(judge), {"output": "a"}).coherence == 4
