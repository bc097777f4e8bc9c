"""A page to rate texts by hand: each rater sees the texts and their own scores alone."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from mogradjudge.agreement import FEWEST_DOCUMENTS
from mogradjudge.criteria import Rubric
from mogradjudge.data.conversations import transcript
from mogradjudge.lm.images import NamedImage
from mogradjudge.report.write import render
from mogradjudge.web.labels import Labels
from mogradjudge.web.server import body_of

_LONGEST_NAME = 100
_MOST_BYTES = 100_000


class Labelling:
    """Answers with the pages of a rater.

    Args:
        labels: The texts and their ratings.
        rater: The only rater; None lets each one give a name.
    """

    def __init__(self, labels: Labels, rater: str | None = None) -> None:
        self.labels, self.rater = labels, rater and labels.named(rater)

    @property
    def routes(self) -> list[Route]:
        """The pages' addresses."""
        return [
            Route("/", self.page),
            Route("/rate", self.rate, methods=["POST"]),
        ]

    async def page(self, request: Request) -> HTMLResponse:
        """Answer with a text to rate, the question for a name, or the end."""
        query = request.query_params
        rater = self.rater or self.labels.named(query.get("rater", "")[:_LONGEST_NAME])
        wanted = query.get("text"), query.get("after")
        return HTMLResponse(await run_in_threadpool(self._html, rater, *wanted))

    async def rate(self, request: Request) -> JSONResponse:
        """Take one rating; answers how many texts the rater has rated."""
        match {"comments": {}} | await body_of(request, _MOST_BYTES):
            case {
                "rater": str(rater),
                "text": str(key),
                "scores": dict(scores),
                "comments": dict(said),
            } if self.rater in (None, rater) and len(rater) <= _LONGEST_NAME:
                await run_in_threadpool(self.labels.rate, rater, key, scores, said)
                return JSONResponse({"rated": self.labels.done(rater)})
        raise HTTPException(422, "A rating is an object with rater, text and scores.")

    def _html(self, rater: str, wanted: str | None, after: str | None) -> str:
        if not rater:
            return self._render("label_start.html.j2", "Who rates?")
        order, labels = self.labels.order(rater), self.labels
        open_ones = {key for key in order if not labels.scores(rater, key)}
        key = wanted if wanted in labels.texts else _next(order, open_ones, after)
        title = f"{len(order) - len(open_ones)} of {len(order)} texts rated"
        if key is None:
            agreement = labels.agreement()
            end = {"agreement": agreement, "before": order[-1], "few": FEWEST_DOCUMENTS}
            return self._render("label_end.html.j2", title, rater=rater, **end)
        place = order.index(key)
        return self._render(
            "label.html.j2",
            title,
            rater=rater,
            key=key,
            text=[
                (name, value if isinstance(value, NamedImage) else _turns(value))
                for name, value in labels.shown(key)
            ],
            scores=labels.scores(rater, key),
            comments=labels.comments,
            said=labels.said(rater, key),
            before=order[place - 1] if place else None,
            keys=_keys(labels.rubric),
            done=len(order) - len(open_ones),
            total=len(order),
        )

    def _render(self, template: str, title: str, **values: object) -> str:
        return render(
            template,
            scripts=("label.js",),
            allowed="; connect-src 'self'",
            title=title,
            subtitle="",
            contents=(),
            rubric=self.labels.rubric,
            out=self.labels.out,
            **values,
        )


def _next(order: Sequence[str], open_ones: Set[str], after: str | None) -> str | None:
    """Return the first open text after another one; those before it come last."""
    place = order.index(after) + 1 if after in order else 0
    return next((key for key in (*order[place:], *order) if key in open_ones), None)


def _keys(rubric: Rubric) -> set[int]:
    """Return the scores that a key can give."""
    scales = [it.scale for it in rubric.criteria if it.scale.width <= 10]  # others have a field
    return {score for scale in scales for score in scale.values} & {*range(10)}


def _turns(text: str) -> list[tuple[str, str]]:
    """Return a conversation's speakers and words; any other text has no speaker."""
    written = transcript(text)
    if written is None:
        return [("", text)]
    lines = [turn.partition(": ") for turn in re.split(r"\n(?!  )", written)]
    return [(speaker, words.replace("\n  ", "\n")) for speaker, _, words in lines]
