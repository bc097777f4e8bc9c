"""Figures as SVG files and inside the page, readable on light and dark backgrounds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

from mogradjudge.display.plotting import image_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_LOCAL = re.compile(r"url\(#([^)]+)\)")
_DROPPED = {"metadata", "style"}
# The page's policy allows no style attributes, so these become attributes of their own.
_PRESENTATION = {
    *("fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-dasharray"),
    *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-opacity"),
    *("stroke-width", "font-size", "font-style", "font-weight", "text-anchor"),
}
_WIDE = 380.0  # points; on a phone a wider figure scrolls instead of shrinking
_INK, _PAPER = "#000000", "#ffffff"


_LONGEST_NAME = 26  # characters


@dataclass(frozen=True)
class Picture:
    """A figure: file name without suffix, caption, text alternative, file and inline SVG."""

    name: str
    caption: str
    alt: str
    file: bytes
    inline: Markup


def picture(name: str, caption: str, alt: str, draw: Callable[[], Figure]) -> Picture:
    """Draw a figure; its name is reduced to characters that files and ids allow.

    Raises:
        SetupError: If matplotlib is missing.
    """
    with styled():
        file = image_of(draw())
    return kept_picture(name, caption, alt, file)


def kept_picture(name: str, caption: str, alt: str, file: bytes) -> Picture:
    """Make a picture of an SVG file that exists already."""
    name = re.sub(r"\W+", "_", name)
    return Picture(name, caption, alt, file, inline_svg(file, name))


def short(name: str) -> str:
    """Cut a long name, so that it leaves room for the figure."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def inline_svg(file: bytes, name: str) -> Markup:
    """Turn an SVG file into an element of a page.

    Ids get the figure's name as prefix, so that two figures share none. Black becomes the page's
    text colour and white its background colour.
    """
    root = ElementTree.fromstring(file)
    used = {reference for element in root.iter() for reference in _references(element)}
    _tidy(root, name, used)
    width = float(root.attrib["viewBox"].split()[2])
    # A figure is as wide as matplotlib meant it: in points, which are 4/3 of a pixel.
    root.attrib |= {"width": f"{width * 4 / 3:.0f}", "aria-hidden": "true", "focusable": "false"}
    classes = ["wide"] if width > _WIDE else []
    if root.find(".//image") is not None:
        classes.append("as-drawn")  # its colours need a white background
    if classes:
        root.set("class", " ".join(classes))
    root.set("fill", "currentColor")  # matplotlib omits the fill if it is black
    del root.attrib["height"]
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return Markup(text)


def _references(element: ElementTree.Element) -> set[str]:
    names = {name for text in element.attrib.values() for name in _LOCAL.findall(text)}
    return names | {element.attrib.get(_LINK, "").removeprefix("#")}


def _tidy(element: ElementTree.Element, name: str, used: set[str]) -> None:
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.tag != "text":
        element.text = None
    element.attrib = _attributes(element.attrib, name, used)
    for child in list(element):
        if child.tag.removeprefix(_SVG) in _DROPPED:
            element.remove(child)
        else:
            _tidy(child, name, used)


def _styles(source: Mapping[str, str]) -> dict[str, str]:
    """Return the entries of an element's style that can be attributes."""
    entries = [entry.split(":", 1) for entry in source.get("style", "").split(";") if ":" in entry]
    styles = {key.strip(): value.strip() for key, value in entries}
    return {key: value for key, value in styles.items() if key in _PRESENTATION}


def _attributes(source: Mapping[str, str], name: str, used: set[str]) -> dict[str, str]:
    """Return an element's attributes, with its style written as attributes."""
    attributes = {
        key: _LOCAL.sub(rf"url(#{name}-\1)", value)
        for key, value in (_styles(source) | dict(source)).items()
        if key not in ("id", "style", _LINK)
    }
    if source.get("id") in used:
        attributes["id"] = f"{name}-{source['id']}"
    if _LINK in source:
        link = source[_LINK]
        attributes["href"] = f"#{name}-{link[1:]}" if link.startswith("#") else link
    return attributes | _page_colours(attributes)


def _page_colours(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return attributes that replace black and white by the page's own two colours."""
    colours = {key: attributes.get(key) for key in ("fill", "stroke")}
    changed = {key: "currentColor" for key, colour in colours.items() if colour == _INK}
    if classes := [f"paper-{key}" for key, colour in colours.items() if colour == _PAPER]:
        changed["class"] = " ".join(classes)
    return changed
