"""Tables to ``dspy.Example``; splits that keep a group of examples on one side."""

from mogradjudge.data.examples import load_examples, missing_human
from mogradjudge.data.overlap import check_disjoint, example_key, inputs_key, key_of
from mogradjudge.data.splits import group_of, split_by_group
from mogradjudge.data.tables import KINDS

__all__ = [
    "KINDS",
    "check_disjoint",
    "example_key",
    "group_of",
    "inputs_key",
    "key_of",
    "load_examples",
    "missing_human",
    "split_by_group",
]
