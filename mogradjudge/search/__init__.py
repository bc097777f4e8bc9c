"""A search over a run's settings: what may be tried, and what did best."""
