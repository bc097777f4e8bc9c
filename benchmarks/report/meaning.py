"""The report's first page: what all findings say to a reader's questions, and the words in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from benchmarks.harness.finding import Finding, Question
from benchmarks.report.markdown import escape, folded, sentence, table
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
"""What a reader wants to know, and the benchmark whose action counts."""

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "agreement": "Spearman's rho between the scores of the judge and those of people, from -1 "
        "to 1; of several criteria the mean",
        "judge, critic, coach, editor": "the four roles of a model: the judge scores texts; the "
        "critic writes what is wrong with its scores; the coach makes advice of that; the editor "
        "rewrites the judge's instructions by the advice",
        "critique, gradient": "what the critic writes about the scores of one text; what the coach "
        "advises",
        "separate, joint": "on one criterion alone, in a call of its own; on all criteria at once",
        "same length, K times the length": "of a joint gradient: as long as a separate one, or as "
        "all K separate ones together; K is the number of criteria",
        "SSS, SSC, SCC, CCC": "the modes of the optimizer, a letter each for critic, coach and "
        "editor: S has a call for each criterion, C one for all; SSS takes most calls, CCC fewest",
        "ST": "one run of the optimizer for each criterion, and a judge for each",
        "one call, separate calls": "the judge's layout: it scores a text on all criteria in one "
        "call, or on each criterion in a call of its own",
        "initial instructions": "the judge's instructions before optimizing, also called the seed "
        "prompt",
        "run, set of instructions": "one run of the optimizer, and the instructions that it ends "
        "with",
        "section": "the part of the instructions that is about one criterion",
        "crowding, transfer": "what sections do to each other in one prompt; what they lose "
        "because they were optimized for separate calls",
        "texts, documents": "what is scored, and the sources that the texts are about; intervals "
        "are over documents",
        "unit": "a sentence of a gradient that is about a criterion and can be acted on",
        "focus": "how much of a text is about one criterion, rated from 1 to 10",
        "rater": "says what each sentence of a gradient is about; a rater that fails a test on "
        "planted texts is not believed",
        "interval": "holds the true value in 95 of 100 such measurements",
        "simulated world": "rules that answer in the place of a model, so that the truth is known",
        "the paper": "Darshan & Divekar, When Gradients Collide: Failure Modes of Multi-Objective "
        "Prompt Optimization for LLM Judges (arXiv 2605.26046)",
    }
)
"""The words of first views."""

_YOURS = "What this means for your judge"
_SIMULATED = "What this suite finds where the truth is known"


def meaning(sections: Sequence[Section], settings: Settings) -> list[str]:
    """Write the first page; empty if there is no finding."""
    findings = [section.finding for section in sections if section.finding is not None]
    if not findings:
        return []
    limits: dict[str, list[str]] = {}
    for finding in findings:
        for limit in finding.limits:
            limits.setdefault(sentence(limit), []).append(_source([finding], settings))
    unknown = [f"- {limit} ({'; '.join(sources)})" for limit, sources in limits.items()]
    return [
        f"## {_SIMULATED if all(f.is_simulated for f in findings) else _YOURS}",
        *_simulated(findings, settings),
        *(_answer(question, findings, settings) for question in QUESTIONS),
        *(["**What could not be told**", "\n".join(unknown)] if unknown else []),
        f"**What it cost**: {settings.cost()}",
        folded("The words used here", table(("word", "what it means"), [*map(_row, WORDS)])),
    ]


def _row(word: str) -> list[str]:
    return [escape(word), escape(WORDS[word])]


def _source(findings: Sequence[Finding], settings: Settings) -> str:
    names = " and ".join(dict.fromkeys(finding.benchmark for finding in findings))
    return f"{names}, {settings.name(findings[0].setting)}"


def _answer(question: Question, findings: Sequence[Finding], settings: Settings) -> str:
    words, benchmark = QUESTIONS[question]
    by_setting: dict[str, list[Finding]] = {}
    for finding in findings:
        if question in finding.answers:
            by_setting.setdefault(settings.name(finding.setting), []).append(finding)
    answers = [_in_setting(question, those, settings) for those in by_setting.values()]
    unknown = f"Not known: `{benchmark}` says nothing about it here."
    return f"**{words}** {' '.join(answers) or unknown}"


def _in_setting(question: Question, findings: Sequence[Finding], settings: Settings) -> str:
    """Put the answers of one setting together: one of them, that of the owner, says what to do."""
    said = [sentence(finding.answers[question]) for finding in findings]
    owner = QUESTIONS[question][1]
    said += [
        sentence(finding.to_do)
        for finding in findings
        if finding.benchmark == owner and not finding.is_simulated
    ]
    return f"{' '.join(said)} ({_source(findings, settings)})"


def _simulated(findings: Sequence[Finding], settings: Settings) -> list[str]:
    names = dict.fromkeys(settings.name(f.setting) for f in findings if f.is_simulated)
    if not names:
        return []
    return [
        f"*No real model was called in {', '.join(names)}: what a simulated world shows holds "
        "for its rules and says nothing about your judge.*"
    ]
