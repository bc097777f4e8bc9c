"""The planted world for other optimizers' prompts too, which are none of our roles'.

The model reads them as a sensible LM would, by the rules of our own roles. A prompt that asks for
criticism is answered like our critic and coach: with the cues that the shown errors and critiques
reveal, diluted where they are about several criteria. One that asks for an instruction is answered
with the instruction that it shows and all rules that stand elsewhere in it, each in its criterion's
section; where it shows neither errors nor critiques, the model has one idea of its own, drawn at
random. The reply comes in the form that the prompt asks for.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.worlds.cues import CUES, GENERIC, owners_in
from benchmarks.worlds.planted import PlantedWorld
from benchmarks.worlds.world import fields, inputs_of, role_of
from mogradjudge import Instructions

_IMPROVED = ("<IMPROVED_VARIABLE>", "</IMPROVED_VARIABLE>")
_SYSTEM_PROMPT = re.compile(r"<LM_SYSTEM_PROMPT>(.*?)</LM_SYSTEM_PROMPT>", re.DOTALL)
_VARIABLE = re.compile(r"<VARIABLE>(.*?)</VARIABLE>", re.DOTALL)
_TAGGED = re.compile(
    r"<instruction>(?! and </)(.*?)</instruction>", re.DOTALL
)  # none that is named
_FENCED = re.compile(r"```(.*?)```", re.DOTALL)
_ATTEMPT = re.compile(r"Instruction #\d+: (.*?)(?=\n»»»|»|\Z)", re.DOTALL)
_FEEDBACK = re.compile(r"<FEEDBACK>(.*?)</FEEDBACK>", re.DOTALL)
_TEXT = re.compile(
    r"(Document \d+-\d+, text \d+: (?:\w+=-?\d+(?:\.\d+)?(?:, )?)+)(.*?)(?=Document \d|\Z)",
    re.DOTALL,
)
_WRONG = re.compile(r"(\w+): judge ([\d.]+) too (high|low)")
_OUTPUTS = re.compile(r"Your output fields are:\n(.*?)\nAll interactions", re.DOTALL)
_RUBRIC = re.compile(r"## Current Rubric\n(\[.*?\])\n\n## Held-Out", re.DOTALL)
_DESCRIPTION = "These are short texts, to be rated on several criteria."


def is_ours(system: str) -> bool:
    """Say whether a prompt is of one of our roles; a judge's names its scales."""
    return role_of(system) != "judge" or "(Literal[" in system


