"""Compile, benchmark and drop in LLM judges that rate text on several criteria at once."""
