"""What is rated: a scale, a criterion, a rubric, and the TOML file that holds one."""

from mogradjudge.criteria.criterion import Criterion, Group, Scale
from mogradjudge.criteria.rubric import Rubric
from mogradjudge.criteria.toml import fields_from_toml

__all__ = ["Criterion", "Group", "Rubric", "Scale", "fields_from_toml"]
