"""Results as tables on stdout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mogradjudge.display.terminal import number, print_table, say

if TYPE_CHECKING:
    from mogradjudge.judge.calibration import ScoreMap
    from mogradjudge.optimize.estimate import RoleEstimate
    from mogradjudge.scoring.ceilings import Ceilings
    from mogradjudge.scoring.table import ScoredTable


# Columns of `evaluate`'s second table beside those of `METHODS`: the key in its report, and the
# digits to show.
_OTHER_MEASURES = {
    "alpha": ("alpha", 3),
    "MAE": ("mae", 2),
    "bias": ("bias", 2),
    "coverage": ("coverage", 2),
}


# What `score --estimate` says of its texts: the key of a mean, and the words.
_MEANS_COUNTS = {
    "in_both": "texts in both tables, which count as rated",
    "missing": "texts of the rated table without a human score, which do not count as rated",
    "unscored": "rated texts without a judge's score, left out of the estimate",
    "unlabelled_unscored": "other texts without a judge's score, left out",
}
# Why scores stay as they are, by the kind of map.
_UNMAPPED = {
    "none": "no map lowers the error by more than chance would",
    "flat": "the best map gives every text the same score, so it would say nothing of a text",
}
_SUMMED = ("calls", "likely_calls", "prompt_tokens", "completion_tokens")


def print_run(result: Mapping[str, Any]) -> None:
    """Print what `result.json` holds: agreement before and after, and the ledger."""
    from mogradjudge.agreement.methods import named
    from mogradjudge.agreement.weighted_mean import mean_label

    confirmation, test = result["confirmation"], result["test"]
    pairs = {"validation": result["selection"]}
    if confirmation["seed"] is not None:
        compared = {"seed": confirmation["seed"], "final": confirmation["best"]}
        pairs = {"confirmation": compared, **pairs}
    pairs |= {"test": test} if test else {}
    columns = ["criterion"]
    for split in pairs:
        columns += [f"{split} initial", f"{split} best"]
    rows = [
        [name, *(number(pair[end][name]) for pair in pairs.values() for end in ("seed", "final"))]
        for name in result["seed_agreement"]
    ]
    rows[-1][0] = mean_label(result.get("weights", {}))  # runs of earlier versions have none
    level = result["config"]["level"]
    measure = named(result["measures"], short=True)
    chosen = "validation texts chose the best, so there it looks better than it is"
    print_table(
        columns, rows, f"Agreement ({measure}, {level}), mode {result['mode']}; the {chosen}"
    )
    first = next(iter(pairs))
    _print_deviations(result["deviations"], first)
    ceilings = result["ceiling"]
    if _has_shares(ceilings):
        shares = (f"{_share(it)} on {name}" for name, it in ceilings.items())
        say(f"on the {first} texts, share of the raters' ceiling: {', '.join(shares)}")
    _print_ceilings(ceilings, f"on the {first} texts, ")
    _print_applicability(result.get("applicability", {}))
    _print_losses(result)
    print_ledger(result["ledger"])


def _print_applicability(counts: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Say to how many texts a criterion does not apply, by judge and people."""
    for name, it in counts.items():
        if it is not None:
            say(
                f"{name} does not apply: to {it['both']} texts by both, {it['people']} by people "
                f"alone, {it['judge']} by the judge alone; {it['neither']} have both scores; "
                f"kappa {number(it['kappa'])}"
            )


def _has_shares(ceilings: Ceilings) -> bool:
    return any(ceiling["share"] is not None for ceiling in ceilings.values())


def _share(ceiling: Mapping[str, Any]) -> str:
    """Write the share of the ceiling with its interval."""
    ends = ceiling["share_interval"]
    return number(ceiling["share"]) + (f" ({interval_cell(ends)})" if ends else "")


def _print_ceilings(ceilings: Ceilings, where: str = "") -> None:
    from mogradjudge.scoring.ceilings import describe

    for line in describe(ceilings):
        say(f"{where}{line}")


def _print_deviations(deviations: Mapping[str, Mapping[str, Any]], split: str) -> None:
    """Print bias and mean error of the initial and the best instructions on a split's texts."""
    ends = {"initial": deviations["seed"], "best": deviations["final"]}
    keys = {"bias": "bias", "mean error": "mean_error"}
    columns = ["criterion", *(f"{end} {what}" for what in keys for end in ends)]
    rows = [
        [name, *(number(end[name][key], 2) for key in keys.values() for end in ends.values())]
        for name in deviations["seed"]
        if name in deviations["final"]
    ]
    if rows:
        title = f"Errors on the {split} texts, in points of the scale; bias > 0 is a lenient judge"
        print_table(columns, rows, title)


