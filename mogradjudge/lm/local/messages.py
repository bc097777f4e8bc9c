"""Converts DSPy's requests to llama.cpp's format, and its replies to DSPy's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dspy import lm15

from mogradjudge.lm.quoting import without_control_tokens

_CHARS_PER_TOKEN = 3  # a low estimate: English text has about four
_SHORTEST_TEXT = 40  # characters
_SENTENCES = re.compile(r".*[.!?][\"')\]]*(?=\s|$)", re.DOTALL)


def payload_of(request: lm15.Request) -> dict[str, Any]:
    """Convert a request to llama.cpp's format.

    >>> request = lm15.Request(model="local/smollm2", messages=[lm15.Message.user("Hello")])
    >>> payload_of(request)["messages"]
    [{'role': 'user', 'content': 'Hello'}]
    """
    config = request.config
    _check_supported(request)
    payload = {
        "messages": _messages(request),
        "temperature": 0.0 if config.temperature is None else config.temperature,
        "cache_prompt": True,
        "max_tokens": config.max_tokens,
        "top_p": config.top_p,
        "top_k": config.top_k,
        "seed": config.seed,
        "stop": list(config.stop) or None,
        "frequency_penalty": config.frequency_penalty,
        "presence_penalty": config.presence_penalty,
        "grammar": _grammar(config.response_format, _longest_text(request)),
    }
    if config.logprobs is not None:
        # Without alternatives llama.cpp reports no tokens at all.
        payload |= {"logprobs": True, "top_logprobs": max(config.logprobs, 1)}
    return {key: value for key, value in payload.items() if value is not None}


def _check_supported(request: lm15.Request) -> None:
    config = request.config
    unsupported = {
        "tools": request.tools,
        "config.reasoning": config.reasoning,
        "config.extensions": config.extensions,
    }
    for feature, value in unsupported.items():
        if value:
            raise lm15.UnsupportedFeatureError(
                f"A local model does not support `{feature}`, got {value!r}. Leave it out.",
                feature=feature,
            )


def _messages(request: lm15.Request) -> list[dict[str, str]]:
    # llama.cpp reads a prompt as a whole, so control tokens anywhere in it would take effect.
    messages = []
    if request.system is not None:
        messages.append(
            {"role": "system", "content": without_control_tokens(_system(request.system))}
        )
    for position, message in enumerate(request.messages):
        if message.text is None or message.role == "tool":
            raise lm15.UnsupportedFeatureError(
                f"A local model reads text only, got a {message.role} message with "
                f"{', '.join(part.type for part in message.parts)}.",
                feature=f"messages[{position}]",
            )
        role = "system" if message.role == "developer" else message.role
        messages.append({"role": role, "content": without_control_tokens(message.text)})
    return messages


def _system(system: Any) -> str:
    if isinstance(system, str):
        return system
    if any(part.type != "text" for part in system):
        raise lm15.UnsupportedFeatureError("A local model reads text only.", feature="system")
    return "\n".join(part.text for part in system)


def _grammar(response_format: dict[str, Any] | None, longest: int | None) -> str | None:
    """Write a JSON schema as a grammar that bounds texts to ``longest`` characters.

    llama.cpp's own ``response_format`` would allow a Markdown fence around the object.
    """
    if response_format is None:
        return None
    schema = json.loads(json.dumps(response_format.get("schema", {"type": "object"})))
    for text in _free_texts(schema) if longest is not None else ():
        text["maxLength"] = longest
    # A weak model that may write white space anywhere may write nothing else to the end.
    schema["x-guidance"] = {
        "lenient": True,  # ignores unknown keywords
        "whitespace_flexible": False,
        "item_separator": ", ",
        "key_separator": ": ",
    }
    return f"%llguidance {{}}\nstart: %json {json.dumps(schema)}"


def _free_texts(schema: object) -> Iterator[dict[str, Any]]:
    """Find the parts of a schema that allow a text of any length."""
    if isinstance(schema, dict):
        if schema.get("type") == "string" and not {"enum", "const", "maxLength"} & schema.keys():
            yield schema
        for part in schema.values():
            yield from _free_texts(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _free_texts(part)


def _longest_text(request: lm15.Request) -> int | None:
    """Divide the reply's characters among the texts without a limit.

    A weak model does not stop by itself, and a cut reply is not valid JSON.
    """
    config = request.config
    texts = list(_free_texts((config.response_format or {}).get("schema")))
    if config.max_tokens is None or not texts:
        return None
    shared: int = config.max_tokens * _CHARS_PER_TOKEN // len(texts)
    return max(_SHORTEST_TEXT, shared)


def response_of(request: lm15.Request, reply: dict[str, Any]) -> lm15.Response:
    """Read llama.cpp's reply."""
    choice = reply["choices"][0]
    text = choice["message"].get("content") or ""
    if choice["finish_reason"] == "length":
        text = text.rstrip("\ufffd")  # an answer may be cut within a character
    elif request.config.response_format and not request.config.stop:
        _check_json(text)
    usage, finish_reason = reply["usage"], choice["finish_reason"]
    if (longest := _longest_text(request)) is not None and _has_text_of(text, longest):
        finish_reason = "length"  # the object is whole, but a text in it was cut
        if (whole := _in_whole_sentences(json.loads(text), longest)) is not None:
            text, finish_reason = json.dumps(whole, ensure_ascii=False), "stop"
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant([lm15.TextPart(text)]),
        finish_reason=finish_reason,
        usage=lm15.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=usage["completion_tokens"],
            cache_read_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens"),
        ),
        logprobs=_logprobs(request.config.logprobs, choice),
    )


