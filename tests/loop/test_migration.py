"""Loops that swath 0.1.0 left behind: they read as they are, the first writer brings them to today's schema, and they go on.

The fixture (`fixtures/loop_0_1_0`) is what 0.1.0 stored, and said of it; `old_loop.py` does with it what is asserted here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.database
Json = dict[str, Any]
SAID = ("status", "explain", "replay", "repair --check", "batches", "scenes", "views", "info", "evaluations")


@pytest.fixture(scope="module", params=["open", pytest.param("cancelled", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest, mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Json:
    """What happened to two loops of one state, by their names; `state`: which."""
    state = request.param
    script = Path(__file__).with_name("old_loop.py")
    arguments = [str(script), "migrate", state, f"swath-old-{state}", str(tmp_path_factory.mktemp(state))]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    out: Json = json.loads(done.stdout.splitlines()[-1])
    return {**out, "state": state}


def missing(expected: Any, got: Any, where: str = "") -> list[str]:
    """What was said then and is not said now; more may be said. An assignment that nobody has answered had None as its rejected
    labels, and has an empty list."""
    if isinstance(expected, dict) and isinstance(got, dict):
        lost = [f"{where}/{name}" for name in expected if name not in got]
        there = [name for name in expected if name in got]
        return lost + [one for name in there for one in missing(expected[name], got[name], f"{where}/{name}")]
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        pairs = enumerate(zip(expected, got, strict=True))
        return [one for i, (then, now) in pairs for one in missing(then, now, f"{where}[{i}]")]
    if where.endswith("/rejected") and expected is None:
        expected = []
    return [] if expected == got else [f"{where}: {str(expected)[:100]} then, {str(got)[:100]} now"]


def unmended_views(said: Json) -> list[str]:
    """Saved views that `repair --check` finds in the form of 0.1.0; it must find nothing else."""
    found = said["repair --check"]["differences"]
    assert {one["found"] for one in found} == {"missing, or not a selection of scenes"}
    return sorted(one["scene"].removeprefix("view ") for one in found)


def test_it_reads_as_it_is(run: Json) -> None:
    """Before anything is written, status, explain, replay, batches, tags, views, info and evaluations are what 0.1.0 said, value by
    value; that the saved views crash the App is the one thing that `repair --check` finds."""
    one = run["one"]
    assert one["old before"]
    said = {name: one["before"][name] for name in SAID if name != "repair --check"}
    expected = {name: one["expected"][name] for name in said}
    assert missing(expected, said) == []
    assert unmended_views(one["before"]) == sorted(expected["views"])
    assert all(replayed["equal"] for replayed in said["replay"].values())


def test_the_first_writer_migrates(run: Json) -> None:
    """Afterwards it is not old, no document and no index is of 0.1.0's form, labels are untouched, and it says what 0.1.0 said; now
    nothing differs from the journal."""
    one = run["one"]
    assert not one["old after"]
    assert one["left of 0.1.0"] == []
    assert one["kept"]
    assert missing({name: one["expected"][name] for name in SAID}, one["after"]) == []
    assert one["after"]["repair --check"]["differences"] == []


def test_its_views_open_in_the_app(run: Json) -> None:
    """The saved views were made again: on every slice the App shows their scenes."""
    one = run["one"]
    expected = {
        name: dict.fromkeys(("left", "pcd", "right"), keys) for name, keys in one["expected"]["views"].items()
    }
    assert one["app"] == expected


def test_a_second_time_changes_nothing(run: Json) -> None:
    """Opening and recovering it again writes nothing."""
    assert run["one"]["again"] == {"writes": [], "unchanged": True}


def test_a_loop_beside_it_stays_as_it_is(run: Json) -> None:
    """Another loop of 0.1.0 in the same database is still old, and still reads as it is."""
    two = run["two"]
    assert two["old"]
    said = {name: two["beside"][name] for name in SAID if name != "repair --check"}
    assert missing({name: two["expected"][name] for name in said}, said) == []
    assert unmended_views(two["beside"]) == sorted(two["expected"]["views"])


def test_a_migration_that_was_killed(run: Json) -> None:
    """Killed when batches were done and assignments not: it reads the same, and the next step that writes goes on."""
    two = run["two"]
    assert two["old half-way"]
    said = {name: two["half"][name] for name in SAID if name != "repair --check"}
    assert missing({name: two["expected"][name] for name in said}, said) == []
    assert not two["old after"]
    assert two["whole after fetch"] == []


def test_fetch_goes_on_with_the_open_round(run: Json) -> None:
    """The batch that 0.1.0 sent is fetched: what is missing comes, classes and shapes that were there stay bit for bit, and nothing
    differs from the journal; the loop that was not migrated before comes out the same."""
    one, two = run["one"], run["two"]
    name = {"open": "v2", "cancelled": "v3"}[run["state"]]
    assert (one["fetch"]["batch"], one["fetch"]["state"], one["fetch"]["waiting"]) == (name, "labeled", 0)
    assert set(one["fetch"]["states"]) <= {"labeled", "reviewed_empty"}
    assert one["kept by fetch"]["changed"] == []
    assert one["kept by fetch"]["new"] > 0
    assert one["whole after fetch"] == []
    assert {**two["fetch"], "dataset": "one"} == one["fetch"]


def test_a_whole_further_round(run: Json) -> None:
    """The open round is closed, and one after it (once new scenes were taken in, where the pool is used up) is chosen, labelled,
    trained, evaluated and closed; it can be chosen again, the earlier rounds' figures are what they were, and the report is
    written."""
    one = run["one"]
    further, before = one["further"], one["expected"]["status"]["rounds"]
    assert (further["closed"], further["waits"], further["whole"]) == (2, None, [])
    closing = ["check", "golden", "train", "evaluate", "stop"]
    more = {"open": [], "cancelled": ["init", "embed"]}[run["state"]]
    assert further["steps"] == [*closing, *more, "select", "send", "fetch", *closing]
    assert missing(before[:-1], further["rounds"][: len(before) - 1]) == []
    assert [row["state"] for row in further["rounds"][-2:]] == ["closed", "closed"]
    assert all(isinstance(row["map"], float) for row in further["rounds"][-2:])
    assert further["replay"]
    assert further["report"] > 10_000
