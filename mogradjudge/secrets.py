"""Keeps keys out of texts and files: a provider's answer may repeat what it was sent."""

from __future__ import annotations

import os
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from html import escape
from itertools import accumulate, pairwise
from typing import Any
from urllib.parse import unquote

MASK = "[redacted]"

_SHORTEST = 4  # characters; a shorter value is part of too many ordinary words
_LONG = 8  # from here on a value is blanked wherever it stands, below it as a word of its own
# Placeholder keys, such as local servers take, and ordinary words.
_DUMMIES = {"empty", "none", "null", "test", "dummy", "fake", "local", "ollama", "token", "secret"}
_ENVIRONMENT = re.compile(
    r"(?i)KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|SESSION"
    r"|(?<![A-Z])(?:AUTH|PASS)(?![A-Z])|_PWD$"
)
# A desktop's variables, and places of files.
_NO_SECRET = re.compile(
    r"(?i)^(?:XDG|DBUS|DESKTOP|GNOME|KEYBOARD)_?|^SESSION_MANAGER$|_(?:SOCK|FILE|PATH|DIR)$"
    r"|^GOOGLE_APPLICATION_CREDENTIALS$"
)
# In a setting's name these are words of their own: `max_tokens` is no secret.
_SETTING = re.compile(
    r"(?i)(?<![a-z])(?:api)?(?:keys?|token|secret|password|passwd|credentials?|authorization|auth"
    r"|cookies?|session|headers?)(?![a-z])"
)
_HARMLESS = re.compile(
    r"accept|content-type|user-agent|(?:http-)?referer|x-title|api[-_]version", re.IGNORECASE
)
# Each pattern starts at a word and never backtracks, so that time stays linear.
_SCHEME = re.compile(r"\b(Bearer|Basic) +[^\s\"',;}]+", re.IGNORECASE)
_SHAPE = re.compile(r"\b(?:sk|pk|gsk|xai|hf|ghp)[-_][\w-]{8,}|\bAIza[\w-]{8,}")
_NAMED = re.compile(
    r"(?<![a-z])((?:api[-_]?)?(?:key|token|secret|password|authorization)[\"']?\s?[:=]\s?[\"']?)"
    r"[^\s\"',;&)}]{8,}",
    re.IGNORECASE,
)
_AFTER_SCHEME = re.compile(r"(?<=://)[^\s\"'<>]+")
# In a model's own words: a run so long, of letters of both cases and digits, is no word.
_SURE = re.compile(
    r"\b(?:(?:sk|pk|gsk|xai|hf|ghp)[-_][\w-]{20,}|AIza[\w-]{20,}|(?<=Bearer )[\w.~+/=-]{20,})"
)
_WORD = 16  # characters; a longer one is no ordinary word
_DEEPEST = 100  # levels of a nested value that are read
# What follows the rest of a cut key.
_CUT = re.compile(r"[\"'`)\]}>]*\s*(?:\n|\Z)|\.\.|\u2026|\*\*")

_SECRETS: ContextVar[frozenset[str]] = ContextVar("secrets", default=frozenset())


@contextmanager
def secrets_known(secrets: frozenset[str]) -> Iterator[None]:
    """Blank these secrets too in all that is redacted in the block."""
    token = _SECRETS.set(secrets)
    try:
        yield
    finally:
        _SECRETS.reset(token)


