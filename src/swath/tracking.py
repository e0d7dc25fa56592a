"""Rounds as runs of MLflow, where that is installed, and `train.mlflow` or MLFLOW_TRACKING_URI says where they go.

Every evaluated round is one run in the experiment that has the dataset's name: params (trainer, its settings, seed, hashes of data and
model), metrics (figures on val, and on test once it was evaluated; objects, seconds), the record as `round.json`, and the model's file
where it is small. A run is known by its tags: telling a round again changes nothing, and a run that was begun and not ended (swath was
killed, the server went away) is gone on with. Each evaluation tells of all rounds that MLflow lacks.

Whatever goes wrong with it is one line, and no round's fault: the journal has it all.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from swath import life, models
from swath.config import canonical, digest
from swath.records.base import Estimate
from swath.records.batch import Batch, Evaluated, Figures, Trained
from swath.settings import flat
from swath.workspace import Workspace

SMALL: Final = 100_000_000  # bytes of a model that goes along
LONGEST: Final = 6000  # characters of a param
PATIENCE: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Unless the environment says otherwise: MLflow would try for minutes where nobody answers, and count its users."""


def tell(workspace: Workspace) -> str | None:
    """Tells MLflow of the evaluated rounds that it lacks; what came of it in a line, None where there was nothing to do."""
    settings = workspace.config.train
    where = settings.mlflow or os.environ.get("MLFLOW_TRACKING_URI")
    if not where:
        return None
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    if find_spec("mlflow") is None:
        return (
            "MLflow is not installed, and was not told: pip install 'swath[mlflow]'"
            if settings.mlflow
            else None
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what MLflow would like to be used with
            import fiftyone  # noqa: F401  # before MLflow, whose importlib_metadata keeps eta from being imported after it
            from mlflow import MlflowClient

            told = _tell(MlflowClient(tracking_uri=where), workspace)
    except Exception as error:  # a server, a proxy, a version, a disk: all the same to a round
        return f"MLflow at {_shown(where)} could not be told ({_line(error, where)}); nothing is lost, the next evaluation tells it"
    return f"MLflow at {_shown(where)} was told of {', '.join(told)}" if told else None


def _tell(client: Any, workspace: Workspace) -> list[str]:
    """The rounds that MLflow had not, or not as they are."""
    found = client.get_experiment_by_name(workspace.name)
    experiment = found.experiment_id if found else client.create_experiment(workspace.name)
    loop, finals = str(workspace.scenes.stored.id), workspace.journal.loop().steps.final
    there = _runs(client, experiment, loop)
    told = []
    for batch in life.evaluated(workspace.journal.batches.all()):
        trained, evaluated = batch.steps.train, batch.steps.evaluate
        if trained is None or evaluated is None:
            continue
        records = [evaluated, *(finals[name] for name in (batch.round,) if name in finals)]
        mark = digest([trained.document(), *(one.document() for one in records)])[:16]
        run = there.get(batch.round)
        if run is not None and (run.data.tags.get("swath.told") == mark or _is_deleted(run)):
            continue
        tags = {"swath.loop": loop, "swath.round": batch.round}
        run = run or client.create_run(experiment, run_name=batch.round, tags=tags)
        _log(client, run.info.run_id, workspace, batch, trained, records)
        client.set_tag(run.info.run_id, "swath.told", mark)  # last: what has it is whole
        told.append(batch.round)
    return told


def _runs(client: Any, experiment: str, loop: str) -> dict[str, Any]:
    """round -> its run, of this loop; one that somebody deleted in MLflow too: it is not made again."""
    from mlflow.entities import ViewType

    runs: dict[str, Any] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment], f"tags.`swath.loop` = '{loop}'", run_view_type=ViewType.ALL, page_token=token
        )
        runs |= {run.data.tags.get("swath.round", ""): run for run in page}
        token = page.token
        if not token:
            return runs


def _is_deleted(run: Any) -> bool:
    return bool(run.info.lifecycle_stage == "deleted")


