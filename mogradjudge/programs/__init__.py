"""Any DSPy program: its structure, identity, execution, evaluation and saving."""
