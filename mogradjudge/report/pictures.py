"""Figures as files and as SVG inside of the page, readable on light and on dark ground."""

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
# A page whose policy allows no style attributes needs what they say as attributes.
_PRESENTATION = {
    *("fill", "fill-opacity", "fill-rule", "opacity", "stroke", "stroke-dasharray"),
    *("stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-opacity"),
    *("stroke-width", "font-size", "font-style", "font-weight", "text-anchor"),
}
_WIDE = 380.0  # points; on a phone such a figure is moved sideways, not made small
_INK, _PAPER = "#000000", "#ffffff"


_LONGEST_NAME = 26  # characters


@dataclass(frozen=True)
class Picture:
    """A figure: its file's name without ending, caption, its numbers in words, and both forms."""

    name: str
    caption: str
    alt: str
    file: bytes
    inline: Markup


def picture(name: str, caption: str, alt: str, draw: Callable[[], Figure]) -> Picture:
    """Draw a figure; its name is made one that a file and an id can have.

    Raises:
        SetupError: If matplotlib is missing.
    """
    with styled():
        file = image_of(draw())
    return kept_picture(name, caption, alt, file)


def kept_picture(name: str, caption: str, alt: str, file: bytes) -> Picture:
    """Take a figure that is drawn already."""
    name = re.sub(r"\W+", "_", name)
    return Picture(name, caption, alt, file, inline_svg(file, name))


def short(name: str) -> str:
    """Cut a name that would leave no room for the picture."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def inline_svg(file: bytes, name: str) -> Markup:
    """Write an SVG file as an element of a page.

    Ids get the figure's name, so that two figures share none; black becomes the colour of the
    page's text and white that of its ground.
    """
    root = ElementTree.fromstring(file)
    used = {reference for element in root.iter() for reference in _references(element)}
    _tidy(root, name, used)
    width = float(root.attrib["viewBox"].split()[2])
    # A figure is as wide as matplotlib meant it: in points, which are 4/3 of a pixel.
    root.attrib |= {"width": f"{width * 4 / 3:.0f}", "aria-hidden": "true", "focusable": "false"}
    classes = ["wide"] if width > _WIDE else []
    if root.find(".//image") is not None:
        classes.append("as-drawn")  # its colours are meant for white ground
    if classes:
        root.set("class", " ".join(classes))
    root.set("fill", "currentColor")  # matplotlib says nothing of what is filled black
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


def _attributes(source: Mapping[str, str], name: str, used: set[str]) -> dict[str, str]:
    """Give an element's attributes, with those that its style stands for."""
    pairs = [entry.split(":", 1) for entry in source.get("style", "").split(";") if ":" in entry]
    styles = {key.strip(): value.strip() for key, value in pairs}
    attributes = {
        key: _LOCAL.sub(rf"url(#{name}-\1)", value)
        for key, value in styles.items()
        if key in _PRESENTATION
    }
    for key, value in source.items():
        if key == "id" and value in used:
            attributes["id"] = f"{name}-{value}"
        elif key == _LINK:
            local = value.startswith("#")
            attributes["href"] = f"#{name}-{value[1:]}" if local else value
        elif key not in ("id", "style"):
            attributes[key] = _LOCAL.sub(rf"url(#{name}-\1)", value)
    classes = [f"paper-{key}" for key in ("fill", "stroke") if attributes.get(key) == _PAPER]
    attributes |= {key: "currentColor" for key in ("fill", "stroke") if attributes.get(key) == _INK}
    if classes:
        attributes["class"] = " ".join(classes)
    return attributes
