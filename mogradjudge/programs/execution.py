"""Any DSPy program: how it is called, what it speaks with, what its predictors read and wrote."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils.callback import BaseCallback

from mogradjudge.concurrency import WORKERS
from mogradjudge.errors import MogradError, SetupError
from mogradjudge.files import resource_error
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.lm.media import SHORTEST_VALUE, as_text, cut
from mogradjudge.lm.quoting import reason_of
from mogradjudge.lm.refusals import NOTED_ERRORS
from mogradjudge.programs.dspy_internals import stage_of
from mogradjudge.programs.structure import copy_of, key_of, lms_of

FIRST_CALLS = 2
"""A trace holds the first calls of each predictor, and the last."""
LAST_CALLS = 3
LONGEST_VALUE = 1000
"""Characters of one value in a trace, at most."""
LONGEST_TRACE = 20_000
"""Characters of all values of a trace together, as long as each keeps `SHORTEST_VALUE`."""


class ProgramFailed(Exception):
    """A program raised an error of its own on one example."""


@dataclass(frozen=True)
class Call:
    """What a predictor read and what it wrote; where it failed, the outputs are the reason."""

    inputs: Mapping[str, object]
    outputs: Mapping[str, object] | str


@dataclass(frozen=True)
class Trace:
    """The calls of a program's predictors on one example, by the predictors' paths.

    Calls come in the order in which they began; ``left_out`` counts those after the first
    `FIRST_CALLS` and before the last `LAST_CALLS`. Values are cut to `LONGEST_VALUE`.
    """

    calls: Mapping[str, tuple[Call, ...]]
    left_out: Mapping[str, int]

    def shown(self, paths: Sequence[str]) -> dict[str, object]:
        """Give what the critic sees of some predictors, at most `LONGEST_TRACE` characters."""
        values = sum(len(_values(call)) for path in paths for call in self.calls[path])
        longest = max(SHORTEST_VALUE, LONGEST_TRACE // max(1, values))
        return {key_of(path): self._shown(path, longest) for path in paths}

    def _shown(self, path: str, longest: int) -> object:
        calls: list[object] = [
            {"inputs": _cut(call.inputs, longest), "outputs": _cut(call.outputs, longest)}
            for call in self.calls[path]
        ]
        if not calls:
            return "not called on this example"
        if left_out := self.left_out[path]:
            calls.insert(FIRST_CALLS, f"({left_out} more calls)")
        return calls


def why(error: Exception, program: dspy.Module) -> str:
    """Quote the beginning of an error's text, without the keys of the LMs that a program uses."""
    return reason_of(error, dspy.settings.lm, *lms_of(program).values())


def call_program(program: dspy.Module, inputs: Mapping[str, Any]) -> Any:
    """Call a program, also one that has only an async forward; gives what it returns, of any type.

    It is called with copies, which it may change. A generator, or another iterator, that it returns
    is read to its end and given as a list.

    A cap, a stop or a provider's error ends the call with it, also where the program catches it: an
    outage is not a bad answer. A text that is refused or too long is the program's to deal with.

    Raises:
        ProgramFailed: If the program raised an error of its own; a judge's pass through.
        SetupError: If it has no forward, or one that is async.
    """
    inputs = {name: copy_of(value) for name, value in inputs.items()}
    if isinstance(program, MultiCriteriaJudge):
        return _call(program, inputs)
    errors: list[Exception] = []
    try:
        with NOTED_ERRORS.set(errors):
            returned = _call(program, inputs)
    except Exception as error:
        if errors and error is not errors[0]:
            raise errors[0] from error
        if isinstance(error, (MogradError, dspy.LMError, dspy.AdapterParseError)):
            raise
        if lack := resource_error(error):
            raise lack from error
        raise ProgramFailed(f"{type(error).__name__}: {error}") from error
    if errors:
        raise errors[0]
    if inspect.iscoroutine(returned):
        returned.close()
        raise SetupError(f"The forward of {type(program).__name__} is async: name it aforward.")
    return returned


@contextmanager
def traced(program: dspy.Module) -> Iterator[Callable[[], Trace]]:
    """Note what a program's predictors do in the block; gives a function that tells it."""
    notes = _Notes(program)
    with dspy.context(callbacks=[*dspy.settings.get("callbacks", []), notes]):
        yield notes.trace


