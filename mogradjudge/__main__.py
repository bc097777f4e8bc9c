"""Runs the command line as ``python -m mogradjudge``."""

from mogradjudge.cli import main

if __name__ == "__main__":
    main()
