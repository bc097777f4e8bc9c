from mogradjudge import MOGradConfig
from mogradjudge.events import QuestionSkipped, RunEnded, SeedScored, StepEnded
from mogradjudge.progress import shown_progress, shown_rows

VALUES = {"coherence": 0.25, "fluency": None, "mean": 0.25}


def test_the_bar_shows_steps_agreement_and_calls_on_stderr(capsys):
    none = {"coherence": 0, "fluency": 0}
    with shown_progress(MOGradConfig(steps=1), display=True) as observe:
        observe(SeedScored(VALUES, {}, none, none, none, calls=7))
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=None))
        observe(RunEnded("steps", seed_kept=True, agreement=VALUES, calls=9))
    shown = capsys.readouterr()
    assert not shown.out
    for text in ("SSC", "1/1", "0.250", "9 calls", "coherence", "fluency undefined"):
        assert text in shown.err


def test_a_models_words_are_shown_as_they_are(capsys):
    reason = "[/INST] [bold]no JSON[/bold]"
    with shown_progress(MOGradConfig(), display=True) as observe:
        observe(QuestionSkipped(1, "critic", ("coherence",), "0/1/x", reason))
    assert reason in capsys.readouterr().err


def test_nothing_is_shown_where_nothing_was_asked_for(capsys):
    with shown_progress(MOGradConfig(), display=False) as observe:
        observe(StepEnded(1, VALUES, calls=9, tokens=90, cost=None))
    assert capsys.readouterr().err == ""


def test_a_bar_shows_rows_and_speed_on_stderr(capsys):
    with shown_rows(display=True) as watch:
        for done in range(11):
            watch(done, 10)
    shown = capsys.readouterr()
    assert not shown.out
    assert "10/10" in shown.err and "rows/s" in shown.err


def test_off_a_terminal_a_line_is_written_now_and_then(capsys, monkeypatch):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with shown_rows(display=False) as watch:
        for done in range(100, 106):  # 100 rows are from an earlier run
            watch(done, 110)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "101 of 110 rows, 0.1 rows/s, about 3 min left"
    assert [line.split()[0] for line in lines] == ["101", "103", "105"]
