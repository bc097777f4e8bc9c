"""``python -m mogradjudge``: the command line."""

from mogradjudge.cli import main

if __name__ == "__main__":
    main()
