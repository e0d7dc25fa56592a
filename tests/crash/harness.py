"""What runs in the children of the fork server: operations of a loop, with their writes counted, and death at one of them.

A write is a command on the wire that changes something (pymongo's command listener: `started` before it is sent,
`succeeded` when the reply is there), or a file under the loop's folder that is opened for writing or renamed. Nothing can
bypass that count. The thread that renews the lease is left out: when it fires depends on the clock.
"""

from __future__ import annotations

import builtins
import importlib
import io
import json
import os
import pkgutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
os.environ.setdefault("FIFTYONE_DATABASE_VALIDATION", "false")
os.environ["FIFTYONE_SHOW_PROGRESS_BARS"] = "false"

import numpy as np
import pymongo.monitoring

import swath.store.journal.lease as lease_of
from support import samples_of

WRITES = frozenset(
    [
        "insert",
        "update",
        "delete",
        "findAndModify",
        "findandmodify",
        "bulkWrite",
        "create",
        "createIndexes",
        "drop",
        "dropIndexes",
        "dropDatabase",
        "renameCollection",
        "collMod",
    ]
)
CHANGES: dict[str, Any] = {
    "train": {"steps": 2, "width": 32},
    "select": {"zcore_max_draws": 200, "first_min": 4, "min": 3},
    "annotate": {"annotator": "simulated"},
    "splits": {"by": "scene", "golden": 0.09},
    "evaluate": {"resamples": 10},
}
TWICE: dict[str, Any] = {"golden": {"reference": "adjudicated"}, "annotate": {"miss": 0.2, "swap": 0.2}}
"""A reference of two careless labellings."""
DATASET = "kills"
FENCED_OUT = (
    "",
    "FencedError",
    "ConflictError",
    "StateError",
)  # how a writer ends that was overtaken; "" if it was done
TAKES = "update swath.loops"  # with a pipeline: no other write of a loop's document computes on the server


# ---------------------------------------------------------------------- counting writes


@dataclass
class Counter(pymongo.monitoring.CommandListener):
    """Numbers the writes from 1. `act(n, when, what)` is called `before` and `after` each."""

    act: Callable[[int, str, str], None] = lambda n, when, what: None
    armed: bool = False
    count: int = 0
    log: list[str] = field(default_factory=list)
    _sent: dict[int, int] = field(default_factory=dict)

    def begin(self, what: str) -> int:
        self.count += 1
        self.log.append(what)
        self.act(self.count, "before", what)
        return self.count

    def _counts(self, name: str) -> bool:
        return self.armed and name in WRITES and threading.current_thread().name != "swath-lease"

    def started(self, event: Any) -> None:
        if self._counts(event.command_name):
            what = f"{event.command_name} {event.command.get(event.command_name)}"
            if what == TAKES and isinstance(event.command["updates"][0]["u"], list):
                what = "takes the dataset"
            self._sent[event.request_id] = self.begin(what)

    def succeeded(self, event: Any) -> None:
        if event.request_id in self._sent:
            n = self._sent.pop(event.request_id)
            self.act(n, "after", self.log[n - 1])

    def failed(self, event: Any) -> None:
        """A refusal is a reply too: an index that was to be dropped was not there."""
        self.succeeded(event)


COUNTER = Counter()


def count_files(home: Path) -> None:
    """Counts files under `home` as well: opened for writing, or renamed."""
    inside = f"{home}{os.sep}"

    def counted(original: Callable[..., Any], is_write: Callable[..., bool], what: str) -> Callable[..., Any]:
        def call(path: Any, *args: Any, **kwargs: Any) -> Any:
            name = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
            if not (COUNTER.armed and str(name).startswith(inside) and is_write(*args, **kwargs)):
                return original(path, *args, **kwargs)
            n = COUNTER.begin(f"{what} {Path(name).suffix}")
            result = original(path, *args, **kwargs)
            COUNTER.act(n, "after", what)
            return result

        return call

    def writes(mode: str = "r", *args: Any, **kwargs: Any) -> bool:
        return bool(set(mode) & set("wax+"))

    builtins.open = io.open = counted(io.open, writes, "open")
    for name in ("replace", "rename"):
        setattr(os, name, counted(getattr(os, name), lambda *args, **kwargs: True, name))


