"""Runs, evaluations and judges in a real MLflow, over a SQLite file of the test's own."""

import json
import logging
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import dspy
import pytest

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: the extra mlflow has it")

with warnings.catch_warnings(action="ignore"):  # it has warnings about itself
    import mlflow.dspy
    import mlflow.pyfunc
    import mlflow.store.tracking.sqlalchemy_store

from mlflow.protos.databricks_pb2 import PERMISSION_DENIED  # noqa: E402
from mlflow.utils.autologging_utils.safety import revert_patches  # noqa: E402

from benchmarks.worlds.server import ToyServer, serving  # noqa: E402
from benchmarks.worlds.world import ToyEngine, toy_examples, toy_lm, toy_rubric, unit_on  # noqa: E402
from mogradjudge import (  # noqa: E402
    MOGrad,
    MultiCriteriaJudge,
    Objective,
    Rubric,
    SetupError,
    Unscored,
)
from mogradjudge.cli import main  # noqa: E402
from mogradjudge.lm.budget import Budget  # noqa: E402
from mogradjudge.optimize.events import SectionRewritten, StepStarted  # noqa: E402
from mogradjudge.tracking import load_judge, log_judge, log_to_mlflow  # noqa: E402
from mogradjudge.tracking.logger import RunLogger  # noqa: E402
from tests.engines import FunctionEngine, fake_lm, in_chat  # noqa: E402

# MLflow reads pandas 3 as it did pandas 2.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes"),
]

RUBRIC = toy_rubric("coherence", "fluency")
EXAMPLES = toy_examples(RUBRIC, 14)
TRAIN, VALIDATION = EXAMPLES[:8], EXAMPLES[8:]
KEY = "sk-0123456789abcdefTEST"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an empty database once; its migrations take seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.MlflowClient().get_experiment("0")
    return path