def _print_losses(result: Mapping[str, Any]) -> None:
    """Print how many scores are missing from the figures, if any."""
    losses = {
        "validation texts without a usable score": result["unscored"],
        "validation texts without a human score": result["missing_human"],
        "expected scores replaced by the integer": result["fallbacks"],
    }
    for what, counts in losses.items():
        if any(counts.values()):
            say(f"{what}: {_by_criterion(counts)}")
    if skipped := sum(step["skipped"] for step in result["steps"]):
        say(f"replies, or sections in them, that could not be used: {skipped}")
    say("")


def _by_criterion(counts: Mapping[str, int]) -> str:
    """Write the counts above 0, as "2 on clarity, 1 on courtesy"."""
    return ", ".join(f"{count} on {name}" for name, count in counts.items() if count) or "none"


def print_ledger(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print calls, tokens and cost by role and criteria."""
    shown = [
        [
            row["role"],
            ", ".join(row["criteria"]),
            *(str(row[key]) for key in ("calls", "cached", "failed")),
            *(str(row[key] or "-") for key in ("prompt_tokens", "completion_tokens")),
            number(row["cost"], 4),
        ]
        for row in rows
    ]
    columns = ("role", "criteria", "calls", "cached", "failed", "tokens in", "tokens out", "US$")
    print_table(columns, shown, "Calls and tokens", keys=2)


def scored_as_dict(scored: ScoredTable) -> dict[str, Any]:
    """Return what `score --json` prints."""
    return {
        "out": str(scored.out),
        "texts": scored.texts,
        "unscored": dict(scored.unscored),
        "not_applicable": dict(scored.not_applicable),
        "fallbacks": dict(scored.fallbacks),
        "ledger": [row.as_dict() for row in scored.ledger],
        "means": scored.means and {name: mean.as_dict() for name, mean in scored.means.items()},
    }


def print_scored(scored: ScoredTable) -> None:
    """Print the cost of scoring a table, the missing scores, and where the scores are."""
    print_ledger([row.as_dict() for row in scored.ledger])
    texts = "1 text" if scored.texts == 1 else f"{scored.texts} texts"
    parts = {"unscored": scored.unscored, "fallbacks": scored.fallbacks}
    if any(scored.not_applicable.values()):
        parts["does not apply"] = scored.not_applicable
    counts = "; ".join(f"{what}: {_by_criterion(it)}" for what, it in parts.items())
    say(f"The scores of {texts} are in {scored.out}; {counts}.")
    if scored.means:
        _print_means({name: mean.as_dict() for name, mean in scored.means.items()})


def _print_means(means: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the estimated means beside those of the rated texts alone, and what is left out."""
    from mogradjudge.agreement import FEWEST_DOCUMENTS

    few = {
        name: it["documents"] for name, it in means.items() if it["documents"] < FEWEST_DOCUMENTS
    }
    columns = ("criterion", "mean", "95 % interval", "rated texts alone", "95 % interval")
    rows = [
        [
            *(name, number(mean["mean"]), interval_cell(mean["interval"])),
            *(number(mean["labelled_mean"]), interval_cell(mean["labelled_interval"])),
            "-" if name in few or mean["gain"] is None else f"{100 * mean['gain']:z.0f} %",
            f"{mean['documents']} + {mean['unlabelled_documents']}",
        ]
        for name, mean in means.items()
    ]
    print_table(
        (*columns, "narrower by", "documents"),
        rows,
        "Mean human score over documents, from human and judge scores (prediction-powered)",
    )
    say(
        "It holds if the rated documents are like the others: drawn by chance from the same ones. "
        "Each document counts the same."
    )
    for key, what in _MEANS_COUNTS.items():
        if any(mean[key] for mean in means.values()):
            say(f"{what}: {_by_criterion({name: mean[key] for name, mean in means.items()})}")
    if unused := [name for name, mean in means.items() if mean["weight"] == 0]:
        say(f"the judge's scores are not used, as they do not help (weight 0): {', '.join(unused)}")
    if few:
        say(
            f"rated documents, too few to rely on an interval (fewer than {FEWEST_DOCUMENTS}): "
            + ", ".join(f"{count} on {name}" for name, count in few.items())
        )


def print_estimate(rows: Sequence[RoleEstimate]) -> None:
    """Print an estimate by role, and its total."""
    from mogradjudge.optimize.dry_run import PARAGRAPH_TOKENS

    costs = [row.cost for row in rows]
    total = None if None in costs else sum(cost for cost in costs if cost is not None)
    shown = [
        [row.role, *(str(getattr(row, key)) for key in _SUMMED), number(row.cost, 4)]
        for row in rows
    ]
    sums = [sum(getattr(row, key) for row in rows) for key in _SUMMED]
    print_table(
        ("role", "calls at most", "likely", "tokens in", "tokens out", "US$"),
        [*shown, ["total", *map(str, sums), number(total, 4)]],
        "Estimate if all proposals are accepted and nothing is asked twice; replies of critic, "
        f"coach and editor are assumed to have {PARAGRAPH_TOKENS} tokens per criterion",
    )


def print_evaluation(report: Mapping[str, Any]) -> None:
    """Print what `evaluate --json` prints."""
    from mogradjudge.agreement.methods import METHODS, named
    from mogradjudge.agreement.weighted_mean import mean_label

    ceilings = report["ceiling"]
    has_shares = _has_shares(ceilings)
    may_not_apply = any(it["applicability"] for it in report["criteria"].values())
    counts = {"n": "n", "unscored": "unscored"}
    counts |= {"not_applicable": "judge's n/a"} if may_not_apply else {}
    counts |= {"missing": "no human", "fallbacks": "fallbacks"}
    rows = [
        [name, number(measures["agreement"]), interval_cell(measures["interval"])]
        + ([_share(ceilings[name])] if has_shares else [])
        + [str(measures[key]) for key in counts]
        for name, measures in report["criteria"].items()
    ]
    means = [number(report["mean"]), interval_cell(report["mean_interval"])]
    mean = [mean_label(report["weights"], report["undefined"]), *means]
    rows.append([*mean, *[""] * (len(rows[0]) - len(mean))])
    used = {name: measures["measure"] for name, measures in report["criteria"].items()}
    shown_first = named(used, short=True) if len(set(used.values())) == 1 else "agreement"
    columns = [
        "criterion",
        shown_first,
        "95 % interval",
        *(["share of ceiling"] if has_shares else []),
    ]
    columns += counts.values()
    documents = report["documents"]
    over = f"{documents} document{'' if documents == 1 else 's'}"
    title = f"Agreement ({named(used, short=True)}, {report['level']}), intervals over {over}"
    print_table(columns, rows, title)
    _print_ceilings(ceilings)
    _print_applicability({name: it["applicability"] for name, it in report["criteria"].items()})
    for note in report["notes"]:
        say(note)
    coefficients = {kind.short: (name, 3) for name, kind in METHODS.items() if name != "mae"}
    others = {**coefficients, **_OTHER_MEASURES}
    others.pop(shown_first, None)
    if report["calibration"]:
        others["MAE of raw scores"] = ("raw_mae", 2)
    print_table(
        ("criterion", *others),
        [
            [name, *(number(measures[key], digits) for key, digits in others.values())]
            for name, measures in report["criteria"].items()
        ],
        "Other measures; MAE and bias are in points of the scale, bias > 0 is a lenient judge",
    )
    print_ledger(report["ledger"])


def print_calibration(maps: Mapping[str, ScoreMap], out: str) -> None:
    """Print each criterion's map and its errors, and where the judge is."""
    rows = [
        [
            *(name, it.kind, number(it.raw_error, 2), number(it.mapped_error, 2)),
            str(it.documents),
        ]
        for name, it in maps.items()
    ]
    print_table(
        ("criterion", "map", "MAE raw", "MAE mapped", "documents"),
        rows,
        "Mean absolute error in points of the scale; mapped: by maps fitted to other documents",
    )
    for kind, why in _UNMAPPED.items():
        if names := [name for name, it in maps.items() if it.kind == kind]:
            say(f"{why}; as they are: {', '.join(names)}")
    say(f"The calibrated judge is in {out}.")


def print_composition(result: Mapping[str, Any], out: str) -> None:
    """Print what `compose.json` holds: the front, the interference and what was confirmed."""
    from mogradjudge.agreement.weighted_mean import mean_label

    names = list(result["sections"])
    rows = [
        [
            *(str(point["calls"]), point["layout"], number(point["mean"])),
            *(number(point["agreement"][name]) for name in names),
            "taken" if point == result["chosen"] else "",
        ]
        for point in result["front"]
    ]
    print_table(
        ("calls per text", "criteria in a call", mean_label(result["weights"]), *names, ""),
        rows,
        "Agreement on the texts that chose the composition, and so optimistic",
    )
    for point in result["front"]:
        if any(point["without_score"].values()):
            lost = _by_criterion(point["without_score"])
            say(f"rated texts without a score, with {point['calls']} calls per text: {lost}")
    effects = result["interference"]["effects"]
    print_table(
        ("section of", *(f"on {name}" for name in names)),
        [
            [name, *("" if on == name else number(value, 2) for on, value in pairs)]
            for name, row in zip(names, effects, strict=True)
            for pairs in [zip(names, row, strict=True)]
        ],
        "Interference: change of the agreement when both share a call; below 0 is harm",
    )
    say("sections: " + ", ".join(f"{name} {kind}" for name, kind in result["sections"].items()))
    say(result["confirmation"]["sentence"])
    say("")
    print_ledger(result["ledger"])
    say(f"The judge is in {out}, all numbers are in {out}/compose.json.")


def interval_cell(bounds: Sequence[float] | None) -> str:
    """Write the ends of an interval, or a dash."""
    return "-" if bounds is None else f"{bounds[0]:z.3f} to {bounds[1]:z.3f}"
