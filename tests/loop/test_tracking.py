"""Rounds as runs of MLflow: once each, whole, and never a round's failure."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import quick_loop
from run_cli import run_cli
from swath import models, tracking
from swath.config import parse
from swath.errors import ConfigError
from swath.loop import Loop
from swath.workspace import Workspace

pytestmark = pytest.mark.database
GONE = "http://127.0.0.1:9"  # nobody listens there


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for name, value in tracking.PATIENCE.items():  # so that what `tell` sets is taken back
        monkeypatch.setenv(name, value)


@pytest.fixture
def needs_mlflow() -> None:
    import fiftyone  # noqa: F401  # first: see `tracking.tell`

    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'swath[mlflow]'")


def closed(uri: str | None) -> Workspace:
    """A loop of one closed round, that keeps its runs at `uri`; telling MLflow changes nothing of it."""
    return Loop.open(quick_loop.base("closed"), changes={"train": {"mlflow": uri}} if uri else None).workspace


def runs(folder: Path, name: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=str(folder))
    found = client.get_experiment_by_name(name)
    return [] if found is None else list(client.search_runs([found.experiment_id]))


def test_nothing_is_told_where_nobody_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place MLflow is not even imported; with one and without MLflow a line says how to install it."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert tracking.tell(closed(None)) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", GONE)  # for somebody else, perhaps
    assert tracking.tell(closed(None)) is None
    assert (
        tracking.tell(closed(GONE))
        == "MLflow is not installed, and was not told: pip install 'swath[mlflow]'"
    )


@pytest.mark.parametrize("uri", ["https://me:secret@host/x", "https://me@host"])
def test_a_password_is_no_setting(uri: str) -> None:
    """Settings are recorded: a place with a name in it is refused, and the message does not repeat the password."""
    with pytest.raises(ConfigError, match=r"train\.mlflow: .*MLFLOW_TRACKING_PASSWORD") as told:
        parse({"train": {"mlflow": uri}}, "swath.yaml")
    assert "secret" not in str(told.value)
    assert parse({"train": {"mlflow": "https://host:5000/a@b"}}, "swath.yaml").train.mlflow is not None


@pytest.mark.usefixtures("needs_mlflow")
def test_a_round_is_a_run(tmp_path: Path) -> None:
    """Its params, metrics, record and model are the journal's; told again, nothing changes."""
    work = closed(str(tmp_path / "runs"))
    assert tracking.tell(work) == f"MLflow at {tmp_path / 'runs'} was told of v0"
    assert tracking.tell(work) is None
    (run,) = runs(tmp_path / "runs", work.name)
    steps = work.journal.batches.get("v0").steps
    assert steps.train is not None
    assert steps.evaluate is not None
    (model,), main = steps.train.models, steps.evaluate.main
    assert (run.info.run_name, run.info.status) == ("v0", "FINISHED")
    params, metrics = run.data.params, run.data.metrics
    assert (params["2d.data"], params["2d.sha256"], params["2d.seed"]) == (model.data, model.sha256, "0")
    assert (params["classes"], params["2d.steps"]) == ("car, person, sign", "3")
    assert metrics["scenes"] == steps.train.scenes
    assert metrics["2d.cpu_seconds"] == model.info["cpu_seconds"]
    assert metrics["val.2d.map50"] == main.map50.value
    assert {name.split("/")[1] for name in metrics if name.startswith("val.2d.ap50/")} == set(main.classes)
    kept = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (kept / "model" / model.model).read_bytes() == (
        models.folder(work.home) / model.model
    ).read_bytes()
    assert json.loads((kept / "round.json").read_text())["train"]["sha256"] == model.sha256


@pytest.mark.usefixtures("needs_mlflow")
@pytest.mark.parametrize(
    "point", ["create_run", "log_batch", "log_dict", "log_artifact", "set_terminated", "set_tag"]
)
def test_interrupted_anywhere_it_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Whatever call is the last that came through, the next telling goes on with the same run, and it is as it would have been."""
    from mlflow import MlflowClient

    work, real = closed(str(tmp_path)), getattr(MlflowClient, point)

    def came_through(*args: Any, **kwargs: Any) -> Any:
        real(*args, **kwargs)
        raise ConnectionError("the line\nwent dead")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, point, came_through)
        told = tracking.tell(work)
    assert told is not None
    assert "could not be told (ConnectionError: the line went dead); nothing is lost" in told
    assert "\n" not in told
    again = tracking.tell(work)
    assert (again is None) == (point == "set_tag")  # its last word was said
    (run,) = runs(tmp_path, work.name)
    assert run.info.status == "FINISHED"
    assert "swath.told" in run.data.tags
    record = work.journal.batches.get("v0").steps.evaluate
    assert record is not None
    assert run.data.metrics["val.scenes"] == record.scenes


@pytest.mark.usefixtures("needs_mlflow")
def test_a_server_that_is_gone_fails_no_round(dataset_name: str, tmp_path: Path) -> None:
    """The evaluation is recorded, its screen and JSON have one line, and no minute is lost; what was missed is told with the next
    round."""
    loop = quick_loop.at("sent", dataset_name)
    loop.run(1, until="train")
    started = time.monotonic()
    assert run_cli("config", "--dataset", loop.name, "--set", f"train.mlflow={GONE}")[0] == 0
    code, said, errors = run_cli("evaluate", "--dataset", loop.name, "--json")
    assert code == 0
    assert "Traceback" not in errors
    assert time.monotonic() - started < 60
    told = json.loads(said)["mlflow"]
    assert told.startswith(f"MLflow at {GONE} could not be told (")
    assert loop.workspace.journal.batches.get("v0").state == "evaluated"
    Loop.open(loop.name, changes={"train": {"mlflow": str(tmp_path)}}).run(2)
    assert sorted(run.info.run_name for run in runs(tmp_path, loop.name)) == ["v0", "v1"]


@pytest.mark.usefixtures("needs_mlflow")
def test_a_run_that_was_deleted_stays_deleted(tmp_path: Path) -> None:
    """Somebody did not want it there."""
    from mlflow import MlflowClient

    work = closed(str(tmp_path))
    tracking.tell(work)
    (run,) = runs(tmp_path, work.name)
    MlflowClient(tracking_uri=str(tmp_path)).delete_run(run.info.run_id)
    assert tracking.tell(work) is None
    assert runs(tmp_path, work.name) == []


@pytest.mark.usefixtures("needs_mlflow")
def test_a_password_in_the_environment_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the place without it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", GONE.replace("//", "//me:hunter2@"))
    told = tracking.tell(closed(None))
    assert told is not None
    assert told.startswith(f"MLflow at {GONE} could not be told (")
    assert "hunter2" not in told
