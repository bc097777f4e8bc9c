"""Optuna over decomposition modes and hyperparameters, on one machine and on many."""

from mogradjudge.search.analysis.result import Fresh, SearchResult, TrialRecord
from mogradjudge.search.ranges import Range
from mogradjudge.search.space import SearchSpace
from mogradjudge.search.study import search

__all__ = ["Fresh", "Range", "SearchResult", "SearchSpace", "TrialRecord", "search"]
