"""The shell of every report: one HTML file that loads nothing, whatever the texts in it hold."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mogradjudge.report import numbers as words

# Controls but tab and line feed, marks and overrides of direction, line separators, surrogates.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_TEMPLATES = files("mogradjudge.report") / "templates"


def render(template: str, **context: Any) -> str:
    """Render a page; all that a template is given is escaped.

    The page's policy lets no script or style run but the two that belong to it, known by their
    hashes, and lets nothing be loaded; an image may be part of the page itself.
    """
    style, script = _asset("report.css"), _asset("report.js")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )
    page = _environment().get_template(template)
    # Both are files of the package, and hold nothing that a user wrote.
    inline = {"style": Markup(style), "script": Markup(script)}
    return visible(page.render(policy=policy, **inline, **context))


def visible(text: str) -> str:
    r"""Write control characters, those that turn text around, and halves of surrogate pairs out.

    U+202E becomes ``\u202e``: what a page says must be read in the order in which it stands.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mogradjudge.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": words.number,
        "signed": words.signed,
        "bounds": words.bounds,
        "counted": words.counted,
        "whole": words.whole,
        "p_value": words.p_value,
    }
    return environment


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
