"""Puts instructions that were optimized apart into one judge, in few calls per text."""
