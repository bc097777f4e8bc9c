import io
import sys
from contextlib import redirect_stderr
from html import escape

import dspy
import pytest

from benchmarks.worlds.world import toy_examples, toy_rubric
from engines import FunctionEngine, fake_lm, in_chat
from mogradjudge import (
    Criterion,
    MOGradConfig,
    MultiCriteriaJudge,
    Rubric,
    judge_examples,
    rubric_objectives,
)
from mogradjudge.lm.ledger import Ledger
from mogradjudge.optimize.events import (
    CritiqueWritten,
    GateDecided,
    GradientWritten,
    QuestionSkipped,
    RaceEnded,
    RunEnded,
    SectionRewritten,
    SeedScored,
    StepEnded,
    StepStarted,
)
from mogradjudge.optimize.progress import (
    event_lines,
    progress_bar,
    row_progress,
    scoring_shown,
    spinner,
)
from mogradjudge.optimize.result import OptimizationResult
from mogradjudge.programs.counting import texts_counted
from mogradjudge.programs.evaluation import Agreement

VALUES = {"coherence": 0.25, "fluency": None, "mean": 0.25}


def test_the_bar_shows_steps_agreement_and_calls_on_stderr(capsys):
    none = {"coherence": 0, "fluency": 0}
    with progress_bar(MOGradConfig(steps=1), display=True) as observe:
        observe(SeedScored(VALUES, {}, none, none, none, calls=7))
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=None))
        observe(RunEnded("steps", seed_kept=True, agreement=VALUES, calls=9))
    shown = capsys.readouterr()
    assert not shown.out
    for text in ("SSC", "1/1", "0.250", "9 calls", "coherence", "fluency undefined"):
        assert text in shown.err


def test_a_models_words_are_shown_as_they_are(capsys):
    reason = "[/INST] [bold]no JSON[/bold]"
    with progress_bar(MOGradConfig(), display=True) as observe:
        observe(QuestionSkipped(1, "critic", ("coherence",), "0/1/x", reason))
    assert reason in capsys.readouterr().err


def test_nothing_is_shown_where_nothing_was_asked_for(capsys):
    with progress_bar(MOGradConfig(), display=False) as observe:
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=None))
    assert capsys.readouterr().err == ""


def test_a_bar_shows_rows_and_speed_on_stderr(capsys):
    with row_progress(display=True) as watch:
        for done in range(11):
            watch(done, 10)
    shown = capsys.readouterr()
    assert not shown.out
    assert "10/10" in shown.err and "rows/s" in shown.err


def test_off_a_terminal_a_line_is_written_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with row_progress(display=False) as watch:
        for done in range(100, 106):  # 100 rows are from an earlier run
            watch(done, 110)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "101 of 110 rows, 0.1 rows/s, about 3 min left"
    assert [line.split()[0] for line in lines] == ["101", "103", "105"]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


EVENTS = {
    "initial scoring": None,
    "step 2: judging": StepStarted(2, ("a", "b")),
    "step 2: 1 critiques": CritiqueWritten(2, "a", ("fluency",), "too [bold]high"),
    "step 2: 1 gradients": GradientWritten(2, "a", ("fluency",), "be strict"),
    "step 2: scoring the rewrite": SectionRewritten(2, "all", "fluency", "Be strict."),
}


@pytest.mark.parametrize("said", EVENTS)
def test_the_bar_says_what_a_step_is_at(said, capsys):
    with progress_bar(MOGradConfig(), display=True) as observe:
        for event in list(EVENTS.values())[1 : list(EVENTS).index(said) + 1]:
            observe(event)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("texts", [None, 12])
def test_each_agreement_that_is_said_names_its_texts(texts):
    none = {"coherence": 0, "fluency": 0}
    decided = GateDecided(1, False, False, VALUES, VALUES, none, texts=texts)
    for event in (SeedScored(VALUES, {}, none, none, none, calls=7), decided):
        assert "validation texts" in event.describe()
    assert ("first 12 validation" in decided.describe()) == (texts == 12)
    ended = RunEnded("steps", seed_kept=False, agreement=VALUES, calls=9, split="confirmation")
    assert "confirmation texts" in ended.describe()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_bar_fits_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    none = {"coherence": 0, "fluency": 0}
    with redirect_stderr(Screen()) as screen, progress_bar(MOGradConfig(), display=True) as tell:
        tell(SeedScored(VALUES, {}, none, none, none, calls=12345))
    *_, last = (line for line in screen.getvalue().splitlines() if "SSC steps" in line)
    part = "validation " if width > 60 else ""
    assert f"0/6 {part}mean 0.250, 12345 calls" in last and "left -:--:--" in last
    assert ("0:00:00" in last) == (width > 80)


