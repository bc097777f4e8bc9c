"""``python -m benchmarks NAME``: run one benchmark."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from benchmarks import cost

BENCHMARKS: Mapping[str, Callable[[], None]] = {"cost": cost.main}


def main() -> None:
    """Run the benchmark that the first argument names."""
    names = ", ".join(BENCHMARKS)
    if len(sys.argv) != 2 or sys.argv[1] not in BENCHMARKS:
        sys.exit(f"usage: python -m benchmarks NAME, with NAME one of: {names}")
    BENCHMARKS[sys.argv[1]]()


if __name__ == "__main__":
    main()
