"""Checks that a study that is there already belongs to a search like this one."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
import sqlalchemy as sa
from optuna.trial import TrialState

from mogradjudge.errors import SetupError
from mogradjudge.search.workers.database import TASKS

TASK, FAILED = "task", "failed"
"""User attributes of a trial: the name of its task, and how it failed."""
_ENDED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def check_study(study: optuna.Study, names: Sequence[str], directions: Sequence[str]) -> None:
    """Check that a study has a search's values, and no trials of others.

    Trials that wait may be anybody's: each is checked when its turn comes.

    Args:
        study: The study.
        names: The values of the search.
        directions: Their directions.

    Raises:
        SetupError: If another search, or other code, has made the study.
    """
    others = "Give another `study`, or another `storage`."
    known = [it.name.lower() for it in study.directions]
    if known != list(directions) or study.metric_names not in (None, list(names)):
        raise SetupError(
            f"The study {study.study_name!r} has other values: {_values(study.metric_names, known)}"
            f" there, and {_values(names, directions)} here. {others}"
        )
    ended = study.get_trials(deepcopy=False, states=_ENDED)
    foreign = [trial for trial in ended if TASK not in trial.user_attrs]
    if foreign:
        has = ", ".join([*foreign[0].params, *foreign[0].user_attrs][:5]) or "nothing"
        raise SetupError(
            f"The study {study.study_name!r} has trials that no search of mogradjudge has run: "
            f"{len(foreign)} of {len(ended)}, e.g. trial {foreign[0].number}, which has {has}. "
            f"{others}"
        )


def _values(names: Sequence[str] | None, directions: Sequence[str]) -> str:
    named = names or ["a value"] * len(directions)
    return ", ".join(map(" to ".join, zip(named, directions, strict=True)))


def check_version(connection: sa.Connection, study: optuna.Study) -> None:
    """Check that the study's trials are tasks of our table.

    Raises:
        SetupError: If an earlier version has made the study.
    """
    mine = sa.select(TASKS.c.name).where(TASKS.c.study == study.study_name).limit(1)
    if connection.execute(mine).first() is None and any(
        TASK in trial.user_attrs for trial in study.get_trials(deepcopy=False)
    ):
        raise SetupError(earlier_version(study.study_name))


def earlier_version(study: str) -> str:
    """Say in one line that a study cannot be continued."""
    return (
        f"The study {study!r} was made by mogradjudge 0.1.1 or earlier, which queued its trials "
        "in another way. Its search.json stays readable with `mogradjudge report`; use that "
        "version, or give another `study` and another `out`."
    )
