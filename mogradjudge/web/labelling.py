"""A page to rate texts by hand: each rater sees the texts and their own scores alone."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

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
        self.labels, self.rater = labels, rater

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
        rater = self.rater or " ".join(query.get("rater", "").split())[:_LONGEST_NAME]
        return HTMLResponse(await run_in_threadpool(self._html, rater, query.get("text")))

    async def rate(self, request: Request) -> JSONResponse:
        """Take one rating; answers how many texts the rater has rated."""
        match await body_of(request, _MOST_BYTES):
            case {"rater": str(rater), "text": str(key), "scores": dict(scores)} if (
                self.rater in (None, rater) and len(rater) <= _LONGEST_NAME
            ):
                await run_in_threadpool(self.labels.rate, rater, key, scores)
                return JSONResponse({"rated": self.labels.done(rater)})
        raise HTTPException(422, "A rating is an object with rater, text and scores.")

    def _html(self, rater: str, wanted: str | None) -> str:
        if not rater:
            return self._render("label_start.html.j2", "Who rates?")
        order, labels = self.labels.order(rater), self.labels
        open_ones = [key for key in order if not labels.scores(rater, key)]
        key = wanted if wanted in labels.texts else next(iter(open_ones), None)
        title = f"{len(order) - len(open_ones)} of {len(order)} texts rated"
        if key is None:
            agreement = labels.agreement()
            return self._render("label_end.html.j2", title, rater=rater, agreement=agreement)
        place = order.index(key)
        return self._render(
            "label.html.j2",
            title,
            rater=rater,
            key=key,
            text=labels.shown(key),
            scores=labels.scores(rater, key),
            before=order[place - 1] if place else None,
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
