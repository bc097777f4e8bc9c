"""What an OpenAI-compatible server reads and says, as plain values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_ERRORS = {
    429: ("rate_limit_exceeded", "Rate limit reached. Please try again later."),
    500: ("server_error", "The server had an error while processing your request."),
    401: ("invalid_api_key", "Incorrect API key provided."),
    404: ("model_not_found", "The model `{model}` does not exist or you do not have access to it."),
}


def identity(body: Mapping[str, Any]) -> str:
    """Name a request by what it asks, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]


def texts(body: Mapping[str, Any]) -> tuple[str, str]:
    """Give a request's system and user text."""
    by_role = {message["role"]: _text(message["content"]) for message in body["messages"]}
    return by_role.get("system", ""), by_role.get("user", "")


def completion(model: str, prompt: str, text: str, finish_reason: str = "stop") -> dict[str, Any]:
    """Give a reply's body."""
    tokens = {"prompt_tokens": len(prompt) // 4, "completion_tokens": len(text) // 4}
    return {
        "id": "toy",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {**tokens, "total_tokens": sum(tokens.values())},
    }


def failure(status: int, model: str) -> dict[str, Any]:
    """Give an error's body."""
    code, message = _ERRORS[status]
    message = message.format(model=model)
    return {"error": {"message": message, "type": code, "param": None, "code": code}}


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return str(content)
