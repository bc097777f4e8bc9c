"""Tables to ``dspy.Example``; splits that keep a group of examples on one side."""

from mogradjudge.data.batches import Batch
from mogradjudge.data.columns import check_columns
from mogradjudge.data.examples import listed, load_examples, missing_human
from mogradjudge.data.hub import HUB
from mogradjudge.data.overlap import check_disjoint, example_key, inputs_key, key_of
from mogradjudge.data.parquet import write_parquet
from mogradjudge.data.splits import group_of, split_by_group
from mogradjudge.data.survey import Survey, inputs_of, kept_table, survey
from mogradjudge.data.tables import KINDS, Table, stream_table

__all__ = [
    "HUB",
    "KINDS",
    "Batch",
    "Survey",
    "Table",
    "check_columns",
    "check_disjoint",
    "example_key",
    "group_of",
    "inputs_key",
    "inputs_of",
    "kept_table",
    "key_of",
    "listed",
    "load_examples",
    "missing_human",
    "split_by_group",
    "stream_table",
    "survey",
    "write_parquet",
]
