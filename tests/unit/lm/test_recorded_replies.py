"""Recorded replies: looked up by the prompt, in order, and never made up."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import dspy
import pytest

from mogradjudge import SetupError
from mogradjudge.lm.models import make_lm
from mogradjudge.lm.recorded import prompt_digest, write_replies

_SIGNATURE = "question -> answer"


def _digest(question: str) -> str:
    messages = dspy.ChatAdapter().format(
        dspy.Predict(_SIGNATURE).signature, [], {"question": question}
    )
    return prompt_digest(messages)


def _recorded(path: Path, *exchanges: tuple[str, str]) -> dspy.LM:
    replies = [
        (_digest(q), f"[[ ## answer ## ]]\n{a}\n\n[[ ## completed ## ]]") for q, a in exchanges
    ]
    write_replies(path, replies)
    return make_lm(f"recorded/{path}")


def _ask(lm: dspy.LM, question: str) -> str:
    with dspy.context(lm=lm, adapter=dspy.ChatAdapter()):
        return str(dspy.Predict(_SIGNATURE)(question=question).answer)


def test_a_prompt_has_its_own_reply(tmp_path: Path) -> None:
    lm = _recorded(tmp_path / "r.jsonl", ("Is it?", "Yes"), ("Was it?", "No"))
    assert [_ask(lm, "Was it?"), _ask(lm, "Is it?")] == ["No", "Yes"]


def test_equal_prompts_have_their_replies_in_order_and_the_last_stays(tmp_path: Path) -> None:
    lm = _recorded(tmp_path / "r.jsonl", ("Is it?", "Yes"), ("Is it?", "No")).copy(cache=False)
    assert [_ask(lm, "Is it?") for _ in range(3)] == ["Yes", "No", "No"]


def test_a_prompt_that_was_not_recorded_is_an_error(tmp_path: Path) -> None:
    lm = _recorded(tmp_path / "r.jsonl", ("Is it?", "Yes"))
    with pytest.raises(dspy.LMError, match=f"r.jsonl.*{_digest('Will it?')}"):
        _ask(lm, "Will it?")


def test_a_copy_is_the_same_recording(tmp_path: Path) -> None:
    lm = _recorded(tmp_path / "r.jsonl", ("Is it?", "Yes"))
    copies = copy.deepcopy(lm), pickle.loads(pickle.dumps(lm))
    assert [(_ask(one, "Is it?"), one.model) for one in copies] == [("Yes", lm.model)] * 2


def test_other_replies_have_another_name(tmp_path: Path) -> None:
    one = _recorded(tmp_path / "r.jsonl", ("Is it?", "Yes")).model
    assert _recorded(tmp_path / "r.jsonl", ("Is it?", "No")).model != one


@pytest.mark.parametrize("line", ["{", '{"prompt": "a"}', "[]"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"prompt": "a", "reply": "b"}}\n{line}\n')
    with pytest.raises(SetupError, match="line 2"):
        make_lm(f"recorded/{path}")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="gone"):
        make_lm(f"recorded/{tmp_path / 'gone.jsonl'}")
