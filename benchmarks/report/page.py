"""The report as one HTML file that loads nothing, made of the same Markdown and pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from markupsafe import Markup

from mogradjudge.report.pictures import inline_svg
from mogradjudge.report.write import render

_OURS = re.compile(
    r"\s*(<details>\s*)?(<summary>[^<]*</summary>\s*)?|\s*</details>\s*"
)  # what `markdown.folded` writes; all other HTML is shown as text


def html(markdown: str, pictures: Mapping[str, bytes]) -> str:
    """Write Markdown, whose first heading is the title, as a page; pictures are put inside of it.

    Args:
        markdown: The report.
        pictures: Each SVG file that it links to, by name.
    """
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse(markdown)
    title, contents = _anchored(tokens)
    renderer = RendererHTML(reader)
    shown = _Shown(pictures, renderer)
    for name in (
        "html_block",
        "html_inline",
        "image",
        "th_open",
        "td_open",
        "table_open",
        "table_close",
    ):
        renderer.rules[name] = getattr(shown, name)
    body = renderer.render(tokens, reader.options, {})
    return render(
        "document.html.j2",
        title=title,
        subtitle="",
        contents=contents,
        body=Markup(body),
    )


def _anchored(tokens: list[Token]) -> tuple[str, list[tuple[str, str]]]:
    """Take the title off, give each section an anchor, and list them."""
    title = tokens[1].content
    del tokens[:3]
    contents: list[tuple[str, str]] = []
    for place, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h2":
            anchor = f"section-{len(contents) + 1}"
            token.attrSet("id", anchor)
            contents.append((anchor, _words(tokens[place + 1])))
    return title, contents


def _words(inline: Token) -> str:
    return "".join(child.content for child in inline.children or ())


class _Shown:
    """How the parts are written that Markdown has no full word for."""

    def __init__(self, pictures: Mapping[str, bytes], renderer: RendererHTML) -> None:
        self.pictures = pictures
        self.renderer = renderer

    def image(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        token = tokens[place]
        name, words = str(token.attrGet("src")), escapeHtml(_words(token))
        if name not in self.pictures:
            return words
        stem = re.sub(r"\W+", "_", name)
        drawn = inline_svg(self.pictures[name], stem)
        return f'<span class="picture scroll" role="img" aria-label="{words}">{drawn}</span>'

    def html_block(self, tokens: Sequence[Token], place: int, *_: Any) -> str:
        content = tokens[place].content
        return content if _OURS.fullmatch(content) else escapeHtml(content)

    html_inline = html_block

    def th_open(self, tokens: Sequence[Token], place: int, options: OptionsDict, env: Any) -> str:
        tokens[place].attrSet("scope", "col")
        return self.td_open(tokens, place, options, env)

    def td_open(self, tokens: Sequence[Token], place: int, options: OptionsDict, env: Any) -> str:
        # A page whose policy allows no style attributes has a class for the side instead.
        style = tokens[place].attrs.pop("style", "")
        if "right" in str(style):
            tokens[place].attrSet("class", "n")
        return str(self.renderer.renderToken(tokens, place, options, env))

    def table_open(self, *_: Any) -> str:
        return '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'

    def table_close(self, *_: Any) -> str:
        return "</table></div>\n"
