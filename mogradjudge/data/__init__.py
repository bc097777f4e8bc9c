"""Reads tables as `dspy.Example`, and splits them without splitting a group."""

from mogradjudge.data.batches import Batch
from mogradjudge.data.draft import Draft, draft_rubric
from mogradjudge.data.examples import listed, load_examples, missing_human
from mogradjudge.data.options import READ_DEFAULTS, ReadOptions
from mogradjudge.data.ratings import Rating
from mogradjudge.data.readers import HUB, write_parquet
from mogradjudge.data.splits import (
    check_disjoint,
    example_key,
    group_of,
    has_groups,
    inputs_key,
    key_of,
    places_by_group,
    split_by_group,
    with_groups,
)
from mogradjudge.data.survey import Survey, inputs_of, judgeable, kept_table, survey
from mogradjudge.data.tables import KINDS, Table, check_columns, stream_table

__all__ = [
    "HUB",
    "KINDS",
    "READ_DEFAULTS",
    "Batch",
    "Draft",
    "Rating",
    "ReadOptions",
    "Survey",
    "Table",
    "check_columns",
    "check_disjoint",
    "draft_rubric",
    "example_key",
    "group_of",
    "has_groups",
    "inputs_key",
    "inputs_of",
    "judgeable",
    "kept_table",
    "key_of",
    "listed",
    "load_examples",
    "missing_human",
    "places_by_group",
    "split_by_group",
    "stream_table",
    "survey",
    "with_groups",
    "write_parquet",
]
