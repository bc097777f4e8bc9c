"""A table's shards on a Ray cluster; Ray itself is imported only when it is used."""

from mogradjudge.scoring.ray.driver import Cluster
from mogradjudge.scoring.ray.session import ClusterFailed, check_ray, joined

__all__ = ["Cluster", "ClusterFailed", "check_ray", "joined"]
