"""Keys kept out of texts and files: what a provider says may repeat what it was sent."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MASK = "[redacted]"

_SHORTEST = 8  # characters; a shorter value would blank ordinary words
_ENVIRONMENT = re.compile(r"KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
# In a setting's name these are words of their own: `max_tokens` is no secret.
_SETTING = re.compile(
    r"(?<![a-z])(?:api)?(?:keys?|token|secret|password|credentials?|authorization|headers?)"
    r"(?![a-z])",
    re.IGNORECASE,
)
# Each pattern starts at a word and runs on without going back, so that time stays linear.
_SCHEME = re.compile(r"\b(Bearer|Basic) +[^\s\"',;}]+", re.IGNORECASE)
_SHAPE = re.compile(r"\b(?:sk|pk|gsk|xai|hf|ghp)[-_][\w-]{8,}|\bAIza[\w-]{8,}")
_NAMED = re.compile(
    r"(?<![a-z])((?:api[-_]?)?(?:key|token|secret|password|authorization)[\"']?\s?[:=]\s?[\"']?)"
    r"[^\s\"',;&)}]{8,}",
    re.IGNORECASE,
)
_AFTER_SCHEME = re.compile(r"(?<=://)[^\s\"'<>]+")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Blank what is, or looks like, a key.

    That is the values of environment variables that are named like secrets, user names, passwords
    and query values of URLs, and the common shapes of keys.

    Args:
        text: A text that may go to a user or a file.
        known: Further secrets, those of `secrets_of` say.
    """
    values = {*known, *(os.environ[name] for name in os.environ if _ENVIRONMENT.search(name))}
    # The longest first: a key may hold another.
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST:
            text = text.replace(value, MASK)
    text = _AFTER_SCHEME.sub(lambda found: _public(found[0]), text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SHAPE.sub(MASK, text)
    return _NAMED.sub(rf"\1{MASK}", text)


def redact_error(error: BaseException, known: Iterable[str] = ()) -> None:
    """Blank keys in an error and in those that it came from, in place: a traceback shows them all.

    Providers' errors are passed on as they are and not wrapped, so no other text can be put there.
    """
    values, seen, left = list(known), set[int](), [error]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        each.args = tuple(redact(arg, values) if isinstance(arg, str) else arg for arg in each.args)
        for name, value in vars(each).items():
            if isinstance(value, str):
                setattr(each, name, redact(value, values))
        left += [other for other in (each.__cause__, each.__context__) if other is not None]


def secrets_of(settings: Mapping[str, Any]) -> set[str]:
    """Give the secrets among an LM's settings: keys, headers, and what its addresses hold."""
    return {
        secret
        for name, value in settings.items()
        for text in _texts(value)
        for secret in ([text] if _SETTING.search(name) else secrets_in(text))
    }


def secrets_in(url: str) -> set[str]:
    """Give the password, user name and query values that a URL holds, as written and as sent."""
    found: set[str] = set()
    for rest in _AFTER_SCHEME.findall(url):
        authority, query = _split(rest)
        user = authority.rpartition("@")[0]
        found |= {user, *user.split(":", 1)}
        found |= {pair.partition("=")[2] for pair in query.split("&")}
    return {each for secret in found if secret for each in (secret, unquote(secret))}


def without_secrets(value: Any) -> Any:
    """Give an LM's settings as they may be saved: without keys, headers and URL credentials."""
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item)
            for key, item in value.items()
            if not (isinstance(item, (str, Mapping)) and _SETTING.search(str(key)))
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        return _AFTER_SCHEME.sub(lambda found: _public(found[0]), value)
    return value


def _public(rest: str) -> str:
    """Blank the credentials of a URL, given without its scheme."""
    authority, query = _split(rest)
    host = authority.rpartition("@")[2]
    path = rest[len(authority) : len(rest) - len(query)]
    return host + path + re.sub(r"=[^&]+", f"={MASK}", query)


def _split(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority, rest.partition("?")[2]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
