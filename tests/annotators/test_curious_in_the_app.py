"""The curious annotator at the App: has the work sets of several rounds, and wants to know which scenes are golden.

Everything that is stored of a scene but the bytes of its media is looked at: documents, files, orders.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_desk import documents, remove_work_sets
from test_curious import GOLDEN, POOL, ROUNDS, golden, work

from support import samples_of
from swath.annotators.app import App

pytestmark = pytest.mark.database
LOOP = "t-curious"


@pytest.fixture(scope="module")
def app(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Three rounds that were sent: the golden scenes are in each, the others in one."""
    root = tmp_path_factory.mktemp("curious")
    remove_work_sets(LOOP)
    made = App(LOOP, root / "home")
    for batch in ROUNDS:
        made.send(work(root, batch, [*GOLDEN, *POOL[batch]]))
    yield made
    remove_work_sets(LOOP)


def facts(app: App, batch: str) -> dict[str, list[tuple[str, str]]]:
    """task -> (what, value) of everything that is stored of it, with its own id taken out."""
    found: dict[str, list[tuple[str, str]]] = {}
    for (task, channel), doc in documents(app.work_set(batch)).items():
        seen = found.setdefault(task, [])
        seen += [(f"{channel}.{name}", str(value).replace(task, "TASK")) for name, value in doc.items()]
        paths = [Path(doc[name]) for name in ("filepath", "scene_3d") if doc.get(name)]
        for path in paths:
            stat = path.lstat()
            of = f"{channel}{path.suffix}"
            seen += [
                (f"{of} time", str(stat.st_mtime_ns)),
                (f"{of} mode", str(stat.st_mode)),
                (f"{of} links", str(stat.st_nlink)),
                (f"{of} inode", str(stat.st_ino)),
                (f"{of} name", path.name.replace(task, "TASK")),
            ]
            if path.suffix == ".fo3d":
                seen.append((f"{of} says", path.read_text().replace(task, "TASK")))
    return found


def suspects(app: App) -> dict[str, set[str]]:
    """By round, the tasks of which something recurs in another round, and not with every task there."""
    seen = {batch: facts(app, batch) for batch in ROUNDS}
    rare = {}
    for batch, of in seen.items():
        counts = Counter(fact for one in of.values() for fact in set(one))
        rare[batch] = {fact for fact, count in counts.items() if count < len(of)}
    return {
        one: {
            task
            for two in ROUNDS
            if two != one
            for task, of in seen[one].items()
            if rare[one] & rare[two] & set(of)
        }
        for one in ROUNDS
    }


def test_nothing_recurs(app: App) -> None:
    """What recurs between rounds recurs with every task: nobody is suspected; and a leak would be found."""
    assert sum(len(seen) for seen in facts(app, "v0").values()) > 20 * 30
    assert suspects(app) == {batch: set() for batch in ROUNDS}
    ids = {
        batch: {doc["group"]["_id"] for doc in documents(app.work_set(batch)).values()} for batch in ROUNDS
    }
    assert not ids["v0"] & ids["v1"] | ids["v1"] & ids["v2"] | ids["v0"] & ids["v2"]
    for batch in ROUNDS:
        for task in golden(batch):
            leak: Any = {"$set": {"source": f"drive of {sorted(golden(batch)).index(task)}"}}
            samples_of(app.work_set(batch)).update_many({"task": task}, leak)
    try:
        assert suspects(app) == {batch: golden(batch) for batch in ROUNDS}
    finally:
        for batch in ROUNDS:
            samples_of(app.work_set(batch)).update_many({}, {"$unset": {"source": ""}})


def test_no_order_tells(app: App) -> None:
    """In no order of a work set do golden scenes come before or after the others: over three rounds the chance that one precedes
    stays within four standard errors of a half."""
    chances: dict[str, list[float]] = {}
    for batch in ROUNDS:
        docs = list(samples_of(app.work_set(batch)).find({"group.name": "left"}).sort("_id", 1))
        orders = {
            "as added": [doc["task"] for doc in docs],
            "by time": [doc["task"] for doc in sorted(docs, key=lambda doc: doc["created_at"])],
            "by chance": [doc["task"] for doc in sorted(docs, key=lambda doc: doc["_rand"])],
            "by group": [doc["task"] for doc in sorted(docs, key=lambda doc: doc["group"]["_id"])],
            "by inode": [
                doc["task"] for doc in sorted(docs, key=lambda doc: Path(doc["filepath"]).stat().st_ino)
            ],
        }
        for which, order in orders.items():
            first = [i for i, task in enumerate(order) if task in golden(batch)]
            rest = [i for i, task in enumerate(order) if task not in golden(batch)]
            before = np.sign(np.subtract.outer(rest, first))
            chances.setdefault(which, []).append(float((before + 1).mean() / 2))
    m, n = len(GOLDEN), 14
    error = np.sqrt((m + n + 1) / (12 * m * n) / len(ROUNDS))
    for which, of in chances.items():
        assert abs(np.mean(of) - 0.5) < 4 * error, which


def test_roles_change_nothing(app: App, tmp_path: Path) -> None:
    """With golden and pool exchanged, and listed in any order, what is stored is the same, but for times and random ids."""
    own = ("_id", "created_at", "last_modified_at", "_dataset_id", "_rand", "filepath", "scene_3d")
    keys = [*GOLDEN, *POOL["v0"]]
    there = documents(app.work_set("v0"), own)
    other = App(f"{LOOP}-other", tmp_path / "home")
    remove_work_sets(other.loop)
    try:
        sent = work(tmp_path, "v0", [*keys[3:], *keys[:3]])
        other.send(replace(sent, tasks=sent.tasks[::-1]))
        assert documents(other.work_set("v0"), own) == there
    finally:
        remove_work_sets(other.loop)


def test_nothing_names_a_scene(app: App) -> None:
    """Neither a document nor a file of a work set names a scene, or the place that its media came from."""
    for batch in ROUNDS:
        said = " ".join(value for seen in facts(app, batch).values() for _, value in seen)
        assert "golden-" not in said
        assert "pool-" not in said
        assert "/dataset/" not in said
