"""What is rated: a scale, a criterion, a rubric, and the TOML file that holds one."""

from mogradjudge.criteria.criterion import Criterion, Group, Scale
from mogradjudge.criteria.rubric import Rubric

__all__ = ["Criterion", "Group", "Rubric", "Scale"]
