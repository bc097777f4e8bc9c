"""Tables of what was found about dilution, for those who read on."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.dilution.calibration import UNCALIBRATED, Curve
from benchmarks.dilution.contrasts import PARTS, PATH, SHARE
from benchmarks.dilution.summary import Dilution
from benchmarks.harness.tables import Table, difference, percent, signed
from mogradjudge.agreement.claims import Claim
from mogradjudge.criteria import Group
from mogradjudge.display.terminal import number

PAPER = ("the paper's task focus, arXiv:2605.26046", (9.0, 3.7))
"""One LM's rating from 1 to 10 of all of a step's gradients as one text: separate, joint."""


def tables(dilution: Dilution) -> Iterator[Table]:
    """Give all tables, the nearest to the finding first."""
    yield parts_table(dilution)
    yield losses_table(dilution)
    if dilution.masking or dilution.causal:
        yield more_table(dilution)
    yield arms_table(dilution)
    yield ratings_table(dilution)
    yield raters_table(dilution)
    if any(test.real for test in dilution.calibrations.values()):
        yield real_units_table(dilution)


def parts_table(dilution: Dilution) -> Table:
    """Take the difference of separate and joint gradients apart; the parts add up."""
    name, (separate, joint) = PAPER
    rows = [[name, "-", f"{separate:.1f}", *["-"] * len(PARTS), f"{joint:.1f}", "-"]]
    for of in dilution.decompositions:
        written = _of_ten if of.measure == SHARE else number
        ends = [written(of.means[0], 1), written(of.means[-1], 1)]
        who = of.rater + ("" if of.passed else f" ({UNCALIBRATED})")
        parts = [difference(claim) for claim in of.parts]
        rows.append([of.measure, who, ends[0], *parts, ends[1], difference(of.total)])
    columns = ("measure", "rater", PATH[0], *PARTS, PATH[-1], "all of it")
    return Table(columns, rows, "What the difference is made of: each part is a fall", keys=2)


def _of_ten(value: float | None, digits: int) -> str:
    """Write a corrected share; where the rater errs, its line leads out of the scale."""
    out = value is not None and not 0 <= value <= 10
    return number(value, digits) + " (out of the scale: the rater errs)" * out


def losses_table(dilution: Dilution) -> Table:
    """Say what each arm loses of the separate ones' yield, by each rater."""
    rows = [
        [
            *(loss.arms[1], loss.rater + ("" if loss.passed else f" ({UNCALIBRATED})")),
            *(difference(loss.difference), difference(loss.share)),
            *(*_judged(loss.share, trusted=bool(loss.passed)), loss.share.note or "-"),
        ]
        for loss in dilution.losses
    ]
    columns = ("gradients", "rater", "fewer units", "share lost", "verdict", "p", "note")
    return Table(columns, rows, f"Yield of {PATH[0]} minus that of others", keys=2)


def more_table(dilution: Dilution) -> Table:
    """Judge what hidden names change, and what edits by single units bring."""
    rows = [
        [
            *(claim.name, difference(claim)),
            *(*_judged(claim, trusted=not claim.name.startswith(UNCALIBRATED)), claim.note or "-"),
        ]
        for claim in (*dilution.masking, *dilution.causal)
    ]
    return Table(("", "difference", "verdict", "p", "note"), rows, "Names masked, and single edits")


def _judged(claim: Claim, *, trusted: bool) -> tuple[str, str]:
    """Give verdict and p-value; what a rater says that failed its test is not judged."""
    return (claim.verdict, number(claim.p_value, 3)) if trusted else ("-", "-")


def arms_table(dilution: Dilution) -> Table:
    """Give the means of each arm, as each rater sees them."""
    rows = [
        [
            *(arm.arm, arm.rater + ("" if arm.passed else f" ({UNCALIBRATED})")),
            *(number(arm.words, 0), _of_ten(arm.share, 1)),
            *(number(arm.counted, 2), number(arm.corrected, 2)),
            percent(dilution.silence.get(arm.arm)),
        ]
        for arm in dilution.figures
    ]
    columns = ("gradients", "rater", "words", "share x 10", "units as counted", "corrected")
    title = f"Means over criteria; {dilution.steps} steps of {dilution.batch_size}"
    return Table((*columns, "no advice"), rows, title, keys=2)


def ratings_table(dilution: Dilution) -> Table:
    """Give the LM's mean ratings from 1 to 10."""
    arms = list(dict.fromkeys(arm for by_arm in dilution.ratings.values() for arm in by_arm))
    rows = [
        [what, *(number(by_arm.get(arm), 1) for arm in arms)]
        for what, by_arm in dilution.ratings.items()
    ]
    return Table(("rated from 1 to 10", *arms), rows, "Rated by the LM; edits are never tested")


def raters_table(dilution: Dilution) -> Table:
    """Say how the raters did on texts whose share of units about a criterion is known."""
    rows = []
    for name, tested in dilution.calibrations.items():
        for what, curve in (("shares", tested.shares), ("yields", tested.yields)):
            passed = tested.passed(
                dilution.raters.get(name, dilution.criteria), yields=what == "yields"
            )
            rho = tested.yield_rho if what == "yields" else curve.overall.rho
            unrated = percent(dilution.unrated.get(name))
            rows.append([f"{name}, {what}", *_curve(curve, rho, passed), unrated])
    if (whole := dilution.whole_texts) is not None:
        passed = tuple(filter(whole.passes, dilution.criteria))
        rows.append(["focus of whole texts, 1-10", *_curve(whole, whole.overall.rho, passed), "-"])
    columns = ("rater", "rho", "slope", "intercept", "passed on", "unrated")
    return Table(columns, rows, "Raters on texts of known focus")


def _curve(curve: Curve, rho: float | None, passed: Group) -> list[str]:
    slope, intercept = (number(it, 2) for it in (curve.overall.slope, curve.overall.intercept))
    return [number(rho, 2), slope, intercept, ", ".join(passed) or "none"]


def real_units_table(dilution: Dilution) -> Table:
    """Say how raters agree with two labellings of real units, and these with each other."""
    rows = [
        [
            *(name, label, str(tested.real.n)),
            *(number(kappa, 2) for kappa in (*of.with_each, of.between)),
            signed(of.bias, 2),
        ]
        for name, tested in dilution.calibrations.items()
        if tested.real is not None
        for label, of in tested.real.by_label.items()
    ]
    columns = ("rater", "label", "units", "kappa with 1", "with 2", "of 1 and 2", "bias")
    return Table(columns, rows, "Raters on real units that were labelled twice", keys=2)
