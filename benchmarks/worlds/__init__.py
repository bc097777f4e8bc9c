"""Simulated worlds: planted effects, toy LMs, servers."""


def spoken(world: str) -> str:
    """Name a world as people read it: none of them is real.

    >>> spoken("real"), spoken("planted")
    ('real-like', 'planted')
    """
    return "real-like" if world == "real" else world
