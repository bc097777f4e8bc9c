"""What a large model answered comes out again, and is what the page about it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.dilution import finding, summary
from benchmarks.harness.cells import CELLS, read_cells

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "recorded"
PAGE = (FOLDER / "README.md").read_text("utf-8")
DATA = ROOT.parent / "shared" / "data" / "summeval.dev.parquet"

pytestmark = pytest.mark.slow


def quotes() -> list[str]:
    """Give the findings that the page quotes, each on one line."""
    found = re.findall(r"(?:^> .*\n)+", PAGE, re.MULTILINE)
    return [" ".join(quote.replace("> ", "").split()) for quote in found]


def command(name: str) -> list[str]:
    """Give the words of the page's command that rebuilds a benchmark."""
    (block,) = re.findall(rf"python -m benchmarks ({name} --out.*?)```", PAGE, re.DOTALL)
    return shlex.split(block.replace("\\\n", " "))


def test_the_page_quotes_what_the_recorded_gradients_come_to():
    found = finding.finding(summary.summarize(read_cells(FOLDER / "dilution")))
    assert found.sentence == quotes()[0]


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize(["name", "quote"], [("dilution", 0), ("interference", 1)])
def test_a_recording_is_rebuilt_from_the_data_without_a_call(name, quote, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = [str(tmp_path / "out") if word == "rebuilt" else word for word in command(name)]
    words[words.index("--data") + 1] = str(DATA)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert quotes()[quote] in result.output
    if name == "dilution":
        rebuilt = {cell.identity: cell.result for cell in read_cells(tmp_path / "out")}
        kept = {cell.identity: cell.result for cell in read_cells(FOLDER / name)}
        assert rebuilt == kept


def test_the_recorded_cells_hold_no_rating_of_people():
    assert '"human"' not in (FOLDER / "dilution" / CELLS).read_text("utf-8")
    assert not (FOLDER / "interference" / CELLS).exists()
