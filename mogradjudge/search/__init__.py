"""Optuna over decomposition modes and hyperparameters, on one machine and on many."""
