"""What the README shows runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.server import serving

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
RATINGS = "source,output,human_coherence,human_consistency,doc_id\n" + "".join(
    f"article {row // 2},summary {row} coherence={1 + row % 5} consistency={1 + row % 4},"
    f"{1 + row % 5},{1 + row % 4},{row // 2}\n"
    for row in range(24)
)


def run(code: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, *code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_has_python_blocks():
    assert BLOCKS


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_a_python_block_of_the_readme_runs(block, tmp_path):
    (tmp_path / "ratings.csv").write_text(RATINGS)
    with serving() as server:
        run(
            ["-c", block],
            tmp_path,
            OPENAI_API_BASE=server.url,
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="none",
            DSPY_CACHEDIR=str(tmp_path / "cache"),
        )
        assert bool(server.calls["judge"]) == ("dspy.LM(" in block)
