"""A search over the optimizer's configuration, and what its trials tell."""
