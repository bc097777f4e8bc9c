"""Shows results: terminal, tables and figures."""
