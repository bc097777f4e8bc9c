"""A table's shards on a Ray cluster; Ray itself is imported only where it is asked for."""

from mogradjudge.scoring.ray.driver import Cluster
from mogradjudge.scoring.ray.session import ClusterFailed, check_ray, joined

__all__ = ["Cluster", "ClusterFailed", "check_ray", "joined"]
