"""Says all that is wrong with a rubric's text, and reads what is right in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mogradjudge.criteria.criterion import Criterion
from mogradjudge.criteria.rubric import Rubric
from mogradjudge.criteria.toml import read_fields
from mogradjudge.errors import SetupError

_ANY = Criterion("any_criterion", "Stands for those that are not read yet.")


@dataclass(frozen=True)
class CheckedText:
    """What a rubric's text says, as far as it can be read.

    Args:
        rubric: The inputs, and the criteria whose columns are known; None without any.
        right: The names of the criteria of which nothing is wrong.
        faults: All that is wrong, a line each.
    """

    rubric: Rubric | None
    right: frozenset[str]
    faults: list[str]


def check_text(text: str) -> CheckedText:
    """Say all that is wrong with a rubric's text.

    Raises:
        SetupError: If the text is not TOML.

    Example:
        >>> checked = check_text('''
        ... inputs = ["reply"]
        ... criteria = [{name = "tone"}, {name = "wit", definition = "Is it witty?"}]
        ... ''')
        >>> checked.rubric.names, sorted(checked.right), len(checked.faults)
        (('wit', 'tone'), ['wit'], 1)
    """
    fields, doubtful, faults = read_fields(text)
    inputs = fields["inputs"]
    usable = _Usable(faults)
    usable.add_inputs(inputs if isinstance(inputs, Mapping) else dict.fromkeys(inputs))
    criteria = [*fields["criteria"], *doubtful]
    usable.add_criteria(criteria)
    for key in sorted(fields.keys() - {"inputs", "criteria"}):
        usable.takes(**{key: fields[key]})
    if not faults:  # only as a whole something may be wrong: a name that is used twice
        usable.takes(**fields)
    return CheckedText(
        usable.rubric,
        frozenset(it.name for it in criteria if it not in doubtful),
        list(dict.fromkeys(faults)),
    )


class _Usable:
    """The fields of a rubric that go together."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        self.fields: dict[str, Any] = {"inputs": {}, "criteria": [_ANY]}

    @property
    def rubric(self) -> Rubric | None:
        whole = Rubric(**self.fields) if self.fields["inputs"] else None
        criteria = [it for it in self.fields["criteria"] if it is not _ANY]
        return whole.part(criteria) if whole and criteria else None

    def takes(self, **more: Any) -> bool:
        """Add fields if the others can go with them, else say why they cannot."""
        try:
            Rubric(**self.fields | more)
        except SetupError as error:
            self.faults.append(str(error))
            return False
        self.fields |= more
        return True

    def add_inputs(self, columns: Mapping[str, str | None]) -> None:
        for name, column in columns.items():
            self.takes(inputs={**self.fields["inputs"], name: column or name})

    def add_criteria(self, criteria: Iterable[Criterion]) -> None:
        if self.fields["inputs"]:
            for criterion in criteria:
                self.takes(criteria=[*self.fields["criteria"], criterion])