def redact(text: str, known: Iterable[str] = ()) -> str:
    """Mask what is, or looks like, a key.

    Blanked are values of environment variables named like secrets, the credentials in URLs, and the
    common shapes of keys. A known key is also blanked where it is cut, or escaped as in JSON, URLs
    or base64. Cut a text after this and not before.

    Args:
        text: A text that may go to a user or a file.
        known: Further secrets, for example those of `secrets_of`.

    >>> redact("Bearer abc was sent to https://me:pass@host/v1", known=["pass"])
    'Bearer [redacted] was sent to https://host/v1'
    """
    values = _by_length({*known, *_SECRETS.get(), *_from_environment()})
    text = _without(text, values)
    text = _AFTER_SCHEME.sub(lambda match: _public(match[0]), text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SHAPE.sub(MASK, text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    return _without_first_parts(text, values)


def redact_reply(reply: Any) -> Any:
    """Blank the known secrets (`secrets_known`, the environment) in a provider's reply.

    What only looks like a key stays, unless it can be nothing else: a model's words may quote it.
    """
    environment = {value for value in _from_environment() if not _is_word(value)}
    ours = {value for value in _SECRETS.get() if len(value) >= _LONG or not value.isalpha()}
    values = _by_length(environment | ours)

    def blank(text: str) -> str:
        return _SURE.sub(_masked, _without_first_parts(_without(text, values), values))

    whole = "\n".join(_texts(reply, keys=True))  # most hold none, some have thousands of tokens
    return reply if blank(whole) == whole else _mapped(reply, blank)


def redact_error(error: BaseException, known: Iterable[str] = ()) -> None:
    """Blank keys in an error and its causes, in place: a traceback shows them all.

    Texts that Python cannot set (in pydantic's errors) are blanked where they are printed.
    """
    values, seen, left = list(known), set[int](), [error]
    while left:
        current = left.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for name in _attributes(current):
            with suppress(Exception):  # of anyone's class: it may refuse to be read or set
                value = getattr(current, name, None)
                if isinstance(value, (str, list, tuple, dict)):
                    setattr(current, name, _mapped(value, lambda text: redact(text, values)))
        inner = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        others = (*inner, current.__cause__, current.__context__)
        left += [other for other in others if other is not None]


def _attributes(error: BaseException) -> set[str]:
    """Name an error's attributes, also those in slots; an OSError has some beside its arguments."""
    slots = [getattr(kind, "__slots__", ()) for kind in type(error).__mro__]
    named = {name for slot in slots for name in ([slot] if isinstance(slot, str) else slot)}
    return {"args", "strerror", "filename", "filename2", *vars(error), *named}


def _by_length(values: Iterable[str]) -> list[str]:
    """Drop too short values and sort the others, the longest first: a key may hold another."""
    long = {value for value in values if len(value) >= _SHORTEST}
    usable = {value for value in long if len(value) >= _LONG or value.lower() not in _DUMMIES}
    return sorted(usable, key=lambda value: (-len(value), value))


def _from_environment() -> Iterator[str]:
    values = (os.environ.get(name, "") for name in os.environ if _names_a_secret(name))
    # Any word or number may be the value of a setting whose name says "key".
    return (value for value in values if len(value) >= _LONG or _is_mixed(value))


@lru_cache(maxsize=1024)
def _names_a_secret(variable: str) -> bool:
    return bool(_ENVIRONMENT.search(variable) and not _NO_SECRET.search(variable))


def _is_mixed(value: str) -> bool:
    """Return whether a value has letters and digits, so that no ordinary text has it."""
    return bool(re.search(r"[^\W\d]", value) and re.search(r"\d", value))


def _is_word(value: str) -> bool:
    """Return whether a value may be an ordinary word in a model's reply."""
    return len(value) < _WORD and value.isalpha() and value.islower()


def _reads_as_words(part: str) -> bool:
    words = [word for word in re.split("[-_]", part) if word]
    return all(word.isalpha() and word in (word.lower(), word.title()) for word in words)


def _masked(match: re.Match[str]) -> str:
    is_key = all(re.search(kind, match[0]) for kind in ("[a-z]", "[A-Z]", r"\d"))
    return MASK if is_key else match[0]


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
    """Blank the beginning of a key where the text was cut or stars stand for the rest."""
    for value in values:
        first = value[:_LONG]
        if len(value) > _LONG and first in text:
            text = _without_first_part(text, value, first)
    return text


def _without_first_part(text: str, value: str, first: str) -> str:
    parts, done, start = [], 0, text.find(first)
    while start >= 0:
        end = start + _same(value, text[start : start + len(value)])
        # A password may begin with ordinary words.
        if not _reads_as_words(text[start:end]) or _CUT.match(text, end):
            parts += [text[done:start], MASK]
            done = end
        start = text.find(first, end)
    return "".join([*parts, text[done:]])


def _same(one: str, other: str) -> int:
    """Count the characters that both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


@lru_cache(maxsize=256)
def _spellings(value: str) -> re.Pattern[str]:
    """Compile a pattern for a value as JSON, HTML and URLs escape it, once or twice."""
    whole = "".join(re.escape(letter) if letter.isalnum() else _spelled(letter) for letter in value)
    return re.compile(whole if len(value) >= _LONG else rf"(?<!\w){whole}(?!\w)")


def _spelled(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    percent = "".join(f"%(?:25)?{byte:02x}" for byte in character.encode())
    entity = f"&#{ord(character)};|&#x0*{ord(character):x};|{re.escape(escape(character))}"
    return rf"(?i:\\*{re.escape(character)}|{escaped}|{percent}|{entity})"


@lru_cache(maxsize=256)
def _in_base64(value: str) -> tuple[str, ...]:
    """Encode a value as in a login ``user:password``; a long one also after one or two bytes."""
    data = value.encode("utf-8", "replace")
    if len(value) < _LONG:
        return (b64encode(data).decode(), urlsafe_b64encode(data).decode())
    forms = set[str]()
    for encode in (b64encode, urlsafe_b64encode):
        forms.add(encode(data).decode().rstrip("="))
        for shift in range(3):
            start, end = -(-8 * shift // 6), 8 * (shift + len(data)) // 6
            forms.add(encode(bytes(shift) + data).decode()[start:end])
    return tuple(_by_length(forms))


def secrets_of(settings: Mapping[str, Any]) -> set[str]:
    """Return the secrets among an LM's settings: keys, headers, and those in its addresses."""
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
    """Return a key as it is and without the ``Bearer`` that a header may have before it."""
    scheme = re.match(r"\s*[A-Za-z]+\s+(?=\S+\s*$)", text)
    return {text, text[scheme.end() :].strip()} if scheme else {text}


def secrets_in(url: str) -> set[str]:
    """Return the password, user name and query values of a URL, as written and as sent."""
    secrets: set[str] = set()
    for rest in _AFTER_SCHEME.findall(url):
        authority, query = _split(rest)
        login = authority.rpartition("@")[0]
        user, _, password = login.partition(":")
        secrets |= {login, password, *_uncertain(user)}
        for name, _, value in (pair.partition("=") for pair in query.split("&")):
            if not _HARMLESS.match(name):
                secrets |= {value} if _SETTING.search(name) else _uncertain(value)
    return {form for secret in secrets if secret for form in (secret, unquote(secret))}


def _uncertain(value: str) -> set[str]:
    """Leave out a short value that may be an ordinary word."""
    return {value} if len(value) >= _LONG or _is_mixed(value) else set()


def without_secrets(value: Any) -> Any:
    """Return an LM's settings as they may be saved: without keys, headers and URL credentials.

    >>> without_secrets({"api_key": "key-12345", "api_base": "https://me:pass@host/v1"})
    {'api_base': 'https://host/v1'}
    """
    if isinstance(value, Mapping):
        return {
            key: without_secrets(item)
            for key, item in value.items()
            if not (isinstance(item, (str, Mapping)) and _SETTING.search(str(key)))
        }
    if isinstance(value, (list, tuple)):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        return _AFTER_SCHEME.sub(lambda match: _public(match[0]), value)
    return value


def _public(rest: str) -> str:
    """Blank the credentials of a URL that has no scheme."""
    authority, query = _split(rest)
    host = authority.rpartition("@")[2]
    path = rest[len(authority) : len(rest) - len(query)]
    return host + path + re.sub(r"=[^&]+", f"={MASK}", query)


def _split(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return authority, rest.partition("?")[2]


def _texts(value: object, *, keys: bool = False) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        return
    items = value if isinstance(value, (list, tuple)) else ()
    if isinstance(value, Mapping):
        items = [*(value if keys else ()), *value.values()]
    for item in items or [getattr(value, name) for name in _fields_of(value)]:
        yield from _texts(item, keys=keys)


def _mapped(value: Any, change: Callable[[str], str], around: tuple[int, ...] = ()) -> Any:
    """Change the texts in a value; containers are copied, objects with fields changed in place."""
    if isinstance(value, str):
        return change(value)
    if id(value) in around or len(around) > _DEEPEST:  # a value may contain itself
        return MASK
    changed = partial(_mapped, change=change, around=(*around, id(value)))
    if isinstance(value, dict):
        strings = {key: change(key) for key in value if isinstance(key, str)}
        return _like(value, {strings.get(key, key): changed(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return _like(value, [changed(item) for item in _without_tokens(value, change)])
    return _with_fields_changed(value, changed)


def _with_fields_changed(value: Any, changed: Callable[[Any], Any]) -> Any:
    for name in _fields_of(value):
        # DSPy's records are frozen, and litellm's check each new value.
        object.__setattr__(value, name, changed(getattr(value, name)))
    return value


def _like(value: Any, items: Any) -> Any:
    """Make a container of the same kind, or a plain one where its constructor refuses."""
    make = getattr(type(value), "_make", type(value))  # a named tuple's
    try:
        return make(items)
    except Exception:  # noqa: BLE001 - anyone's class
        return tuple(items) if isinstance(value, tuple) else items


def _without_tokens(entries: Sequence[Any], change: Callable[[str], str]) -> Sequence[Any]:
    """Empty the tokens of logprobs that together spell a key."""
    tokens = [token for entry in entries if (token := _token_of(entry)) is not None]
    whole = "".join(tokens)
    changed = change(whole)
    if len(tokens) < len(entries) or changed == whole:
        return entries
    start, end = _same(whole, changed), len(whole) - _same(whole[::-1], changed[::-1])
    places = [*accumulate(map(len, tokens), initial=0)]
    return [
        _emptied(entry) if low < end and high > start else entry
        for entry, (low, high) in zip(entries, pairwise(places), strict=True)
    ]


def _token_of(entry: object) -> str | None:
    token = entry.get("token") if isinstance(entry, dict) else getattr(entry, "token", None)
    return token if isinstance(token, str) else None


def _emptied(value: Any) -> Any:
    """Empty all texts of a logprobs entry, also as bytes, and keep its numbers."""
    if isinstance(value, (str, bytes)):
        return type(value)()
    if isinstance(value, dict):
        return _like(value, {key: _emptied(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return _like(value, [_emptied(item) for item in value if not isinstance(item, int)])
    return _with_fields_changed(value, _emptied)


def _fields_of(value: object) -> list[str]:
    """Name the fields of a DSPy or litellm record."""
    if isinstance(value, type):
        return []
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    return list(vars(value)) if hasattr(type(value), "model_fields") else []