@pytest.mark.parametrize(
    ("headlines", "others", "told"),
    [(True, False, ["Step 1"]), (False, True, ["Critique"]), (True, True, ["Critique", "Step 1"])],
)
def test_lines_are_those_that_were_asked_for(headlines, others, told, capsys):
    observe = event_lines(headlines=headlines, others=others)
    observe(CritiqueWritten(1, "a", ("fluency",), "far\ntoo \x1b[2Jhigh " * 99))
    observe(QuestionSkipped(1, "critic", ("fluency",), "0/1/x", "no\nJSON"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))
    assert all(line.isprintable() for line in lines)


def test_work_is_shown_on_a_terminal_alone(capsys):
    with spinner("counting"):
        pass
    assert capsys.readouterr().err == ""
    with redirect_stderr(Screen()) as screen, spinner("counting [bold]"):
        pass
    assert "counting [bold]" in screen.getvalue()


def judged(examples, rubric, threads=4):
    engine = FunctionEngine(lambda _: in_chat({"coherence": 3, "fluency": 4}))
    with dspy.context(lm=fake_lm(engine)):
        judge = MultiCriteriaJudge(rubric, layout="separate")
        judge_examples(judge, examples, rubric_objectives(rubric), threads)


def test_texts_are_counted_from_all_threads():
    rubric, told = toy_rubric("coherence", "fluency"), []
    examples = toy_examples(rubric, 12)
    with texts_counted(13, lambda *each: told.append(each)):
        judged([*examples, examples[0]], rubric)  # one is there twice
    judged(examples, rubric)
    assert told[-1] == (13, 13) and len(told) == 12


@pytest.mark.parametrize("columns", [80, 120])
def test_the_bar_counts_the_texts_of_a_race_and_keeps_the_price_where_it_fits(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    rubric = toy_rubric("coherence", "fluency")
    ledger = Ledger()
    none = {"coherence": 0, "fluency": 0}
    with (
        redirect_stderr(Screen()) as screen,
        progress_bar(MOGradConfig(), display=True, ledger=ledger) as observe,
    ):
        observe(SeedScored(VALUES, {}, none, none, none, calls=7))
        with scoring_shown("step 1, race", 4):
            judged(toy_examples(rubric, 2), rubric)
            judged(toy_examples(rubric, 4)[2:], rubric)
    *_, last = (line for line in screen.getvalue().splitlines() if "SSC steps" in line)
    assert "step 1, race: 4 of 4 texts" in last and "left -:--:--" in last
    assert ("mean 0.250, 0 calls" in last) == (columns > 80)


class Notebook:
    """IPython in a kernel, as far as it is used."""

    def __init__(self):
        self.display, self.shown = self, []

    def get_ipython(self):
        return type("Shell", (), {"kernel": None})()

    def HTML(self, text):
        return text

    def __call__(self, text, display_id):
        self.update(text)
        return self

    def update(self, text):
        self.shown.append(text)


def test_a_notebook_shows_the_bar_by_itself(monkeypatch, capsys):
    notebook = Notebook()
    notebook.display = type("Display", (), {"HTML": notebook.HTML, "display": notebook})()
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    none = {"coherence": 0, "fluency": 0}
    with progress_bar(MOGradConfig(steps=2), display=None) as observe:
        observe(SeedScored(VALUES, {}, none, none, none, calls=7))
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=0.25))
    assert 'value="0" max="2"' in notebook.shown[0]
    last = notebook.shown[-1]
    for text in ('value="1"', "coherence 0.250", "9 calls", "US$ 0.25"):
        assert text in last
    assert capsys.readouterr().err == ""
    with progress_bar(MOGradConfig(), display=False) as observe:
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=None))
    assert notebook.shown[-1] == last


def test_a_wide_bar_shows_criteria_dollars_and_the_end_of_a_race(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    with progress_bar(MOGradConfig(steps=1), display=True) as observe:
        observe(StepStarted(1, ("a",)))
        observe(RaceEnded(1, 12, 30, 0.01))
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=0.25))
    assert "US$ 0.25" in capsys.readouterr().err


@pytest.mark.parametrize("hostile", ["<script>", "a & b"])
def test_what_a_notebook_shows_is_escaped(hostile):
    rubric = Rubric(["text"], [Criterion("tone", f"Is it kind? {hostile}")])
    judge = MultiCriteriaJudge(rubric)
    page = judge._repr_html_()
    assert "tone" in page and hostile not in page and escape(hostile) in page
    assert "white-space: pre-wrap" in page  # instructions have lines
    agreement = Agreement.unmeasured(("tone",))
    result = OptimizationResult(
        *(judge, MOGradConfig(), agreement, agreement, (), "budget"),
        seed_kept=True,
        ledger=(),
        measured=(),
    )
    assert "<td>tone</td><td>-</td><td>-</td>" in result._repr_html_()