@dataclass(frozen=True)
class OpenWorld(PlantedWorld):
    """A planted world that answers every optimizer; an idea is of a criterion that is named."""

    def reply(self, system: str, user: str, draw: int = 0) -> str:
        """Answer a prompt; ``draw`` counts how often it was sent."""
        if is_ours(system):
            return super().reply(system, user, draw)
        if names := _output_fields(system):
            texts = {name: self._field(name, user, draw) for name in names}
            return json.dumps(texts) if "JSON object" in user else fields(texts)
        if _IMPROVED[0] in user:  # TextGrad's optimizer
            current = _last(_SYSTEM_PROMPT, user) or _last(_VARIABLE, user)
            return _with(current, self._heeded(_FEEDBACK.findall(user) or [user])).join(_IMPROVED)
        if "<OBJECTIVE_FUNCTION>" in user:  # its gradient
            return self._criticism(_SYSTEM_PROMPT.sub("", user))
        if current := _last(_RUBRIC, user):  # autorubric's editor
            return self._revised(json.loads(current), user, draw)
        if current := _last(_TAGGED, user):
            return f"<instruction>{self._improved(current, user, draw)}</instruction>"
        if current := _last(_FENCED, user):
            return f"```\n{self._improved(current, user, draw)}\n```"
        return self._criticism(system + user)

    def _field(self, name: str, user: str, draw: int) -> str:
        if "instruction" not in name:
            return "Scores:" if "prefix" in name else _DESCRIPTION
        return self._improved(_current(inputs_of(user)), user, draw)

    def _revised(self, criteria: Sequence[Mapping[str, object]], user: str, draw: int) -> str:
        """Write the criteria of a rubric anew, in JSON as they came."""
        sections = {str(it["name"]): str(it["requirement"]) for it in criteria}
        read = Instructions.parse(self._improved(Instructions("", sections).render(), user, draw))
        return json.dumps([{**it, "requirement": read.section(str(it["name"]))} for it in criteria])

    def _improved(self, current: str, prompt: str, draw: int) -> str:
        """Write an instruction anew: by the errors that the prompt shows, or else by an idea."""
        if revealed := self._revealed(prompt):
            said = "\n".join(self._passed_on(revealed, prompt))
            return _with(current, {**owners_in(prompt), **owners_in(said)})
        known = [name for name in CUES if name in prompt] or list(CUES)
        ideas = [(cue, name) for name in known for cue in CUES[name]]
        cue, name = ideas[int(self.chance("idea", prompt, str(draw)) * len(ideas))]
        idea = self.idea(cue, name, f"{prompt}{draw}")
        return _with(current, {**owners_in(prompt), idea: name})

    def idea(self, cue: str, name: str, source: str) -> str:
        """Give the rule that comes to mind without any evidence."""
        return cue

    def _criticism(self, prompt: str) -> str:
        rules = {**owners_in(prompt), **self._revealed(prompt)}
        said = self._passed_on(rules, prompt)
        return "\n".join(f"The judge should {advice}." for advice in said) or "All is well."

    def _revealed(self, prompt: str) -> dict[str, str]:
        """Give the rules that the shown texts, and what is said to be wrong with each, reveal."""
        sources = []
        for text, said in _TEXT.findall(prompt.replace("\\n", "\n")):  # within JSON
            wrong = {
                name: float(points) * (1 if sign == "high" else -1)
                for name, points, sign in reversed(_WRONG.findall(said))
                if name in CUES
            }
            sources.append(self.feedback(text, wrong))
        return self._heeded(sources)

    def _heeded(self, sources: Sequence[str]) -> dict[str, str]:
        rules = owners_in("\n".join(sources))
        return {rule: name for rule, name in rules.items() if self.heeds(rule, sources)}

    def _passed_on(self, rules: Mapping[str, str], read: str) -> list[str]:
        chance = self.dilution if len(set(rules.values())) > 1 else 0.0
        return [
            GENERIC[len(it) % len(GENERIC)] if self.chance("advice", it, read) < chance else it
            for it in sorted(rules)
        ]


def _output_fields(system: str) -> list[str]:
    listed = _OUTPUTS.search(system)
    return re.findall(r"^\d+\. `(\w+)`", listed.group(1), re.MULTILINE) if listed else []


def _current(inputs: Mapping[str, str]) -> str:
    """Find the instruction that a DSPy prompt is about; of several the last, which did best."""
    if attempts := _ATTEMPT.findall(inputs.get("attempted_instructions", "")):
        first, _, rest = attempts[-1].partition("\n")
        return f"{first}\n{textwrap.dedent(rest)}".strip()
    return inputs.get("current_instruction") or inputs.get("basic_instruction") or ""


def _last(pattern: re.Pattern[str], text: str) -> str:
    matches = pattern.findall(text)
    return matches[-1].strip() if matches else ""


def _with(current: str, rules: Mapping[str, str]) -> str:
    """Add rules to an instruction, each to its criterion's section if there are any sections."""
    new: dict[str, list[str]] = {}
    for rule in sorted(rules.keys() - owners_in(current).keys()):
        new.setdefault(rules[rule], []).append(f"When you rate, {rule}.")
    read = Instructions.parse(current)
    if read.sections:
        texts = {name: " ".join([read.section(name), *lines]) for name, lines in new.items()}
        return read.replace(texts).render()
    return "\n".join([current, *(line for lines in new.values() for line in lines)])
