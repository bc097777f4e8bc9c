"""The report's first page: what all findings mean for a reader's own judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from benchmarks.harness.finding import Finding, Question
from benchmarks.report.markdown import escape
from benchmarks.report.section import Section
from benchmarks.report.settings import Settings

QUESTIONS: Mapping[Question, tuple[str, str]] = MappingProxyType(
    {
        "mode": ("Which mode?", "modes"),
        "layout": ("One call for all criteria, or one each?", "interference"),
        "coach": ("How should the coach write?", "dilution"),
        "texts": ("How many texts?", "noise"),
        "method": ("Which optimizer?", "peers"),
    }
)
"""What a reader wants to know, and the benchmark that tells."""


def meaning(sections: Sequence[Section], settings: Settings) -> list[str]:
    """Write the first page; empty if there is no finding."""
    findings = [section.finding for section in sections if section.finding is not None]
    if not findings:
        return []
    limits: dict[str, list[str]] = {}
    for finding in findings:
        for limit in finding.limits:
            limits.setdefault(escape(limit), []).append(_source(finding, settings))
    unknown = [f"- {limit} ({'; '.join(sources)})" for limit, sources in limits.items()]
    return [
        "## What this means for your judge",
        *_simulated(findings, settings),
        *(_answer(question, findings, settings) for question in QUESTIONS),
        *(["**What could not be told**", "\n".join(unknown)] if unknown else []),
        f"**What it cost**: {settings.cost()}",
    ]


def _source(finding: Finding, settings: Settings) -> str:
    return f"{finding.benchmark}, {settings.name(finding.setting)}"


def _answer(question: Question, findings: Sequence[Finding], settings: Settings) -> str:
    words, benchmark = QUESTIONS[question]
    answers = [
        f"{escape(finding.advice[question])} ({_source(finding, settings)})"
        for finding in findings
        if question in finding.advice
    ]
    unknown = f"Not known: `{benchmark}` says nothing about it here."
    return f"**{words}** {' '.join(answers) or unknown}"


def _simulated(findings: Sequence[Finding], settings: Settings) -> list[str]:
    names = dict.fromkeys(settings.name(f.setting) for f in findings if f.is_simulated)
    if not names:
        return []
    return [
        f"*{', '.join(names).capitalize()}: a simulated world. Its results show what this suite "
        "finds where the truth is known, and say nothing about your judge.*"
    ]