def at(n: int, when: str, how: int) -> Callable[[int, str, str], None]:
    """Sends this process the signal `how` before or after write `n`."""

    def act(number: int, phase: str, what: str) -> None:
        if number == n and phase == when:
            COUNTER.armed = False
            os.kill(os.getpid(), how)

    return act


# ---------------------------------------------------------------------- the loop in a child


def warm() -> None:
    """Imports and compiles everything, in the server, once."""
    import fiftyone.core.odm.database as odm
    import torch
    import torch._dynamo  # an optimizer imports it: in every child else

    import swath.steps
    from swath.kernels import neighbors, zcore

    later = ("annotators", "encoders.descriptor", "sources.kitti", "sources.rig", "trainers.center")
    for module in ("loop", "evaluations", *later):
        importlib.import_module(f"swath.{module}")
    for found in pkgutil.iter_modules(swath.steps.__path__):
        importlib.import_module(f"swath.steps.{found.name}")
    torch.set_num_threads(1)
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    zcore.score(vectors, seed=0, select=0.5, target_overlap=0.5, max_draws=20, k=3, workers=1)
    neighbors.top_k(vectors, vectors, 3)
    assert odm._client is None, "a client is open before the fork"


def connect(uri: str, db: str) -> None:
    """Points FiftyOne in this process at a database; its client is made with the counter in place."""
    import fiftyone as fo

    os.environ["FIFTYONE_DATABASE_URI"] = uri
    fo.config.database_uri, fo.config.database_name = uri, db
    fo.config.show_progress_bars = False
    pymongo.monitoring.register(COUNTER)


class HalfBusy:
    """Wraps an annotator: every other task is not looked at yet."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.name, self.opinions = inner.name, inner.opinions

    def send(self, work: Any) -> Any:
        return self._inner.send(work)

    def fetch(self, work: Any, receipt: Any) -> Any:
        from swath.annotators.base import Answer, Fetched

        done = {task.task for task in work.tasks[::2]}
        found = self._inner.fetch(work, receipt)
        return Fetched(
            tuple(
                one if one.task in done else Answer(one.task, one.channel, "unreviewed")
                for one in found.answers
            ),
            found.notes,
        )


def predict(self: Any, model: Any, images: Any, *, progress: Any = None) -> Any:
    """Boxes that are a function of the image's name: what is killed is the evaluation, not the network."""
    from swath.kernels.detection import Predictions

    out = []
    for image in images:
        rng = np.random.default_rng(list(Path(image).stem.encode()))
        corner = rng.uniform(0, 60, (3, 2)).round(2)
        scores = np.sort(rng.uniform(0.3, 0.9, 3).round(3))[::-1]
        out.append(Predictions(np.hstack([corner, corner + 20]), scores.copy(), np.zeros(3, np.int64)))
    return out


def open_loop(uri: str, db: str, half: bool = False, wait: float = 5) -> Any:
    """The loop, as any command opens it: nothing is written or recovered yet."""
    from swath.loop import Loop
    from swath.trainers.center import CenterTrainer

    connect(uri, db)
    CenterTrainer.predict = predict  # type: ignore[method-assign]
    loop = Loop.open(DATASET, wait=wait)
    count_files(loop.workspace.home)
    if half:
        loop.annotator = HalfBusy(loop.annotator)
    return loop


def last_round(loop: Any) -> Any:
    from swath import life

    return life.rounds(loop.workspace.journal.batches.all())[-1]


def once(loop: Any, name: str) -> None:
    """One operation, as a user would ask for it."""
    if name == "cancel":
        loop.cancel(last_round(loop).round, "the light was bad")
    elif name == "close":
        loop.close_round(last_round(loop).round, "no time")
    elif name == "reopen":
        loop.reopen(last_round(loop).round, "the boxes are loose")
    elif name == "migrate":
        loop.recover()
    elif name == "fetch_half":
        loop.fetch()
    elif name in ("import", "import_final"):
        loop.reference("ground_truth", final=name == "import_final")
    elif name == "evaluate_final":
        loop.evaluate(final=True)
    elif name == "reference_twice":
        from swath.loop import Loop

        Loop.open(loop.name, changes=TWICE).reference()
    elif name == "adjudicate":
        loop.adjudicate({"*": "a"})
    elif name == "send_app":
        from swath.annotators.app import App

        loop.annotator = App(loop.name, loop.workspace.home)
        loop.send()
    else:
        getattr(loop, name)()


