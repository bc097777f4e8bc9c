"""Whether the padded arm has the length that it stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks.harness.cells import Cell
from benchmarks.interference.measure import identity
from mogradjudge.agreement.claims import Claim


def mismatch(chosen: Sequence[Cell], scored: Sequence[Cell]) -> str:
    """Say in which runs P is longer than J1, and by how many words.

    Padding cannot make the seed's sections shorter, and an optimized one may be shorter. The words
    are known of sections that were optimized here, not of those of a saved judge; where they are
    unknown or match, it is ``""``.
    """
    runs: dict[tuple[object, ...], dict[str, tuple[str, str]]] = {}
    for cell in chosen:
        effort = tuple(value for name, value in cell.key.items() if name != "criterion")
        pair = cell.result["measured"][0]["section"], cell.result["section"]
        runs.setdefault(effort, {})[cell.key["criterion"]] = pair
    used = {cell.key.get("instructions") for cell in scored}
    parts = []
    for sections in runs.values():
        if identity({name: new for name, (_, new) in sections.items()})["instructions"] in used:
            lengths = [(len(seed.split()), len(new.split())) for seed, new in sections.values()]
            padded, joint = sum(map(max, lengths)), sum(new for _, new in lengths)
            parts += [f"{padded} words in P, {joint} in J1"] * (padded > joint)
    return f"P is longer than J1 in some runs: {'; '.join(parts)}" if parts else ""


def with_mismatch(
    effects: Mapping[str, Mapping[str, Claim]], names: Sequence[str], said: str
) -> dict[str, dict[str, Claim]]:
    """Note a mismatch beside all claims of the effects that rest on equal lengths."""
    return {
        name: {
            each: replace(claim, note="; ".join(filter(None, (claim.note, said))))
            if name in names
            else claim
            for each, claim in claims.items()
        }
        for name, claims in effects.items()
    }