class _Notes(BaseCallback):  # type: ignore[misc]  # dspy is untyped
    """Hears of every call of a predictor; DSPy's own trace holds none that failed."""

    def __init__(self, program: dspy.Module) -> None:
        named = program.named_predictors()
        self._paths = {id(predictor): path for path, predictor in named}
        # A program may call copies of a predictor, as BestOfN does; they keep its stage.
        stages = Counter(stage_of(predictor) for _, predictor in named)
        self._stages = {
            stage: path for path, predictor in named if stages[stage := stage_of(predictor)] == 1
        }
        self._calls: dict[str, dict[str, Call]] = {path: {} for path, _ in named}
        self._left_out = dict.fromkeys(self._calls, 0)
        self._under_way: dict[str, tuple[dict[str, Call], dspy.Predict]] = {}

    def trace(self) -> Trace:
        calls = {path: tuple(noted.values()) for path, noted in self._calls.items()}
        return Trace(calls, dict(self._left_out))

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        if not isinstance(instance, dspy.Predict):
            return
        path = self._paths.get(id(instance)) or self._stages.get(stage_of(instance))
        if path is None:
            return
        noted = self._calls[path]
        if len(noted) == FIRST_CALLS + LAST_CALLS:
            del noted[list(noted)[FIRST_CALLS]]
            self._left_out[path] += 1
        arguments = inputs.get("kwargs", {})
        names = [name for name in instance.signature.input_fields if name in arguments]
        read = {name: arguments[name] for name in names}
        noted[call_id] = Call(_plain(read), "no result")
        self._under_way[call_id] = (noted, instance)

    def on_module_end(
        self, call_id: str, outputs: Any, exception: BaseException | None = None
    ) -> None:
        noted, predictor = self._under_way.pop(call_id, ({}, None))
        if predictor is None or call_id not in noted:
            return
        if exception is None:
            noted[call_id] = Call(noted[call_id].inputs, _written(outputs))
        else:
            noted[call_id] = Call(noted[call_id].inputs, f"failed: {_reason(exception, predictor)}")


def _call(program: dspy.Module, inputs: Mapping[str, Any]) -> Any:
    # Asked of the class: DSPy warns when anybody but itself looks at an instance's forward.
    if callable(getattr(type(program), "forward", None)) or "forward" in vars(program):
        return _in_hand(program(**inputs))
    if not callable(getattr(type(program), "aforward", None)):
        raise SetupError(f"{type(program).__name__} has neither a forward nor an aforward.")
    return _in_hand(_awaited(program.acall(**inputs)))


def _in_hand(returned: Any) -> Any:
    """Make a list of what can be read only once: several functions read it."""
    return list(returned) if isinstance(returned, Iterator) else returned


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # This thread's loop is running, in a notebook say, so the call gets a thread of its own.
    with ThreadPoolExecutor(1, WORKERS) as pool:
        return pool.submit(copy_context().run, asyncio.run, coroutine).result()


def _reason(error: BaseException, predictor: dspy.Predict) -> str:
    if isinstance(error, dspy.AdapterParseError):
        return f"no readable reply: {cut(str(error.lm_response), LONGEST_VALUE)}"
    if not isinstance(error, Exception):
        return type(error).__name__
    return f"{type(error).__name__}: {reason_of(error, predictor.lm, dspy.settings.lm)}"


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {str(name): _cut(as_text(value), LONGEST_VALUE) for name, value in values.items()}


def _written(outputs: Any) -> Mapping[str, object] | str:
    """Give a predictor's outputs; a class of the user's own may give something else than fields."""
    if isinstance(outputs, (Mapping, dspy.Example)):
        return _plain({name: value for name, value in outputs.items() if name != "logprobs"})
    return cut(str(as_text(outputs)), LONGEST_VALUE)


def _cut(value: Any, longest: int) -> Any:
    if isinstance(value, Mapping):
        return {name: _cut(item, longest) for name, item in value.items()}
    return cut(value, longest) if isinstance(value, str) else value


def _values(call: Call) -> list[object]:
    written = call.outputs.values() if isinstance(call.outputs, Mapping) else [call.outputs]
    return [*call.inputs.values(), *written]