DONE_BY = {"cancel": ("cancelled",), "close": ("labeled",), "reopen": ("annotating",)}


def to_its_end(loop: Any, name: str) -> None:
    """An operation that may have been interrupted anywhere, to its end: as a user would who asks what is next."""
    from swath import life

    if name in ("repair", "fetch_half", "migrate", "send_app", "adjudicate"):
        once(loop, name)
    elif name in DONE_BY:
        if last_round(loop).state not in DONE_BY[name]:
            once(loop, name)
    elif name in ("import", "import_final"):
        if not life.reference_done(loop.workspace.journal.batches.all(), final=name == "import_final"):
            once(loop, name)
    elif name == "evaluate_final":
        if not loop.workspace.journal.loop().steps.final:
            once(loop, name)
    elif name == "reference":
        for _ in range(3):
            if loop.plan().step != "select":
                loop.next()
    elif loop.plan().step == name:
        loop.next()


def by_itself(loop: Any, name: str) -> None:
    """The same operation once more, with nothing done before it: it says that it is done, or does it."""
    from swath.errors import StateError, WaitingError

    with suppress(StateError, WaitingError):
        once(loop, name)


def not_replayed(loop: Any) -> list[str]:
    """Rounds that would be chosen otherwise today."""
    from swath import life

    again = [loop.replay(one.round) for one in life.rounds(loop.workspace.journal.batches.all())]
    return [f"replay of {one.round}: {one.differs}" for one in again if not one.equal]


def init(uri: str, db: str, world: str, home: str) -> None:
    """`swath init`, its writes counted."""
    from swath.loop import Loop

    connect(uri, db)
    count_files(Path(home))
    COUNTER.armed = True
    Loop.init_kitti(DATASET, Path(world), changes=CHANGES, home=Path(home))


def operate(
    uri: str,
    db: str,
    names: list[str],
    world: str,
    home: str,
    kill: tuple[int, str] | None = None,
    stop: int = 0,
    plant: str = "",
    lease: float = 30,
) -> list[str]:
    """Does operations; dies at a write, or stops before one. Returns the log of writes."""
    planted(plant)
    lease_of.LEASE_SECONDS = lease  # type: ignore[misc]
    loop = None if names == ["init"] else open_loop(uri, db, half="fetch_half" in names)
    if kill is not None:
        COUNTER.act = at(*kill, how=signal.SIGKILL)
    if stop:
        COUNTER.act = at(stop, "before", how=signal.SIGSTOP)
    if loop is None:
        init(uri, db, world, home)
    COUNTER.armed = True
    for name in names if loop else []:
        once(loop, name)
    COUNTER.armed = False
    return COUNTER.log


def finish(
    uri: str, db: str, names: list[str], world: str, home: str, plant: str = "", alone: bool = False
) -> list[str]:
    """Opens the loop and recovers; returns where dataset and journal contradict each other; does `names`.

    `alone`: nobody recovers first, the operations are asked for at once.
    """
    planted(plant)
    if names == ["init"]:
        init(uri, db, world, home)
        return []
    loop = open_loop(uri, db, half="fetch_half" in names)
    if alone:
        for name in names:
            by_itself(loop, name)
        return [str(one) for one in loop.repair(check=True).differences]
    loop.recover()
    wrong = [] if "repair" in names else [str(one) for one in loop.repair(check=True).differences]
    for name in names:
        to_its_end(loop, name)
    return wrong


def replays(uri: str, db: str) -> list[str]:
    """Rounds of the loop that would be chosen otherwise today."""
    return not_replayed(open_loop(uri, db))


def race(uri: str, db: str, what: str, at: float, wait: float = 30) -> None:
    """Opens the loop, waits for the clock, and does one operation."""
    loop = open_loop(uri, db, wait=wait)
    time.sleep(max(0.0, at - time.time()))
    once(loop, what)