@pytest.fixture(autouse=True)
def tracking(database: Path, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """Give each test an MLflow of its own, and leave none behind."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mlflow.db"
    shutil.copy(database, path)
    settings = dict(dspy.settings.config)
    mlflow.set_tracking_uri(f"sqlite:///{path}")
    mlflow.clear_active_model()  # one of another database, if a test before has loaded it
    mlflow.set_experiment("tests")
    yield path
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.dspy.autolog(disable=True)
    revert_patches("dspy")
    dspy.configure(**settings)
    mlflow.tracing.reset()
    mlflow.set_tracking_uri(None)


def runs() -> list[mlflow.entities.Run]:
    client = mlflow.MlflowClient()
    ids = [each.experiment_id for each in client.search_experiments()]
    return client.search_runs(ids, order_by=["attributes.start_time ASC"])


def files(run: mlflow.entities.Run, path: str | None = None) -> set[str]:
    found = set()
    for each in mlflow.MlflowClient().list_artifacts(run.info.run_id, path):
        found |= files(run, each.path) if each.is_dir else {each.path}
    return found


def traces() -> list[mlflow.entities.Trace]:
    mlflow.flush_trace_async_logging()
    return mlflow.search_traces(return_type="list", max_results=500)


def text(run: mlflow.entities.Run, path: str) -> str:
    return mlflow.artifacts.load_text(f"{run.info.artifact_uri}/{path}")


def history(run: mlflow.entities.Run, name: str) -> list[tuple[int, float]]:
    points = mlflow.MlflowClient().get_metric_history(run.info.run_id, name)
    return sorted((each.step, each.value) for each in points)


def optimize(optimizer: MOGrad, lm: dspy.LM | None = None, **sets: object):
    with dspy.context(lm=lm or toy_lm()):
        return optimizer.optimize(
            MultiCriteriaJudge(RUBRIC), **{"trainset": TRAIN, "valset": VALIDATION} | sets
        )


def closeness(example, prediction, trace=None):
    score = prediction.fluency
    return 0.0 if isinstance(score, Unscored) else 1 - abs(score - example.human_fluency) / 4


# The observer


def test_importing_the_package_imports_no_mlflow():
    code = "import sys, mogradjudge, mogradjudge.tracking; sys.exit('mlflow' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0
    )


def test_a_run_tells_its_settings_figures_texts_and_end():
    optimizer = log_to_mlflow(MOGrad(steps=2, mode="SSS", seed=0), "judges", "first")
    result = optimize(optimizer, testset=toy_examples(RUBRIC, 20)[14:])
    (run,) = runs()
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert mlflow.get_experiment_by_name("judges").experiment_id == run.info.experiment_id
    params = run.data.params
    assert {"mode": "SSS", "steps": "2", "batch_size": "8", "seed": "0"}.items() <= params.items()
    models = {f"{role}_model": "toy/world" for role in ("judge", "critic", "coach", "editor")}
    assert models.items() <= params.items()
    assert (params["train"], params["validation"]) == ("8", "6")
    assert history(run, "agreement/mean") == [
        (0, result.seed_agreement.mean),
        *((step.step, step.agreement.mean) for step in result.steps),
    ]
    assert history(run, "agreement/fluency")[-1] == (2, 1.0)
    assert params["measure.fluency"] == "spearman"
    assert history(run, "bias/fluency")[-1] == history(run, "mean_error/fluency")[-1] == (2, 0.0)
    assert [step for step, _ in history(run, "mean_error/fluency")] == [0, 1, 2]
    assert [step for step, _ in history(run, "proposed/coherence")] == [1, 2]
    assert history(run, "accepted") == [(s.step, float(s.accepted)) for s in result.steps]
    before_test = result.calls - 2 * 6
    assert history(run, "calls")[-1] == (2, before_test)
    assert history(run, "tokens")[-1][1] > 0
    assert run.data.metrics["final/mean"] == result.final_agreement.mean
    assert run.data.metrics["test_final/mean"] == result.test.final.mean
    assert run.data.tags["mogradjudge.stop_reason"] == "steps"
    assert run.data.tags["mogradjudge.seed_kept"] == "False"
    assert text(run, "step_00/fluency.txt") == "Rate from 1 to 5."
    assert text(run, "step_02/fluency.txt") == "Rate from 1 to 5. BIAS=0"
    assert json.loads(text(run, "result.json")) == json.loads(json.dumps(result.as_dict()))
    assert {"judge.json", "rubric.toml", "step_00/judges_all_preamble.txt"} <= files(run)


def test_a_run_goes_into_the_active_one_and_leaves_it_open():
    with mlflow.start_run() as active:
        optimize(log_to_mlflow(MOGrad(steps=1), "elsewhere"))
        assert mlflow.active_run().info.run_id == active.info.run_id
        (run,) = runs()
        assert run.info.status == "RUNNING"
    assert [step for step, _ in history(run, "calls")] == [0, 1]


def test_a_run_that_is_taken_up_goes_on_in_its_mlflow_run_and_tells_no_step_twice(tmp_path):
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    for calls in (30, 45, 1000):
        optimizer = MOGrad(steps=4, budget=Budget(max_calls=calls), run_dir=tmp_path / "run")
        result = optimize(log_to_mlflow(optimizer), lm)
    (run,) = runs()
    assert (result.stop_reason, run.info.status) == ("steps", "FINISHED")
    assert [step for step, _ in history(run, "calls")] == [0, 1, 2, 3, 4]
    assert [step for step, _ in history(run, "agreement/mean")] == [0, 1, 2, 3, 4]
    assert [step for step, _ in history(run, "skipped")] == [1, 2, 3, 4]
    assert run.data.tags["mogradjudge.stop_reason"] == "steps"
    assert json.loads(text(run, "result.json"))["calls"] == result.calls


def test_a_step_that_was_told_but_not_kept_is_not_told_twice(tmp_path):
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    state, before = tmp_path / "run" / "state.json", tmp_path / "before.json"

    def remember(event):
        if isinstance(event, StepStarted) and event.step == 2:
            shutil.copy(state, before)

    optimizer = MOGrad(steps=2, run_dir=tmp_path / "run", observers=[remember])
    optimize(log_to_mlflow(optimizer), lm)
    shutil.copy(before, state)  # as if the run had been killed before it kept the step
    optimize(log_to_mlflow(optimizer), lm)
    (run,) = runs()
    assert [step for step, _ in history(run, "calls")] == [0, 1, 2]


def test_a_run_taken_up_where_the_server_does_not_know_it_begins_a_new_one(tmp_path, database):
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    for calls, name in ((30, "a.db"), (1000, "b.db")):
        shutil.copy(database, tmp_path / name)
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path / name}")
        optimizer = MOGrad(steps=3, budget=Budget(max_calls=calls), run_dir=tmp_path / "run")
        optimize(log_to_mlflow(optimizer, "elsewhere"), lm)
    (run,) = runs()
    assert run.info.status == "FINISHED"
    assert history(run, "calls")[-1][0] == 3


def test_a_run_that_fails_is_told_as_failed():
    def broken(example, prediction):
        raise ZeroDivisionError

    optimizer = MOGrad(steps=1, objectives=[Objective("good", "Whether it is good.", broken)])
    program = dspy.Predict("output -> answer")
    with pytest.raises(SetupError), dspy.context(lm=fake_lm(FunctionEngine(answered))):
        log_to_mlflow(optimizer).compile(program, trainset=TRAIN, valset=VALIDATION)
    (run,) = runs()
    assert run.info.status == "FAILED"
    assert mlflow.active_run() is None


def answered(request) -> str:
    return in_chat({"answer": "yes"})


def test_a_server_that_is_away_costs_one_warning_and_not_the_run(caplog, tmp_path):
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/no/such/folder/mlflow.db")
    (tmp_path / "no").write_text("a file where a folder should be")
    with caplog.at_level(logging.WARNING, "mogradjudge"):
        result = optimize(log_to_mlflow(MOGrad(steps=2)))
    assert result.stop_reason == "steps"
    warned = [each for each in caplog.records if each.name.startswith("mogradjudge")]
    assert len(warned) == 1
    assert "Logging to MLflow failed; the run continues" in warned[0].getMessage()


def refused_at(experiment: str) -> tuple[str, int]:
    """Return why a run is refused, and how many calls were paid before."""
    engine = ToyEngine()
    lm = dspy.LM("toy/world", engine=engine, temperature=0.0, cache=True)
    with pytest.raises(SetupError) as refused:
        optimize(log_to_mlflow(MOGrad(steps=1), experiment=experiment), lm)
    return str(refused.value), engine.calls.total()


def test_a_deleted_experiment_is_refused_before_a_call_is_paid():
    mlflow.delete_experiment(mlflow.create_experiment("gone"))
    error, calls = refused_at("gone")
    assert "'gone'" in error
    assert "restore" in error
    assert (error.count("\n"), calls) == (0, 0)


def test_an_experiment_that_is_closed_to_the_user_is_refused_before_a_call_is_paid(monkeypatch):
    def closed(store, name):
        raise mlflow.MlflowException(f"{KEY} may not", error_code=PERMISSION_DENIED)

    store = mlflow.store.tracking.sqlalchemy_store.SqlAlchemyStore
    monkeypatch.setattr(store, "get_experiment_by_name", closed)
    error, calls = refused_at("closed")
    assert "'closed'" in error
    assert (error.count("\n"), calls) == (0, 0)


def test_what_a_server_missed_is_sent_with_the_next_step(tmp_path, tracking):
    away = f"sqlite:///{tmp_path}/no/mlflow.db"
    (tmp_path / "no").write_text("a file where a folder should be")
    mlflow.set_tracking_uri(away)

    def back(event):
        if isinstance(event, StepStarted) and event.step == 2:
            mlflow.set_tracking_uri(f"sqlite:///{tracking}")

    optimize(log_to_mlflow(MOGrad(steps=2, observers=[back])))
    (run,) = runs()
    assert [step for step, _ in history(run, "calls")] == [0, 1, 2]
    assert run.data.params["steps"] == "2"
    assert {"step_00/fluency.txt", "step_01/fluency.txt"} <= files(run)


@pytest.fixture
def flaky(monkeypatch) -> set[str]:
    """Let the server refuse what is sent while the set that is given is not empty."""
    refusing, send = set(), mlflow.MlflowClient.log_batch

    def log_batch(self, *given, **named):
        if refusing:
            raise ConnectionError("503")
        return send(self, *given, **named)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", log_batch)
    return refusing


def test_settings_whose_first_sending_fails_are_sent_again(flaky):
    def back(event):
        if isinstance(event, StepStarted):
            flaky.clear()

    flaky.add("all")
    optimize(log_to_mlflow(MOGrad(steps=1, observers=[back])))
    (run,) = runs()
    assert {
        "steps": "1",
        "train": "8",
        "judge_model": "toy/world",
    }.items() <= run.data.params.items()
    assert [step for step, _ in history(run, "calls")] == [0, 1]


def test_a_setting_that_the_active_run_has_already_keeps_nothing_else_from_it(caplog):
    with mlflow.start_run(), caplog.at_level(logging.WARNING, "mogradjudge"):
        mlflow.log_params({"seed": 77, "steps": 1})
        optimize(log_to_mlflow(MOGrad(steps=1)))
    (run,) = runs()
    assert (run.data.params["seed"], run.data.params["batch_size"]) == ("77", "8")
    assert [step for step, _ in history(run, "calls")] == [0, 1]
    assert [each.getMessage() for each in caplog.records] == [
        "The MLflow run keeps its own values of seed."
    ]


def test_what_a_killed_run_could_not_send_is_sent_when_it_is_taken_up(tmp_path, flaky):
    class Killed(BaseException):
        pass

    def dies(event):
        if isinstance(event, StepStarted) and event.step == 2:
            flaky.add("all")
        if isinstance(event, StepStarted) and event.step == 3:
            raise Killed

    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    with pytest.raises(Killed):
        optimize(log_to_mlflow(MOGrad(steps=4, run_dir=tmp_path / "run", observers=[dies])), lm)
    (run,) = runs()
    assert "step_02/fluency.txt" not in files(run)
    flaky.clear()
    result = optimize(log_to_mlflow(MOGrad(steps=4, run_dir=tmp_path / "run")), lm)
    (run,) = runs()
    assert history(run, "agreement/mean") == [
        (0, result.seed_agreement.mean),
        *((step.step, step.agreement.mean) for step in result.steps),
    ]
    for name in ("calls", "tokens", "skipped", "accepted"):
        assert [step for step, _ in history(run, name)][-4:] == [1, 2, 3, 4]
    lines = (tmp_path / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    written = [json.loads(line) for line in lines]
    calls = {each["step"]: each["calls"] for each in written if each["event"] == "StepEnded"}
    assert history(run, "calls")[2] == (2, calls[2])
    assert "step_02/fluency.txt" in files(run)


def test_settings_and_texts_of_a_run_that_was_told_nothing_come_when_it_is_taken_up(
    tmp_path, flaky
):
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    flaky.add("all")
    budget = Budget(max_calls=30)
    optimize(log_to_mlflow(MOGrad(steps=3, budget=budget, run_dir=tmp_path / "run")), lm)
    flaky.clear()
    optimize(log_to_mlflow(MOGrad(steps=3, run_dir=tmp_path / "run")), lm)
    (run,) = runs()
    assert {"train": "8", "validation": "6", "steps": "3"}.items() <= run.data.params.items()
    assert [step for step, _ in history(run, "calls")] == [0, 1, 2, 3]
    assert {"step_00/fluency.txt", "step_01/fluency.txt"} <= files(run)


def test_a_second_run_in_one_active_run_has_its_own_below_it():
    with mlflow.start_run() as active:
        for steps in (1, 2, 1):
            optimize(log_to_mlflow(MOGrad(steps=steps), run_name="again"))
            assert mlflow.active_run().info.run_id == active.info.run_id
    first, second, third = runs()
    assert first.info.run_id == active.info.run_id
    assert [each.data.params["steps"] for each in (first, second, third)] == ["1", "2", "1"]
    assert [step for step, _ in history(first, "calls")] == [0, 1]
    assert [step for step, _ in history(second, "calls")] == [0, 1, 2]
    for child in (second, third):
        assert child.data.tags["mlflow.parentRunId"] == active.info.run_id
        assert (child.info.run_name, child.info.status) == ("again", "FINISHED")


def test_a_run_below_an_active_one_that_is_taken_up_goes_on_there(tmp_path):
    lm = dspy.LM("toy/world", engine=ToyEngine(), temperature=0.0)
    with mlflow.start_run():
        optimize(log_to_mlflow(MOGrad(steps=1)))
        for calls in (30, 1000):
            budget = Budget(max_calls=calls)
            optimize(log_to_mlflow(MOGrad(steps=3, budget=budget, run_dir=tmp_path / "run")), lm)
    _, child = runs()
    assert [step for step, _ in history(child, "calls")] == [0, 1, 2, 3]
    assert child.info.status == "FINISHED"


def test_what_is_set_on_the_optimizer_afterwards_holds():
    tracked, events = log_to_mlflow(MOGrad(steps=1)), []
    tracked.observers = (events.append,)
    tracked.config = MOGrad(steps=2).config
    result = optimize(tracked)
    assert len(result.steps) == 2
    assert sum(isinstance(event, StepStarted) for event in events) == 2
    (run,) = runs()
    assert run.data.params["steps"] == "2"


def test_an_undefined_agreement_is_a_tag_and_no_metric():
    constant = [example.copy(human_fluency=3.0) for example in EXAMPLES]
    sets = {"trainset": constant[:8], "valset": constant[8:]}
    optimize(log_to_mlflow(MOGrad(steps=1)), **sets)
    (run,) = runs()
    assert "agreement/fluency" not in run.data.metrics
    assert "agreement/coherence" in run.data.metrics
    assert "human" in run.data.tags["mogradjudge.undefined.fluency"]


def test_a_program_that_is_no_judge_is_told_too():
    def right(example, prediction):
        return 1.0

    optimizer = MOGrad(steps=1, mode="CCC", objectives=[Objective("good", "It is good.", right)])
    program = dspy.Predict("output -> answer")
    engine = FunctionEngine(lambda request: in_chat({"answer": "yes", "critique": "c"}))
    with dspy.context(lm=fake_lm(engine)):
        log_to_mlflow(optimizer).compile(program, trainset=TRAIN, valset=VALIDATION)
    (run,) = runs()
    assert {"program.json", "result.json", "step_00/self_preamble.txt"} <= files(run)


def test_a_programs_sections_lie_apart_whatever_its_predictors_are_called():
    class Two(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.judges = {"a": dspy.Predict("output -> x"), "b": dspy.Predict("output -> answer")}

        def forward(self, output):
            self.judges["a"](output=output)
            return self.judges["b"](output=output)

    good = Objective("good", "It is good.", lambda example, prediction: 1.0)
    texts = {f"judges_{name}__good": f"For {name}." for name in "ab"}
    written = {"x": "no", "answer": "yes", "critique": "c"}
    written["advice"] = json.dumps([unit_on("good", "a")])
    written["new_instructions"] = json.dumps(texts)
    optimizer = MOGrad(steps=1, objectives=[good], skip_tolerance=None)
    with dspy.context(lm=fake_lm(FunctionEngine(lambda request: in_chat(written)))):
        log_to_mlflow(optimizer).compile(Two(), trainset=TRAIN, valset=VALIDATION)
    (run,) = runs()
    for name in "ab":
        assert text(run, f"step_01/judges_{name}_good.txt") == f"For {name}."


def test_sections_of_predictors_that_differ_in_brackets_alone_lie_apart():
    record = RunLogger(None, None, None, lambda: ({}, {}), is_judge=False)
    for predictor in ("a[0]", "a_0", "a[0]"):
        record.tell(SectionRewritten(1, predictor, "good", f"Of {predictor}."))
    assert record.texts == {"step_01/a_0_good.txt": "Of a[0].", "step_01/a_0_good_2.txt": "Of a_0."}


def test_the_command_line_tells_an_experiment(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    (tmp_path / "rubric.toml").write_text(RUBRIC.to_toml())
    table = tmp_path / "ratings.jsonl"
    table.write_text("\n".join(json.dumps(each.toDict()) for each in EXAMPLES))
    words = ["compile", str(table), "--rubric", str(tmp_path / "rubric.toml"), "--steps", "1"]
    words += ["--lm", "openai/gpt-4o-mini", "--api-base", server.url]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--out", str(tmp_path / "run"), "--mlflow", "from the shell"])
    assert not stop.value.code
    (run,) = runs()
    experiment = mlflow.get_experiment(run.info.experiment_id)
    assert (experiment.name, run.info.status) == ("from the shell", "FINISHED")
    assert run.data.params["judge_model"] == "openai/gpt-4o-mini"


def test_the_given_optimizer_stays_as_it_was():
    optimizer = MOGrad(steps=1)
    tracked = log_to_mlflow(optimizer)
    optimize(optimizer)
    assert runs() == []
    assert tracked.config == optimizer.config


# mlflow.dspy.autolog


def test_autolog_records_a_compile_and_the_figures_go_into_its_run():
    mlflow.dspy.autolog(log_compiles=True, log_evals=True)
    optimizer = log_to_mlflow(MOGrad(steps=2, mode="SSS"))
    with dspy.context(lm=toy_lm()):
        optimizer.compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)
    run, *scorings = runs()
    assert len(scorings) == 3  # the seed and each step's proposal
    for step, scoring in enumerate(scorings):
        assert scoring.data.tags["mlflow.parentRunId"] == run.info.run_id
        mean = dict(history(run, "proposed/mean" if step else "agreement/mean"))[step]
        assert scoring.data.metrics["eval"] == pytest.approx(100 * mean, abs=0.01)
    assert (run.info.status, run.data.tags["mlflow.autologging"]) == ("FINISHED", "dspy")
    assert {"best_model.json", "trainset.json", "valset.json", "result.json"} <= files(run)
    assert json.loads(text(run, "best_model.json")).keys() == {"judges['all']", "metadata"}
    assert "toy/world" in run.data.params["lm_params"]
    assert history(run, "agreement/mean")[-1] == (2, 1.0)
    assert traces() == []


def test_autolog_leaves_the_optimizer_without_the_data():
    mlflow.dspy.autolog(log_compiles=True)
    optimizer = MOGrad(steps=1)
    before = vars(optimizer).copy()
    with dspy.context(lm=toy_lm()):
        optimizer.compile(MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION)
    assert vars(optimizer) == before


def test_a_compile_that_autolog_traces_has_a_trace_per_call():
    mlflow.dspy.autolog(log_compiles=True, log_traces_from_compile=True)
    with dspy.context(lm=toy_lm()):
        compiled = MOGrad(steps=1, batch_size=1, mode="CCC").compile(
            MultiCriteriaJudge(RUBRIC), trainset=TRAIN, valset=VALIDATION[:3]
        )
    found = traces()
    assert len(found) == compiled.detailed_results.calls
    assert {each.info.state for each in found} == {"OK"}
    (run,) = runs()
    assert {each.info.trace_metadata["mlflow.sourceRun"] for each in found} == {run.info.run_id}


def test_autolog_records_an_evaluation_of_a_judge_with_its_table_and_traces():
    mlflow.dspy.autolog(log_evals=True)

    def half_a_reply(request):
        whole = "Text 8" not in str(request.messages[-1].text)
        return in_chat({"coherence": 3, "fluency": 2} if whole else {"coherence": 3})

    with dspy.context(
        lm=fake_lm(FunctionEngine(half_a_reply)),
        adapter=dspy.ChatAdapter(use_json_adapter_fallback=False),
    ):
        judge = MultiCriteriaJudge(RUBRIC, layout="combined")
        result = dspy.Evaluate(devset=VALIDATION, metric=closeness, num_threads=4)(judge)
    (run,) = runs()
    assert run.data.metrics["eval"] == pytest.approx(result.score)
    table = json.loads(text(run, "result_table.json"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    assert [row["score"] for row in rows] == [score for _, _, score in result.results]
    assert [row["pred_coherence"] for row in rows] == [3] * 6
    assert [row["pred_fluency"] is None for row in rows] == [True] + [False] * 5
    assert "fluency" in rows[0]["pred_readings"]["fluency"]["unscored"]
    assert rows[1]["pred_readings"]["fluency"]["source"] == "integer"
    found = traces()
    assert len(found) == 6
    outputs = [json.loads(each.data.response) for each in found]
    assert sorted(str(each["fluency"]) for each in outputs)[:5] == ["2"] * 5
    assert all(each.data.spans[0].name == "MultiCriteriaJudge.forward" for each in found)
    assert all(each.info.token_usage for each in found)


@pytest.mark.parametrize("layout", ["combined", "separate"])
def test_the_calls_of_a_judge_lie_in_its_trace(layout):
    mlflow.dspy.autolog()
    with dspy.context(lm=toy_lm()):
        MultiCriteriaJudge(RUBRIC, layout=layout)(output="coherence=2, fluency=4")
    (trace,) = traces()
    names = [span.name for span in trace.data.spans]
    assert names.count("MultiCriteriaJudge.forward") == 1
    assert names.count("LM.__call__") == (1 if layout == "combined" else 2)
    root = next(span for span in trace.data.spans if span.parent_id is None)
    assert root.name == "MultiCriteriaJudge.forward"


# A judge as a model


def improved(layout: str = "separate") -> MultiCriteriaJudge:
    judge = MultiCriteriaJudge(RUBRIC, layout=layout, score_rule="mean_of_n", n=2)
    for predictor in judge.predictors():
        written = predictor.signature.instructions.replace("to 5.", "to 5. BIAS=0")
        predictor.signature = predictor.signature.with_instructions(written)
    return judge


TEXTS = [{"output": "coherence=2, fluency=4"}, {"output": "coherence=5, fluency=1"}]


def test_a_judge_is_logged_and_loaded_with_its_sections_and_settings():
    judge, engine = improved(), ToyEngine()
    with dspy.context(lm=toy_lm(engine)):
        info = log_judge(judge, registered_model_name="judge")
    assert engine.calls.total() == 0
    for uri in (info.model_uri, "models:/judge/1"):
        loaded = load_judge(uri)
        assert loaded.settings == judge.settings
        assert loaded.rubric == judge.rubric
        assert loaded.dump_state() == judge.dump_state()


def test_a_logged_judge_scores_tables():
    import pandas as pd

    info = log_judge(improved("combined"))
    model = mlflow.pyfunc.load_model(info.model_uri, model_config={"num_threads": 2})
    with dspy.context(lm=toy_lm()):
        table = model.predict(pd.DataFrame(TEXTS).assign(other=[1, 2]))
        one = model.predict(TEXTS[0])
    assert table["coherence"].tolist() == [2.0, 5.0]
    assert table["fluency"].tolist() == [4.0, 1.0]
    assert table["fluency_source"].tolist() == ["mean_of_n"] * 2
    assert one["coherence"].tolist() == [2.0]
    assert list(table.columns) == info.signature.outputs.input_names()
    assert info.signature.inputs.input_names() == ["output"]


def test_a_logged_judge_reads_its_inputs_from_their_columns():
    import pandas as pd

    judge = MultiCriteriaJudge(Rubric({"output": "The reply"}, RUBRIC.criteria))
    info = log_judge(judge)
    assert info.signature.inputs.input_names() == ["The reply"]
    table = pd.DataFrame({"The reply": [row["output"] for row in TEXTS], "output": "?"})
    with dspy.context(lm=toy_lm()):
        scores = mlflow.pyfunc.load_model(info.model_uri).predict(table)
    assert scores["coherence"].notna().all()


@pytest.mark.parametrize("text", ["", None, float("nan")])
def test_a_logged_judge_refuses_a_table_without_a_text_before_any_call(text):
    model = mlflow.pyfunc.load_model(log_judge(MultiCriteriaJudge(RUBRIC)).model_uri)
    engine = FunctionEngine(lambda request: in_chat({"coherence": 3, "fluency": 3}))
    rows = [TEXTS[0], {"output": text}]
    with dspy.context(lm=fake_lm(engine)), pytest.raises(Exception, match="output"):
        model.predict(rows)
    assert engine.requests == []


def test_a_logged_judge_says_why_it_has_no_score():
    model = mlflow.pyfunc.load_model(log_judge(MultiCriteriaJudge(RUBRIC)).model_uri)
    with dspy.context(lm=fake_lm(FunctionEngine(lambda request: in_chat({"coherence": 3})))):
        table = model.predict(TEXTS)
    assert table["coherence"].tolist() == [3.0, 3.0]
    assert table["fluency"].isna().all()
    assert all(table["fluency_unscored"])


@pytest.fixture
def server() -> Iterator[ToyServer]:
    with serving() as server:
        yield server


def keyed_lm(server: ToyServer) -> dspy.LM:
    return dspy.LM("openai/toy", api_base=server.url, api_key=KEY, temperature=0.0, max_tokens=77)


def holding(folder: Path, secret: str) -> list[Path]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in paths if secret.encode() in path.read_bytes()]


def test_no_key_comes_into_what_is_logged(server, tmp_path):
    mlflow.dspy.autolog(log_compiles=True, log_evals=True, log_traces_from_compile=True)
    judge = MultiCriteriaJudge(RUBRIC)
    judge.set_lm(keyed_lm(server))
    with dspy.context(lm=keyed_lm(server)):
        compiled = log_to_mlflow(MOGrad(steps=1)).compile(judge, trainset=TRAIN, valset=VALIDATION)
        dspy.Evaluate(devset=VALIDATION, metric=closeness, num_threads=2)(compiled)
        loaded = load_judge(log_judge(compiled).model_uri)
    mlflow.flush_trace_async_logging()
    assert server.calls.total() > 0
    assert len(runs()) == 4  # the compile, its two scorings, and the evaluation
    assert holding(tmp_path, "77") != []  # that it looks into the files at all
    assert holding(tmp_path, KEY) == []
    (predictor,) = loaded.predictors()
    assert predictor.lm.model == "openai/toy"
    assert predictor.lm.kwargs["max_tokens"] == 77
    assert "api_key" not in predictor.lm.kwargs


def test_a_logged_judge_names_its_lm_without_keys_headers_and_credentials(tmp_path):
    judge = improved()
    hidden = {"api_key": KEY, "extra_headers": {"X-Api-Key": KEY}}
    judge.set_lm(dspy.LM("openai/toy", api_base=f"https://me:{KEY}@example.org/v1", **hidden))
    info = log_judge(judge)
    assert holding(tmp_path, "example.org/v1") != []
    assert holding(tmp_path, KEY) == []
    assert load_judge(info.model_uri).judges["fluency"].lm.model == "openai/toy"


@pytest.mark.parametrize("pickled", [True, False])
def test_mlflows_own_door_takes_a_judge_too(monkeypatch, pickled):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "true")
    judge = improved()
    lm = dspy.LM("openai/toy", temperature=0.0)
    with dspy.context(lm=lm):
        info = mlflow.dspy.log_model(
            judge, name="judge", pip_requirements=[], use_dspy_model_save=not pickled
        )
    loaded = mlflow.dspy.load_model(info.model_uri)  # sets dspy.settings, too
    assert loaded.dump_state() == judge.dump_state()
    assert (loaded.settings, loaded.rubric) == (judge.settings, judge.rubric)
    with dspy.context(lm=toy_lm()):
        assert loaded(**TEXTS[0]).fluency == 4.0


def test_without_mlflow_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", None)
    for ask in (lambda: log_to_mlflow(MOGrad()), lambda: log_judge(improved())):
        with pytest.raises(SetupError, match=r'pip install "mogradjudge\[mlflow\]"'):
            ask()