def _log(
    client: Any, run: str, workspace: Workspace, batch: Batch, trained: Trained, records: list[Evaluated]
) -> None:
    from mlflow.entities import Metric, Param

    now, step = int(time.time() * 1000), batch.number or 0
    metrics = [
        Metric(_named(name), value, now, step)
        for name, value in (
            *_of_training(trained),
            *(pair for one in records for pair in _of_evaluation(one)),
        )
        if value is not None
    ]
    params = [Param(_named(name), value[:LONGEST]) for name, value in _params(workspace, trained).items()]
    for some in range(0, max(len(metrics), len(params)), 100):  # as many as go at once
        client.log_batch(run, metrics=metrics[some : some + 100], params=params[some : some + 100])
    client.log_dict(
        run, {"train": trained.as_json(), "evaluate": [one.as_json() for one in records]}, "round.json"
    )
    for model in trained.models:
        path = models.folder(workspace.home) / model.model
        if path.exists() and path.stat().st_size <= SMALL:
            client.log_artifact(run, str(path), "model")
    client.set_terminated(run)


def _params(workspace: Workspace, trained: Trained) -> dict[str, str]:
    out: dict[str, object] = {
        "swath.dataset": workspace.name,
        "classes": ", ".join(trained.models[0].classes),
    }
    for model in trained.models:
        known = {"trainer": model.trainer, "seed": model.seed, "data": model.data, "sha256": model.sha256}
        own = {".".join(at): value for at, value in flat(model.settings).items()}
        out |= {f"{model.modality}.{name}": value for name, value in (known | own).items()}
    return {name: _spelled(value) for name, value in out.items() if value is not None}


def _of_training(trained: Trained) -> Iterator[tuple[str, float | None]]:
    yield "scenes", trained.scenes
    for model in trained.models:
        yield f"{model.modality}.media", model.images
        yield f"{model.modality}.without_objects", model.negatives
        yield f"{model.modality}.objects", sum(model.objects.values())
        for (
            name,
            value,
        ) in model.info.items():  # seconds, steps, losses: what the trainer says of it in numbers
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{model.modality}.{name}", value


def _of_evaluation(record: Evaluated) -> Iterator[tuple[str, float | None]]:
    for modality, figures in record.figures.items():
        for name, value in _of_figures(figures):
            yield f"{record.on}.{modality}.{name}", value
    yield f"{record.on}.scenes", record.scenes
    if record.on == "val":
        yield "val.failing_scenes", record.failing


def _of_figures(figures: Figures) -> Iterator[tuple[str, float | None]]:
    yield from _ends("map", figures.map)
    yield from _ends("map50", figures.map50)
    if figures.gain is not None:
        yield from _ends("gain.map", figures.gain.map)
        yield from _ends("gain.map50", figures.gain.map50)
    if figures.trainings is not None:
        yield from _ends("trainings.map50", figures.trainings.map50)
        yield "trainings.map50_sd", figures.trainings.map50_sd
    for name, one in figures.classes.items():
        yield f"ap50/{name}", one.ap50.value
        yield f"ap/{name}", one.ap.value
    for name, value in figures.operating:
        yield f"operating.{name}", value


def _ends(name: str, of: Estimate) -> Iterator[tuple[str, float | None]]:
    yield from ((name, of.value), (f"{name}.low", of.low), (f"{name}.high", of.high))


def _named(name: str) -> str:
    """As MLflow takes names."""
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", name)[:250]


def _spelled(value: object) -> str:
    return value if isinstance(value, str) else canonical(value).decode()


def _shown(where: str) -> str:
    """A place without the name and password that it may hold."""
    parts = urlsplit(where)
    return where.replace(f"{parts.netloc.rpartition('@')[0]}@", "", 1) if "@" in parts.netloc else where


def _line(error: Exception, where: str) -> str:
    """What went wrong, in a line, and without a password."""
    text = f"{type(error).__name__}: {error}".replace(where, _shown(where))
    secret = urlsplit(where).password
    return " ".join((text.replace(secret, "***") if secret else text).split())[:300]