def acknowledge(path: str) -> None:
    """Keeps an independent record of what was acknowledged: a line in a file, forced to disk, per durable write.

    A line holds the labels (by scene, slice and field) that were written before a barrier returned, and the state that a
    round was moved to. What is in the file must be in the database, whatever happens to the server.
    """
    from swath.store.journal.assignments import Assignments
    from swath.store.journal.batches import Batches
    from swath.store.journal.lease import Lease
    from swath.store.scenes import Scenes

    pending: list[tuple[str, str, str, list[str]]] = []
    file = open(path, "a")  # noqa: SIM115  # open for as long as the process lives

    def keep(kind: str, what: Any) -> None:
        file.write(json.dumps([kind, what]) + "\n")
        file.flush()
        os.fsync(file.fileno())

    def after(owner: Any, name: str, then: Callable[..., None]) -> None:
        original = getattr(owner, name)

        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            then(result, *args)
            return result

        setattr(owner, name, call)

    def written(result: Any, slice_name: str, values: Any, *args: Any) -> None:
        for key, fields in values.items():
            pending.extend((key, slice_name, field, sorted(_ids(value))) for field, value in fields.items())

    def barrier(*args: Any) -> None:
        keep("labels", [one for one in pending if one[3]])
        pending.clear()

    after(Scenes, "write", written)
    after(Lease, "barrier", barrier)
    after(Batches, "advance", lambda result, *args: keep("round", [result.round, result.revision]))
    after(Assignments, "answer", lambda result, writer, name, said: keep("answers", name))


def _ids(value: Any) -> Iterator[str]:
    """Ids of the labels in a raw field, or in the expression that writes it."""
    if isinstance(value, dict):
        if "_id" in value:
            yield str(value["_id"])
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _ids(one)


def with_server_killed(
    uri: str, db: str, names: list[str], n: int, server: int, record: str, room: int = 0
) -> list[str]:
    """Does operations; before write `n` the process `server` is killed (0: this one stops), and it goes on as it can."""
    lease_of.ROOM = room  # type: ignore[misc]
    loop = open_loop(uri, db)

    def act(number: int, phase: str, what: str) -> None:
        if number == n and phase == "before" and not server:
            os.kill(os.getpid(), signal.SIGSTOP)
        elif number == n and phase == "before":
            os.kill(server, signal.SIGKILL)
            while (
                Path(f"/proc/{server}/stat").exists()
                and " Z " not in Path(f"/proc/{server}/stat").read_text()
            ):
                time.sleep(0.001)

    acknowledge(record)
    COUNTER.act, COUNTER.armed = act, True
    for name in names:
        once(loop, name)
    return COUNTER.log


def recover(uri: str, db: str, kill: tuple[int, str]) -> None:
    """Opens the loop, recovers, and dies at a write of that."""
    COUNTER.act = at(*kill, how=signal.SIGKILL)
    COUNTER.armed = True
    open_loop(uri, db).recover()


def look(uri: str, db: str) -> list[str]:
    """All that can be asked of a loop without changing it. Returns the log of writes."""
    from swath.errors import WaitingError

    COUNTER.armed = True
    loop = open_loop(uri, db)
    loop.status()
    loop.repair(check=True)
    with suppress(WaitingError):
        loop.select(dry_run=True)
    for batch in loop.workspace.journal.batches.all():
        loop.batch(batch.round)
        loop.explain(loop.workspace.journal.batches.manifest(batch).scenes[0].key)
    not_replayed(loop)
    return COUNTER.log


def tamper(uri: str, db: str) -> None:
    """What hostile hands do: tags on one slice, a status, a view and info changed."""
    loop = open_loop(uri, db)
    dataset = loop.workspace.scenes.dataset
    samples = samples_of(dataset)
    samples.update_one({"scene_key": "000003", "group.name": "right"}, {"$addToSet": {"tags": "split:test"}})
    samples.update_many({"scene_key": {"$in": ["000001", "000002"]}}, {"$set": {"tags": ["mine"]}})
    samples.update_many({"scene_key": "000005"}, {"$set": {"annotation_status": "annotated"}})
    dataset.delete_saved_view("pool")
    dataset.save_view("batch_v0", dataset.limit(2), overwrite=True)
    dataset.info["golden_qa_history"] = []
    dataset.save()


