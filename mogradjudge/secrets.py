"""Keys kept out of texts and files: what a provider says may repeat what it was sent."""

from __future__ import annotations

import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from functools import lru_cache
from html import escape
from itertools import takewhile
from typing import Any
from urllib.parse import unquote

MASK = "[redacted]"

_SHORTEST = 4  # characters; a shorter value is part of too many ordinary words
_LONG = 8  # from here on a value is blanked wherever it stands, below it as a word of its own
# Keys that stand for none, as local servers are given them, and ordinary words.
_DUMMIES = {"empty", "none", "null", "test", "dummy", "fake", "local", "ollama", "token", "secret"}
_ENVIRONMENT = re.compile(
    r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|SESSION"
    r"|(?<![A-Z])(?:AUTH|PASS)(?![A-Z])|_PWD$",
    re.IGNORECASE,
)
# A desktop's variables, and places of files.
_NO_SECRET = re.compile(
    r"^(?:XDG|DBUS|DESKTOP|GNOME|KEYBOARD)_?|^SESSION_MANAGER$|_(?:SOCK|FILE|PATH|DIR)$"
    r"|^GOOGLE_APPLICATION_CREDENTIALS$",
    re.IGNORECASE,
)
# In a setting's name these are words of their own: `max_tokens` is no secret.
_SETTING = re.compile(
    r"(?<![a-z])(?:api)?(?:keys?|token|secret|password|passwd|credentials?|authorization|auth"
    r"|cookies?|session|headers?)(?![a-z])",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"accept|content-type|user-agent|(?:http-)?referer|x-title|api[-_]version", re.IGNORECASE
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


_CUT = re.compile(
    r"[\"'`)\]}>]*\s*(?:\n|\Z)|\.\.|\u2026|\*\*"
)  # what follows the rest of a cut key

_SECRETS: ContextVar[frozenset[str]] = ContextVar("secrets", default=frozenset())


@contextmanager
def secrets_known(secrets: frozenset[str]) -> Iterator[None]:
    """Blank these in all that is blanked in the block, beside what is told of otherwise."""
    token = _SECRETS.set(secrets)
    try:
        yield
    finally:
        _SECRETS.reset(token)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Blank what is, or looks like, a key.

    That is the values of environment variables that are named like secrets, user names, passwords
    and query values of URLs, and the common shapes of keys. Of a known key also the first part, and
    what JSON, a URL or base64 makes of it. Cut a text after this and not before.

    Args:
        text: A text that may go to a user or a file.
        known: Further secrets, those of `secrets_of` say.
    """
    values = _by_length({*known, *_SECRETS.get(), *_from_environment()})
    text = _without(text, values)
    text = _AFTER_SCHEME.sub(lambda found: _public(found[0]), text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SHAPE.sub(MASK, text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    return _without_first_parts(text, values)


def redact_reply(reply: Any) -> Any:
    """Blank the secrets that are known (`secrets_known`, the environment) in a provider's reply.

    What only looks like a key stays: it is the model's words on a text. Where nothing is blanked,
    the reply comes back as it is.
    """
    environment = {value for value in _from_environment() if re.search(r"\d", value)}
    ours = {value for value in _SECRETS.get() if len(value) >= _LONG or not value.isalpha()}
    values = _by_length(environment | ours)

    def blank(text: str) -> str:
        return _without_first_parts(_without(text, values), values)

    whole = "\n".join(_texts(reply))  # most replies hold none, and some have thousands of tokens
    return reply if blank(whole) == whole else _mapped(reply, blank)


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
        each.args = _mapped(each.args, lambda text: redact(text, values))
        for name, value in vars(each).items():
            if isinstance(value, (str, list, tuple, dict)):
                setattr(each, name, _mapped(value, lambda text: redact(text, values)))
        left += [other for other in (each.__cause__, each.__context__) if other is not None]


def _by_length(values: Iterable[str]) -> list[str]:
    """Leave out what is too short, the longest first: a key may hold another."""
    long = {value for value in values if len(value) >= _LONG}
    short = {value for value in values if _SHORTEST <= len(value) < _LONG}
    return sorted({*long, *(value for value in short if value.lower() not in _DUMMIES)}, key=_order)


def _order(value: str) -> tuple[int, str]:
    return (-len(value), value)


def _from_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        named = _ENVIRONMENT.search(name) and not _NO_SECRET.search(name)
        # Any word or number may be the value of a setting whose name says "key".
        if named and (len(value) >= _LONG or _is_mixed(value)):
            yield value


def _is_mixed(value: str) -> bool:
    """Say whether a value is no word and no number, so that no ordinary text has it."""
    return bool(re.search(r"[^\W\d]", value) and re.search(r"\d", value))


def _without(text: str, values: Sequence[str]) -> str:
    encoded = any(mark in text for mark in "\\%&")
    for value in values:
        if len(value) < _LONG:
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", MASK, text)
        else:
            text = text.replace(value, MASK)
        if encoded and not value.isalnum():
            text = _spellings(value).sub(MASK, text)
        for form in _in_base64(value):
            text = text.replace(form, MASK)
    return text


def _without_first_parts(text: str, values: Sequence[str]) -> str:
    """Blank the beginning of a key: somebody cut the text, or wrote stars for the rest."""
    for value in values:
        first = value[:_LONG]
        if len(value) > _LONG and first in text:
            text = _without_first_part(text, value, first)
    return text


def _without_first_part(text: str, value: str, first: str) -> str:
    parts, done, start = [], 0, text.find(first)
    while start >= 0:
        pairs = zip(value, text[start : start + len(value)], strict=False)
        end = start + sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        # A password may begin with an ordinary word.
        if not first.isalpha() or _CUT.match(text, end):
            parts += [text[done:start], MASK]
            done = end
        start = text.find(first, end)
    return "".join([*parts, text[done:]])


@lru_cache(maxsize=256)
def _spellings(value: str) -> re.Pattern[str]:
    """Match a value as JSON, HTML and URLs may write it, once or twice over."""
    whole = "".join(re.escape(each) if each.isalnum() else _spelled(each) for each in value)
    return re.compile(whole if len(value) >= _LONG else rf"(?<!\w){whole}(?!\w)")


def _spelled(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    percent = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode())
    entity = f"&#{ord(character)};|&#x0*{ord(character):x};|{re.escape(escape(character))}"
    return rf"(?i:\\*{re.escape(character)}|{escaped}|{percent}|{entity})"


@lru_cache(maxsize=256)
def _in_base64(value: str) -> tuple[str, ...]:
    """Encode a value, as a login ``user:password`` is; without the padding, if that is enough."""
    data = value.encode("utf-8", "replace")
    forms = {b64encode(data).decode(), urlsafe_b64encode(data).decode()}
    return tuple({form.rstrip("=") if len(value) >= _LONG else form for form in forms})


def secrets_of(settings: Mapping[str, Any]) -> set[str]:
    """Give the secrets among an LM's settings: keys, headers, and what its addresses hold."""
    return {
        secret
        for name, value in settings.items()
        for text in _texts(_secret_items(value))
        for secret in (_with_login(text) if _SETTING.search(name) else secrets_in(text))
    }


def _secret_items(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {key: item for key, item in value.items() if not _HARMLESS.match(str(key))}


def _with_login(text: str) -> set[str]:
    """Give a key, and without the ``Bearer`` before it that a header may have."""
    scheme = re.match(r"\s*[A-Za-z]+\s+(?=\S+\s*$)", text)
    return {text, text[scheme.end() :].strip()} if scheme else {text}


def secrets_in(url: str) -> set[str]:
    """Give the password, user name and query values that a URL holds, as written and as sent."""
    found: set[str] = set()
    for rest in _AFTER_SCHEME.findall(url):
        authority, query = _split(rest)
        login = authority.rpartition("@")[0]
        user, _, password = login.partition(":")
        found |= {login, password, *_uncertain(user)}
        for name, _, value in (pair.partition("=") for pair in query.split("&")):
            if not _HARMLESS.match(name):
                found |= {value} if _SETTING.search(name) else _uncertain(value)
    return {each for secret in found if secret for each in (secret, unquote(secret))}


def _uncertain(value: str) -> set[str]:
    """Leave out a short value that may be an ordinary word."""
    return {value} if len(value) >= _LONG or _is_mixed(value) else set()


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
    else:
        yield from _texts([getattr(value, name) for name in _fields_of(value)])


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Change the texts in a value: in a copy, but in the very object that has fields."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return type(value)({key: _mapped(item, change) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(item, change) for item in value)
    for name in _fields_of(value):
        # DSPy's are frozen, and litellm's check what they are given.
        object.__setattr__(value, name, _mapped(getattr(value, name), change))
    return value


def _fields_of(value: object) -> list[str]:
    """Name the fields of a record of DSPy's or litellm's."""
    if isinstance(value, type):
        return []
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    return list(vars(value)) if hasattr(type(value), "model_fields") else []
