"""Checks that a study that is there already belongs to a search like this one."""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence

import optuna
import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState

from mogradjudge.errors import SetupError
from mogradjudge.search.workers.database import TASKS

logger = logging.getLogger(__name__)

TASK, FAILED, WHY = "task", "failed", "why"
"""User attributes of a trial: the name of its task, how it failed, and why it ended as it did."""
EXTRA = "extra-"
"""Begins the names of the tasks that somebody else has queued with Optuna."""


class OwnTrials(optuna.Study):
    """A study that shows no trials of other code, to samplers and pruners neither.

    Trials that wait may be anybody's: each is checked when its turn comes.
    """

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: FBT001, FBT002 - Optuna's
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: FBT001, FBT002
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, states, use_cache)
        return [trial for trial in trials if not _is_foreign(trial)]


def _is_foreign(trial: FrozenTrial) -> bool:
    return trial.state != TrialState.WAITING and TASK not in trial.user_attrs


def check_study(study: optuna.Study, names: Sequence[str], directions: Sequence[str]) -> None:
    """Check that a study has a search's values, and not only trials of others.

    Those that others have added to a search's own count nowhere, and one line says so.

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
    trials = study.get_trials(deepcopy=False)
    if foreign := [trial for trial in trials if _is_foreign(trial)]:
        has = ", ".join([*foreign[0].params, *foreign[0].user_attrs][:5]) or "nothing"
        line = (
            f"The study {study.study_name!r} has trials that no search of mogradjudge has run: "
            f"{len(foreign)} of {len(trials)}, e.g. trial {foreign[0].number}, which has {has}."
        )
        if not any(TASK in trial.user_attrs for trial in trials):
            raise SetupError(f"{line} {others}")
        logger.warning("%s They are left out.", line)


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
