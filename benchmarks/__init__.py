"""Benchmarks of mogradjudge: ``python -m benchmarks NAME``."""