def _has_text_of(reply: str, length: int) -> bool:
    """Return whether a JSON reply contains a text of at least ``length`` characters."""
    try:
        parts = [json.loads(reply)]
    except ValueError:
        return False
    for part in parts:  # it grows on the way
        if isinstance(part, str) and len(part) >= length:
            return True
        parts += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return False


def _in_whole_sentences(part: Any, longest: int) -> Any:
    """End each cut text after its last whole sentence; None if a text has none."""
    if isinstance(part, str):
        return part if len(part) < longest else _whole_sentences(part)
    if not isinstance(part, (dict, list)):
        return part
    keys = part if isinstance(part, dict) else range(len(part))
    parts = {key: _in_whole_sentences(part[key], longest) for key in keys}
    if any(new is None and part[key] is not None for key, new in parts.items()):
        return None
    return parts if isinstance(part, dict) else list(parts.values())


def _whole_sentences(text: str) -> str | None:
    match = _SENTENCES.match(text)
    return None if match is None else match[0]


def _check_json(text: str) -> None:
    """Refuse a complete answer that is not JSON: llama.cpp silently ignores an invalid schema."""
    try:
        json.loads(text)
    except ValueError as error:
        raise lm15.InvalidRequestError(
            f"The answer does not follow `response_format`; it begins {text[:60]!r}. The schema is "
            "probably invalid: check it."
        ) from error


def _logprobs(
    alternatives: int | None, choice: dict[str, Any]
) -> tuple[lm15.TokenLogprob, ...] | None:
    """Read the tokens, whose texts together are the answer.

    llama.cpp reports several tokens of one character as one.
    """
    if alternatives is None:
        return None
    tokens = (choice.get("logprobs") or {}).get("content") or ()
    return tuple(
        lm15.TokenLogprob(
            token=token["token"],
            logprob=token["logprob"],
            bytes=tuple(token["bytes"]),
            token_id=token["id"],
            top=tuple(
                lm15.TopLogprob(
                    token=other["token"],
                    logprob=other["logprob"],
                    bytes=tuple(other["bytes"]),
                    token_id=other["id"],
                )
                for other in token["top_logprobs"][:alternatives]
            ),
        )
        for token in tokens
    )
