"""How results are shown: terminal, tables, figures."""
