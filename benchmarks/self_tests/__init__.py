"""Tests of the instrument itself: cost, faults, scale, search, statistics."""
