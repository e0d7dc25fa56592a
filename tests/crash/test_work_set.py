"""A work set for FiftyOne's App is made whole, wherever its making is killed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from bench import Bench
from shelf import differences

pytestmark = [pytest.mark.database, pytest.mark.timeout(1200)]
CASE = "send to the app"
RANDOM = ("_id", "_dataset_id", "_rand", "created_at", "last_modified_at", "id")


def work_sets(bench: Bench) -> dict[str, Any]:
    """Every dataset but the loop's: its samples by task and slice, what is declared of it, and its files."""
    found: dict[str, Any] = {}
    for doc in bench.db.datasets.find({"name": {"$ne": "kills"}}):
        samples = bench.db[doc["sample_collection_name"]]
        rows = [(one["task"], one["group"]["name"], plain(one)) for one in samples.find({})]
        assert len({row[:2] for row in rows}) == len(rows)
        found[doc["name"]] = {
            "samples": {f"{task} {name}": one for task, name, one in rows},
            "unique": sorted(name for name, how in samples.index_information().items() if how.get("unique")),
            "fields": sorted(one["name"] for one in doc["sample_fields"]),
            "info": doc.get("info"),
            "schema": plain(doc.get("active_label_schemas")),
            "app": plain(doc.get("app_config")),
            "slices": doc.get("group_media_types"),
        }
    files = sorted(path for path in bench.home.rglob("work/**/*") if path.is_file() and path.name[0] != ".")
    found["files"] = {str(path.relative_to(bench.home)): path.read_bytes() for path in files}
    return found


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items() if name not in RANDOM}
    return [plain(one) for one in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def whole(bench: Bench) -> tuple[list[str], dict[str, Any]]:
    """The log of an unbroken sending, and the work set that it makes."""
    bench.points.pop(CASE, None)
    return bench.unbroken(CASE), work_sets(bench)


def killed_there(bench: Bench, whole: tuple[list[str], dict[str, Any]], n: int, when: str) -> list[str]:
    wrong = bench.killed(CASE, n, when)
    return wrong + differences(work_sets(bench), whole[1])


def test_killed_at_a_sample_of_writes(bench: Bench, whole: tuple[list[str], dict[str, Any]]) -> None:
    """Killed at a sampled write, of a file or of the database, and sent again, the work set is as if nothing had happened."""
    log, there = whole
    (name,) = [one for one in there if one != "files"]
    assert len(there[name]["samples"]) * 4 == len(there["files"]) * 3  # three media and a scene file
    inserts = [n for n, what in enumerate(log, 1) if what.startswith("insert samples.")]
    chance = random.Random("work set")
    for n in sorted({inserts[0], *chance.sample(range(1, len(log) + 1), 3)}):
        when = chance.choice(("before", "after"))
        assert killed_there(bench, whole, n, when) == [], f"{when} write {n}: {log[n - 1]}"


@pytest.mark.slow
def test_killed_at_every_write(bench: Bench, whole: tuple[list[str], dict[str, Any]]) -> None:
    """The same, at every write."""
    for n, what in enumerate(whole[0], 1):
        for when in ("before", "after"):
            assert killed_there(bench, whole, n, when) == [], f"{when} write {n}: {what}"
