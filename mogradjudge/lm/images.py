"""Reads images from paths, addresses and data URIs, as `dspy.Image`."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from functools import cached_property
from pathlib import Path, PurePath

import dspy

LARGEST_IMAGE = 20_000_000
"""Bytes; providers take no larger ones."""

_KINDS = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "gif": re.compile(rb"GIF8[79]a"),
    "webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}
_ADDRESS = re.compile(r"""https?://[^\s<>"{}|\\^`]+""", re.IGNORECASE)  # no marker of a prompt
_DATA = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_NAMED = re.compile(r"(?:data:image/.+|\S.*\.(?:png|jpe?g|webp|gif)(?:\?\S*)?)", re.IGNORECASE)
_LONGEST_NAME = 200


class NoImage(ValueError):
    """A value is no image, or cannot be read; the text says why, as a clause."""


class NamedImage(dspy.Image):  # type: ignore[misc]  # dspy is untyped
    """An image with a short text that stands for it wherever it cannot be seen.

    Two images with the same content are equal, whatever their names.

    Example:
        >>> NamedImage("https://example.org/a.png", name="<image: a.png>").name
        '<image: a.png>'
    """

    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedImage) and self.url == other.url

    def __hash__(self) -> int:
        return hash(self.url)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its content or address."""
        return hashlib.sha256(self.url.encode()).hexdigest()


def identity(value: object) -> object:
    """Return what tells an image from others, without its name; any other value as it is.

    Example:
        >>> identity("a text")
        'a text'
    """
    return f"image {value.digest}" if isinstance(value, NamedImage) else value


def looks_like_image(cell: object) -> bool:
    """Say whether a cell seems to name or to hold an image.

    Example:
        >>> looks_like_image("photos/cat.JPG"), looks_like_image("A cat sleeps.")
        (True, False)
    """
    match cell:
        case str():
            return _NAMED.fullmatch(cell.strip()) is not None
        case {"bytes": bytes(content)}:
            return any(start.match(content) for start in _KINDS.values())
    return False


def read_image(
    value: object, folder: Path | None = None, *, local: bool = True, remote: bool = True
) -> NamedImage:
    """Read an image: PNG, JPEG, GIF or WebP, at most `LARGEST_IMAGE` bytes.

    Nothing is downloaded here: the provider of the model reads what lies at an address, or its
    library, from this machine.

    Args:
        value: A path, an http(s) address, a data URI, bytes, a `dspy.Image`, or ``{"bytes": ...}``
            as in data sets of the hub.
        folder: Where paths begin, and what they must not leave; None takes any path.
        local: Whether a path is read at all.
        remote: Whether an address is taken.

    Raises:
        NoImage: If it is none, or cannot be read.

    Example:
        >>> read_image("https://example.org/a.png").name
        '<image: https://example.org/a.png>'
    """
    match value:
        case NamedImage():
            return value
        case dspy.Image():
            return _of_text(value.url) or NamedImage(value.url, name=_shown(value.url))
        case bytes():
            return _of_bytes(value, "bytes")
        case {"bytes": bytes(data), **others}:
            return _of_bytes(data, str(others.get("path") or "bytes"))
        case str() | PurePath() if str(value).strip():
            image = _of_text(str(value).strip())
            if (image is None and not local) or (_is_remote(image) and not remote):
                raise NoImage(f"only {_taken(local=local, remote=remote)} is read here")
            return image or _of_bytes(_file_bytes(_path(value, folder)), str(value))
    raise NoImage(f"there must be {_taken(local=local, remote=remote)}")


def _is_remote(image: NamedImage | None) -> bool:
    return image is not None and not _is_data(image.url)


def _taken(*, local: bool, remote: bool) -> str:
    """Say what an image may be."""
    kinds = ["a path"] * local + ["an http(s) address"] * remote
    return f"{', '.join(kinds)} or a data URI" if kinds else "a data URI"


def located(value: object, folder: Path) -> object:
    """Return a path from its folder on; any other value as it is.

    Example:
        >>> located("https://example.org/a.png", Path("photos"))
        'https://example.org/a.png'
    """
    text = str(value).strip()
    if not isinstance(value, str) or _ADDRESS.fullmatch(text) or _is_data(text):
        return value
    return str(_path(value, folder))


def _path(value: str | PurePath, folder: Path | None) -> Path:
    if "\0" in str(value):
        raise NoImage("a path must not hold a NUL")
    path = Path(os.path.abspath((folder or Path()) / str(value).strip()))
    if folder is not None and not Path(os.path.realpath(path)).is_relative_to(
        os.path.realpath(folder)
    ):  # nor by a link
        raise NoImage(f"a path must not leave the table's folder, {os.path.abspath(folder)}")
    return path


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def _file_bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise NoImage("there is no such file")
        if path.stat().st_size > LARGEST_IMAGE:
            raise _too_large()
        return path.read_bytes()
    except OSError as error:
        raise NoImage(f"the file cannot be read ({error.strerror})") from error


def _of_text(text: str) -> NamedImage | None:
    """Read an address or a data URI; None for a path."""
    if _ADDRESS.fullmatch(text):
        try:
            return NamedImage(text, name=_shown(text))
        except ValueError as error:  # also pydantic's
            raise NoImage("the address is not valid") from error
    if not _is_data(text):
        return None
    start = _DATA.match(text)
    try:
        content = base64.b64decode(text[start.end() :], validate=True) if start else b""
    except ValueError:
        content = b""
    return _of_bytes(content, "data URI")


def _of_bytes(content: bytes, name: str) -> NamedImage:
    if len(content) > LARGEST_IMAGE:
        raise _too_large()
    kind = next((kind for kind, start in _KINDS.items() if start.match(content)), None)
    if kind is None:
        raise NoImage("the content is no PNG, JPEG, GIF or WebP image")
    size = max(1, round(len(content) / 1000))
    sha = hashlib.sha256(content).hexdigest()[:12]
    url = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return NamedImage(url, name=_shown(f"{_short(name)}, {size} kB, sha256 {sha}"))


def _too_large() -> NoImage:
    return NoImage(f"it has more than {LARGEST_IMAGE // 10**6} MB")


def _shown(name: str) -> str:
    return f"<image: {_short(name)}>"


def _short(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}[...]"
