"""Simulated worlds: planted effects, toy LMs, servers."""
