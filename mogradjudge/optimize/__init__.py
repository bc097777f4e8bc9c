"""The optimizer: its configuration, events, loop, run directory and result."""
