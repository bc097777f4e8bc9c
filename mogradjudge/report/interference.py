"""Interference, as the benchmark that measures it has written it down."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from mogradjudge.agreement.claims import Claim
from mogradjudge.errors import SetupError
from mogradjudge.files import read_json

INTERFERENCE = "interference.json"


@dataclass(frozen=True)
class Told:
    """What was measured, and each claim with its effect, what that means, and the criterion."""

    what: str
    rows: tuple[tuple[str, str, str, Claim], ...]


def read_interference(folder: Path) -> Told:
    """Read the claims that ``python -m benchmarks report`` leaves in a folder of results.

    Raises:
        SetupError: If there are none, or the file is damaged.
    """
    path = folder / INTERFERENCE
    if not path.exists():
        raise SetupError(
            f"{folder} has no {INTERFERENCE}. Run `python -m benchmarks interference` with --out, "
            "then `python -m benchmarks report` on its folder."
        )
    names = {each.name for each in fields(Claim)}
    try:
        plain = read_json(path)
        rows = tuple(
            (
                *(str(row["effect"]), str(row["meaning"]), str(row["criterion"])),
                Claim(**{key: value for key, value in row.items() if key in names}),
            )
            for row in plain["claims"]
        )
        return Told(str(plain["what"]), rows)
    except (KeyError, TypeError, AttributeError) as error:
        raise SetupError(f"{path} is damaged ({error!r}). Write it again.") from error
