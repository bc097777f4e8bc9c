"""The gain on the validation texts, corrected for having chosen the best candidate on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mogradjudge.agreement import Undefined
from mogradjudge.agreement.coefficients import FEWEST
from mogradjudge.agreement.selection_bias import corrected, resampled_means
from mogradjudge.judge.scores import Unscored
from mogradjudge.objectives import HumanAgreement, Objective
from mogradjudge.programs.evaluation import Judgement, agreement_of


def corrected_gain(
    judged: Sequence[Sequence[Judgement]], chosen: int, objectives: Sequence[Objective]
) -> float | None:
    """Return by how much the best candidate beats the first, less the luck of being the best.

    The correction is that of a search (`agreement.selection_bias.corrected`). It takes off a part
    of the bias, at most.

    Args:
        judged: All candidates' judgements of the same texts, the initial one's first.
        chosen: The place of the best one.
        objectives: What agreement is measured on.

    Returns:
        The gain in mean agreement; None for objectives that no rubric made, with fewer than 8
        documents, or where a mean is undefined.
    """
    means = [agreement_of(judgements, objectives).mean for judgements in judged]
    groups = [judgement.group for judgement in judged[0]]
    ours = [it.aggregate for it in objectives if isinstance(it.aggregate, HumanAgreement)]
    best, first = means[chosen], means[0]
    if best is None or first is None or len(ours) < len(objectives) or len(set(groups)) < FEWEST:
        return None
    rivals = [place for place, mean in enumerate(means) if mean is None or mean <= best]
    human = _by_criterion(_human, judged[0], ours)
    scores = [_by_criterion(_score, judged[place], ours) for place in rivals]
    resampled = resampled_means(human, scores, groups, ours[0].options)
    result = corrected(
        [means[place] for place in rivals],
        resampled,
        rivals.index(chosen),
        documents=len(set(groups)),
    )
    return None if isinstance(result, Undefined) else result.corrected - first


def _by_criterion(
    read: Callable[[Judgement, HumanAgreement], float | None],
    judgements: Sequence[Judgement],
    agreements: Sequence[HumanAgreement],
) -> dict[str, list[float | None]]:
    return {it.criterion.name: [read(one, it) for one in judgements] for it in agreements}


def _human(judgement: Judgement, agreement: HumanAgreement) -> float | None:
    value = agreement.criterion.score_in(judgement.example)
    return None if value is None else float(value)


def _score(judgement: Judgement, agreement: HumanAgreement) -> float | None:
    name = agreement.criterion.name
    prediction = judgement.read_by(name)
    if not isinstance(judgement.scores[name], float) or isinstance(prediction[name], Unscored):
        return None
    return float(prediction[name])