# ---------------------------------------------------------------------- planted bugs, and what else is made to happen


def planted(name: str) -> None:
    """Puts something in, for this process: of a bug, the proof must find it."""
    if name:
        PLANTS[name]()


def _tags_before_journal() -> None:
    """The batch is tagged, and then written to the journal."""
    from swath import commit
    from swath.steps import select

    def early(workspace: Any, **options: Any) -> Any:
        manifest = select._decide(workspace, (), False, None).manifest
        for row in manifest.scenes:
            workspace.scenes.samples.update_many(
                {"scene_key": row.key}, {"$addToSet": {"tags": f"batch:{manifest.round}"}}
            )
        with workspace.writer("select") as writer:
            commit.plan(workspace, writer, manifest)
        return select.result_of(workspace.name, manifest, dry_run=False)

    select.select = early  # type: ignore[assignment]


def _labeled_before_labels() -> None:
    """The journal says that labels came before they are written."""
    from swath.records.batch import Fetched
    from swath.steps import annotate

    write = annotate._write

    def late(workspace: Any, writer: Any, batch: Any, *args: Any) -> None:
        batches = workspace.journal.batches
        if batches.get(batch.round).state == "annotating":
            after = batches.advance(writer, batch.round, "fetch", {"fetch": Fetched()})
            batches.advance = lambda *args: after
        write(workspace, writer, batch, *args)

    annotate._write = late


class _Unfenced:
    """A sample collection whose writes go through, whoever has taken over."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def update_many(self, query: Any, change: Any, **options: Any) -> Any:
        unfenced = {name: value for name, value in query.items() if name != "swath_fence"}
        return self._collection.update_many(unfenced, change, **options)

    def bulk_write(self, changes: Any, **options: Any) -> Any:
        for one in changes:
            one._filter.pop("swath_fence", None)
        return self._collection.bulk_write(changes, **options)


def _no_fence() -> None:
    """Sample writes are not filtered."""
    from swath.store.scenes import Scenes

    Scenes.samples = property(lambda self: _Unfenced(samples_of(self)))  # type: ignore[assignment]


def _fence_not_raised() -> None:
    """Who takes over does not raise the fence of samples."""
    from swath.store.scenes import Scenes

    Scenes.raise_fence = lambda self, writer: None  # type: ignore[method-assign]


def _evaluations_not_fenced() -> None:
    """FiftyOne's list of evaluations is written by whoever comes late, too."""
    from swath.store.runs import Runs

    def change(self: Any, change: Any, writer: Any) -> None:
        self._database.datasets.update_one({"_id": self._id}, change)

    Runs._change = change  # type: ignore[method-assign]


def _in_the_fit(how: int) -> None:
    """A signal for this process while it trains."""
    from swath.trainers.center import CenterTrainer

    fit = CenterTrainer.fit

    def interrupted(self: Any, data: Any, out: Path, *, seed: int, progress: Any = None) -> Any:
        sent: list[int] = []

        def tick(done: int, of: int) -> None:
            if not sent:
                sent.append(done)
                os.kill(os.getpid(), how)

        return fit(self, data, out, seed=seed, progress=tick)

    CenterTrainer.fit = interrupted  # type: ignore[method-assign]


def _no_fit() -> None:
    """Training is not possible."""
    from swath.trainers.center import CenterTrainer

    def fit(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("it trains again")

    CenterTrainer.fit = fit  # type: ignore[method-assign]


PLANTS: Mapping[str, Callable[[], None]] = {
    "tags before journal": _tags_before_journal,
    "labeled before labels": _labeled_before_labels,
    "no fence": _no_fence,
    "fence not raised": _fence_not_raised,
    "evaluations not fenced": _evaluations_not_fenced,
    "killed in the fit": lambda: _in_the_fit(signal.SIGKILL),
    "stopped in the fit": lambda: _in_the_fit(signal.SIGSTOP),
    "no fit": _no_fit,
}
