"""Calls any DSPy program, and traces what its predictors read and wrote."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeAlias

import dspy
from dspy.utils.callback import BaseCallback

from mogradjudge.concurrency import WORKERS
from mogradjudge.errors import InputError, MogradError, SetupError
from mogradjudge.files import resource_error
from mogradjudge.judge.judge import MultiCriteriaJudge
from mogradjudge.judge.reply import as_a_whole
from mogradjudge.judge.scores import Refused, Unscored
from mogradjudge.lm.media import SHORTEST_VALUE, as_text, cut
from mogradjudge.lm.metering import layer_held
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


Returned: TypeAlias = Any
"""What a program returned, of any type; `Unscored` if it returned nothing."""


@dataclass(frozen=True)
class Failed(Unscored):
    """The program raised an error of its own."""


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
        """Return what the critic sees of some predictors, at most `LONGEST_TRACE` characters."""
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


def judging() -> AbstractContextManager[None]:
    """Return the context in which a program is run over many texts.

    A judge still reads its replies field by field; any other program must not get an `Unscored`
    for a field.
    """
    adapter = as_a_whole(dspy.settings.adapter)
    return dspy.context(adapter=adapter)  # type: ignore[no-any-return]


def run_program(program: dspy.Module, inputs: Mapping[str, Any]) -> Returned:
    """Run a program on one text; the result is `Unscored` if no reply can be read.

    So it is if the provider refuses the text (`Refused`), because of a content filter or its length
    for example, and if a program other than a judge raises an error of its own.

    >>> from dspy.utils import DummyLM
    >>> with dspy.context(lm=DummyLM([{"answer": "Paris"}])):
    ...     run_program(dspy.Predict("question -> answer"), {"question": "Capital?"}).answer
    'Paris'
    """
    try:
        with layer_held(), dspy.context(trace=[]):
            return call_program(program, inputs)
    except ProgramFailed as error:
        return Failed(f"the program failed: {why(error, program)}")
    except (dspy.AdapterParseError, dspy.ContextWindowExceededError) as error:
        return Unscored(f"no readable reply: {why(error, program)}")
    except dspy.LMInvalidRequestError as error:
        if isinstance(error, dspy.LMUnsupportedModelError):
            raise
        return Refused(f"refused: {why(error, program)}", error)


def why(error: Exception, program: dspy.Module) -> str:
    """Quote the beginning of an error's text, without the API keys of the program's LMs."""
    return reason_of(error, dspy.settings.lm, *lms_of(program).values())


def call_program(program: dspy.Module, inputs: Mapping[str, Any]) -> Any:
    """Call a program, also one that has only an async forward; return what it returns, of any type.

    It gets copies of the inputs, which it may change. A generator, or another iterator, that it
    returns is read to its end and becomes a list.

    A reached budget, a stop or a provider's error is raised, even if the program catches it: an
    outage is not a bad answer. The program itself handles a text that is refused or too long.

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
        is_ours = isinstance(error, (MogradError, dspy.LMError, dspy.AdapterParseError))
        if is_ours and not isinstance(error, InputError):  # of a judge inside the program
            raise
        if lack := resource_error(error):
            raise lack from error
        raise ProgramFailed(f"{type(error).__name__}: {error}") from error
    if errors:
        raise errors[0]
    if inspect.iscoroutine(returned):
        returned.close()
        raise SetupError(
            f"The forward of {type(program).__name__} is async. Rename it to aforward."
        )
    return returned


@contextmanager
def traced(program: dspy.Module) -> Iterator[Callable[[], Trace]]:
    """Trace a program's predictors inside the block; yields a function that returns the trace."""
    recorder = _TraceRecorder(program)
    with dspy.context(callbacks=[*dspy.settings.get("callbacks", []), recorder]):
        yield recorder.trace


class _TraceRecorder(BaseCallback):  # type: ignore[misc]  # dspy is untyped
    """Records every call of a predictor; DSPy's own trace leaves out those that failed."""

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
    # Look at the class: DSPy warns when other code reads an instance's forward.
    if callable(getattr(type(program), "forward", None)) or "forward" in vars(program):
        return _listed_if_iterator(program(**inputs))
    if not callable(getattr(type(program), "aforward", None)):
        raise SetupError(
            f"{type(program).__name__} has neither a forward nor an aforward. Define one."
        )
    return _listed_if_iterator(_awaited(program.acall(**inputs)))


def _listed_if_iterator(returned: Any) -> Any:
    """Make a list of an iterator: several functions read the result."""
    return list(returned) if isinstance(returned, Iterator) else returned


def _awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # This thread's loop is running, as in a notebook, so the call gets its own thread.
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
    """Return a predictor's outputs; a user's own class may return something else than fields."""
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
