"""The dilution benchmark's part of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from benchmarks.dilution.arms import JOINED, JOINT, LONG, ROUTED, SEPARATE
from benchmarks.dilution.calibration import Calibration
from benchmarks.dilution.contrasts import DILUTION
from benchmarks.dilution.findings import Contrast, Dilution
from benchmarks.dilution.summary import BENCHMARK, summarize
from benchmarks.harness.cells import Cell
from benchmarks.report.dilution_pictures import arms_picture
from benchmarks.report.markdown import difference, escape, folded, number, percent, table
from benchmarks.report.pictures import forest
from benchmarks.report.section import Section, figures_of, pictured
from benchmarks.report.settings import Settings
from mogradjudge import SetupError
from mogradjudge.agreement.claims import Claim

_ARMS: Mapping[str, str] = {
    SEPARATE: "a gradient for each criterion",
    JOINT: "one for all criteria, as long as one of S",
    LONG: "one for all criteria, as long as those of S together",
    JOINED: "those of S on one example put together, no LM",
    ROUTED: "the sentences of C-long sorted by criterion, no LM",
}
_UNITS = {"yield": "actionable units per text", "focus": "chance-corrected focus"}


def sections(cells: Sequence[Cell], settings: Settings) -> list[Section]:
    """Write about dilution, setting by setting."""
    return [
        _of_setting(ours, settings)
        for ours in settings.split([cell for cell in cells if cell.benchmark == BENCHMARK])
    ]


def _of_setting(cells: Sequence[Cell], settings: Settings) -> Section:
    title = f"Dilution, {settings.name(cells[0].setting)}"
    try:
        found = summarize(cells)
    except SetupError as error:  # it was cut short, or the steps are of different sizes
        return Section(title, (), [escape(error)])
    figures: dict[str, Figure] = {}
    parts = parts_of(found, settings.number(cells[0].setting), figures)
    claims = [named(each) for each in (*found.contrasts, *found.causal)]
    main = [named(each) for each in found.contrasts if DILUTION.is_that_of(each)]
    return Section(title, claims, parts, figures, cells[0].setting, main)


def named(contrast: Contrast) -> Claim:
    """Give a contrast's claim under a name that tells the rater."""
    return replace(contrast.mean, name=f"{contrast.rater}: {contrast.mean.name}")


def parts_of(found: Dilution, place: int, figures: dict[str, Figure]) -> list[str]:
    """Write about what was found, the pictures' files numbered by their place."""
    return [
        f"Gradients were written of the same judgements and critiques under every scope: "
        f"{found.steps} steps of {found.batch_size} texts from {len(found.seeds)} seeds, "
        f"{found.words} words for a gradient on one criterion. Each sentence was rated by itself, "
        "without knowing where it stood. A step is a cluster.",
        table(("", "what it is"), [[name, text] for name, text in _ARMS.items()]),
        *(f"- {escape(note)}" for note in found.notes),
        pictured(
            f"dilution-{place}-arms.svg",
            arms_picture(found),
            "Focus by the scope of the gradient, with controls: the share of words about the "
            "criterion, times ten (the dotted line is equal attention to all), the same corrected "
            "for the rater's errors and for chance, and the actionable units about the criterion",
            figures,
        ),
        _arms(found),
        *(
            pictured(
                f"dilution-{place}-{measure}.svg",
                forest(_short(found.contrasts, measure), f"difference in {what}"),
                f"Differences between scopes in {what}, mean over criteria, 95 % intervals; "
                "filled where established",
                figures,
            )
            for measure, what in _UNITS.items()
        ),
        _contrasts(found.contrasts),
        *(["What edits by single sentences bring:", _contrasts(found.causal)] * bool(found.causal)),
        "### Ratings of whole texts",
        "From 1 to 10 by the LM rater. A text on all criteria cannot rate high on each, so S "
        "joined is what arithmetic alone leaves of S.",
        _rated(found),
        "### The raters' test",
        "Raters on texts whose share of sentences about a criterion is known.",
        _raters(found),
        *(
            folded(f"What texts are about, by {rater}", _leakage(found, rater))
            for rater in found.raters
        ),
    ]


def _short(contrasts: Sequence[Contrast], measure: str) -> list[Claim]:
    return [
        replace(each.mean, name=f"{each.rater}: {each.name.removeprefix(f'{measure}, ')}")
        for each in contrasts
        if each.measure == measure
    ]


def _arms(found: Dilution) -> str:
    rows = [
        [
            each.arm,
            escape(each.rater + ("" if each.calibrated else " (uncalibrated)")),
            *(str(each.texts), number(each.words, 0), number(each.display, 1)),
            *(number(each.focus, 2), number(each.actionable, 2)),
            *(number(each.corrected_yield, 2), number(each.density, 2)),
            *(percent(each.coverage), number(each.entropy, 2)),
        ]
        for each in found.figures
        if each.criterion is None or len(found.criteria) == 1
    ]
    columns = ("", "rater", "texts", "words", "share x 10", "focus", "units counted")
    return table((*columns, "yield", "yield per 100 tokens", "coverage", "entropy"), rows)


def _contrasts(contrasts: Sequence[Contrast]) -> str:
    rows = [
        [
            escape(each.name),
            escape(each.rater),
            figures_of(each.mean),
            each.mean.verdict,
            "-" if each.relative is None else _bounded(each.relative),
            ", ".join(
                f"{escape(name)} {_bounded(claim)} {escape(each.told(name))}"
                for name, claim in each.by_criterion.items()
            ),
        ]
        for each in contrasts
    ]
    return table(("", "rater", "difference", "verdict", "share lost", "by criterion"), rows)


def _bounded(claim: Claim) -> str:
    return difference(claim.estimate, claim.low, claim.high)


def _rated(found: Dilution) -> str:
    rows = []
    for what, by_arm in {"focus": found.holistic, "adherence of edits": found.adherence}.items():
        for arm, ratings in by_arm.items():
            values = [number(ratings.get(name), 1) for name in found.criteria]
            rows.append([f"{what}, {arm}", *values])
    floor = [number(found.off_target.get(name), 1) for name in found.criteria]
    rows.append(["focus of S on a criterion that it was not asked about", *floor])
    return table(("", *map(escape, found.criteria)), rows)


def _raters(found: Dilution) -> str:
    rows = [
        [
            escape(name),
            *(number(each.overall.rho, 2), "yes" if each.monotone else "no"),
            *(number(each.overall.slope, 2), number(each.overall.intercept, 2)),
            *(number(each.mean_error, 2), number(each.yields.rho, 2)),
            *(percent(found.unrated.get(name)), _passed(each)),
        ]
        for name, each in found.calibrations.items()
    ]
    columns = ("", "rho", "monotone", "slope", "intercept", "error", "rho of yields", "unrated")
    return table((*columns, "test"), rows)


def _passed(each: Calibration) -> str:
    if each.passed_yields:
        return "passed"
    return "passed, but not on yields" if each.passed else escape(each.mark)


def _leakage(found: Dilution, rater: str) -> str:
    by_arm = found.leakage[rater]
    labels = list(
        dict.fromkeys(label for targets in by_arm.values() for m in targets.values() for label in m)
    )
    rows = [
        [f"{arm}, asked about {escape(target)}", *(percent(mass.get(label)) for label in labels)]
        for arm, targets in by_arm.items()
        for target, mass in targets.items()
    ]
    return table(("share of words about", *map(escape, labels)), rows)
