"""One call of a judge: what is sent, and the reply, also one without scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import dspy

from mogradjudge.judge.finish_reason import Ending, reading
from mogradjudge.judge.predictor import ScorePredict
from mogradjudge.judge.reply import is_read_by_field
from mogradjudge.judge.scores import Refused, Unscored
from mogradjudge.lm.quoting import reason_of
from mogradjudge.lm.refusals import REFUSALS, TopLogprobs, as_refusal, concerns_the_text

# A retry cannot help with a text that is too long; the cause is the text, not the provider.
_UNREADABLE = (dspy.AdapterParseError, dspy.ContextWindowExceededError)


@dataclass(frozen=True)
class Call:
    """One call; with ``logprobs``, ``least`` is the least number of alternatives per token."""

    predictor: ScorePredict
    config: Mapping[str, Any]
    logprobs: TopLogprobs | None
    least: int

    @property
    def lm(self) -> dspy.BaseLM | None:
        """The LM that is called."""
        return self.predictor.lm or dspy.settings.lm

    def after(self, refusal: Exception) -> Call:
        """Return the same call with fewer logprobs.

        Raises:
            Exception: The refusal, if fewer logprobs are no remedy.
        """
        top = self.logprobs
        config = top.config_after(refusal, self.config, self.lm, self.least) if top else None
        if config is None:
            raise as_refusal(refusal)
        return replace(self, config=config)

    def note_taken(self) -> None:
        """Note that the LM takes so many logprobs."""
        if self.logprobs is not None:
            self.logprobs.note_taken(self.config, self.lm)


@dataclass(frozen=True)
class Reply:
    """The prediction of one call, on its criteria."""

    criteria: tuple[str, ...]
    prediction: dspy.Prediction | Unscored
    trace: tuple[Any, ...] = ()


def send(call: Call, inputs: Mapping[str, object]) -> Reply:
    """Send a call, again with fewer logprobs if the LM refuses them."""
    # Threads end in any order, so each keeps its own trace; they are joined in order later.
    with dspy.context(trace=[]), reading(Ending(_no_thoughts(call))) as ending:
        try:
            prediction = call.predictor(**inputs, config=dict(call.config))
        except _UNREADABLE as error:
            return _without_scores(call, error, ending)
        except REFUSALS as error:
            if refused := _refused(call, error):
                return refused
            return send(call.after(error), inputs)
        call.note_taken()
        return _with_scores(call, prediction, ending)


async def asend(call: Call, inputs: Mapping[str, object]) -> Reply:
    """Send a call under asyncio, as `send` does."""
    with dspy.context(trace=[]), reading(Ending(_no_thoughts(call))) as ending:
        try:
            prediction = await call.predictor.acall(**inputs, config=dict(call.config))
        except _UNREADABLE as error:
            return _without_scores(call, error, ending)
        except REFUSALS as error:
            if refused := _refused(call, error):
                return refused
            return await asend(call.after(error), inputs)
        call.note_taken()
        return _with_scores(call, prediction, ending)


def _no_thoughts(call: Call) -> Collection[str]:
    """Return the fields whose tags, in XML, are no thoughts."""
    fields = call.predictor.signature.output_fields
    return fields if isinstance(dspy.settings.adapter, dspy.XMLAdapter) else ()


def _with_scores(call: Call, prediction: dspy.Prediction, ending: Ending) -> Reply:
    if ending.fault and not is_read_by_field(dspy.settings.adapter):
        return Reply(call.predictor.criteria, Unscored(f"no readable reply: {ending.reason}"))
    return Reply(call.predictor.criteria, prediction, tuple(dspy.settings.trace))


def _without_scores(call: Call, error: Exception, ending: Ending) -> Reply:
    reason = ending.reason or reason_of(error, call.lm)
    return Reply(call.predictor.criteria, Unscored(f"no readable reply: {reason}"))


def _refused(call: Call, error: dspy.LMError) -> Reply | None:
    """Return a reply without scores if the provider refuses the text, by a filter for example."""
    if not (isinstance(error, dspy.LMInvalidRequestError) and concerns_the_text(error)):
        return None
    reason = f"refused: {reason_of(error, call.lm)}"
    return Reply(call.predictor.criteria, Refused(reason, error))
