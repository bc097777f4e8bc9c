"""One self-contained HTML file that shows what a run or a search found, and its figures."""

from mogradjudge.report.write import write_report

__all__ = ["write_report"]
