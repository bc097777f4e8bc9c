"""The judge: a DSPy module, its instructions, and how its replies are read."""
