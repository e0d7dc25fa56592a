"""Prepared states of one small loop, and experiments on them: do, kill, let a stopped process go on, look."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import load_fixture
import pymongo
from forks import End, Forks
from shelf import Prepared, clear, differences, put_back, say, take

DB = "swath_crash"
ORDER = (
    *("init", "split", "embed", "reference", "select", "send", "fetch_half", "fetch"),
    *("check", "golden", "train", "evaluate", "stop"),
)
OLD = "of 0.1.0"
ASIDE = {
    "reopened": ("check", "reopen"),
    "sent again": ("reopened", "send"),
    "closed early": ("fetch_half", "close"),
    "final": ("stop", "import_final"),
    "labelled twice": ("embed", "reference_twice"),
}
"""Prepared states beside the straight way: what each is made of."""


@dataclass(frozen=True)
class Case:
    """An operation: what it is done on, its name, and what a successor does after it while it is stopped."""

    prepared: str
    name: str
    then: tuple[str, ...] = ()
    world: str = "small"


CASES = {
    "init": Case("", "init"),
    "init again": Case("stop", "init", world="large"),
    "split": Case("init", "split", ("embed",)),
    "embed": Case("split", "embed", ("reference",)),
    "reference": Case("embed", "reference", ("select",)),
    "import": Case("embed", "import", ("select",)),
    "adjudicate": Case("labelled twice", "adjudicate", ("select",)),
    "select": Case("reference", "select", ("cancel",)),
    "send": Case("select", "send", ("cancel",)),
    "fetch_half": Case("send", "fetch_half", ("cancel",)),
    "fetch": Case("fetch_half", "fetch", ("cancel",)),
    "check": Case("fetch", "check", ("cancel",)),
    "golden": Case("check", "golden", ("cancel",)),
    "train": Case("golden", "train", ("evaluate",)),
    "evaluate": Case("train", "evaluate", ("stop",)),
    "stop": Case("evaluate", "stop", ("select",)),
    "evaluate final": Case("final", "evaluate_final", ("select",)),
    "select again": Case("stop", "select", ("cancel",)),
    "cancel": Case("fetch_half", "cancel", ("select",)),
    "cancel late": Case("golden", "cancel", ("select",)),
    "close": Case("fetch_half", "close", ("check",)),
    "reopen": Case("check", "reopen", ("send",)),
    "reopen late": Case("golden", "reopen", ("send", "fetch")),
    "reopen closed": Case("closed early", "reopen", ("send",)),
    "send again": Case("reopened", "send", ("fetch",)),
    "fetch again": Case("sent again", "fetch", ("cancel",)),
    "repair": Case("tampered", "repair", ("stop",)),
    "migrate": Case(OLD, "migrate", ("cancel",)),
}


ELSEWHERE = {"send to the app": Case("select", "send_app")}
"""What writes to another dataset than the loop's, too: with proofs of its own."""


def case_of(name: str) -> Case:
    return {**CASES, **ELSEWHERE}[name]


def visible(state: dict[str, Any]) -> dict[str, Any]:
    """A state without views, runs and files that nothing lists: nobody can see them, and the next repair clears them."""
    return {name: value for name, value in state.items() if name not in UNSEEN}


UNSEEN = ("nothing lists", "files of nothing")


def make_worlds(folder: Path, world: Path) -> dict[str, Path]:
    """`large` is the world; `small` lacks its last two scenes, which come later."""
    small = folder / "small"
    shutil.copytree(world, small)
    lines = (world / "drives.txt").read_text().splitlines(keepends=True)
    for line in lines[-2:]:
        for path in small.glob(f"training/*/{line.split()[0]}.*"):
            path.unlink()
    (small / "drives.txt").write_text("".join(lines[:-2]))
    return {"small": small, "large": world}


class Bench:
    """`points`: per case, the log of its writes, unbroken; `after`: what its end says."""

    def __init__(self, uri: str, folder: Path, world: Path) -> None:
        self.uri, self.home, self.worlds = uri, folder / "home", make_worlds(folder, world)
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri)
        self.client.drop_database(DB)
        self.db = self.client[DB]
        self.forks = Forks(folder / "results")
        clear(self.home)
        self.points: dict[str, list[str]] = {}
        self.after: dict[str, dict[str, Any]] = {}
        self.prepared: dict[str, Prepared] = {"": take(self.db, self.home)}
        for name in ORDER:
            self.check(self.forks.call("operate", **self.about(Case("", name)), names=[name]))
            self.prepared[name] = take(self.db, self.home)
        for name, (before, operation) in ASIDE.items():
            put_back(self.db, self.home, self.prepared[before])
            self.check(self.forks.call("operate", **self.about(Case("", name)), names=[operation]))
            self.prepared[name] = take(self.db, self.home)
        put_back(self.db, self.home, self.prepared["evaluate"])
        self.check(self.forks.call("tamper", **self.where))
        self.prepared["tampered"] = take(self.db, self.home)
        put_back(self.db, self.home, self.prepared[""])
        load_fixture.load(uri, harness.DATASET, folder, database=DB)
        self.prepared[OLD] = take(self.db, self.home)

    def close(self) -> None:
        self.forks.close()
        self.client.drop_database(DB)
        self.client.close()

    @property
    def where(self) -> dict[str, str]:
        return {"uri": self.uri, "db": DB}

    def about(self, case: Case) -> dict[str, str]:
        return {**self.where, "world": str(self.worlds[case.world]), "home": str(self.home)}

    def check(self, end: End) -> Any:
        assert not end.error, f"{end.error}: {end.text}"
        assert not end.signal, f"killed by signal {end.signal}"
        return end.value

    def say(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(json.dumps(say(self.db, harness.DATASET, self.home)))
        return state

    # ------------------------------------------------------------------ experiments

    def unbroken(self, case: str, plant: str = "") -> list[str]:
        """The log of a case's writes, in order; done once."""
        if case not in self.points or plant:
            it = case_of(case)
            put_back(self.db, self.home, self.prepared[it.prepared])
            log = self.check(self.forks.call("operate", **self.about(it), names=[it.name], plant=plant))
            if plant:
                return log
            self.points[case], self.after[case] = log, self.say()
            if case == "migrate":  # whatever ends in the same state is replayed as well
                assert self.check(self.forks.call("replays", **self.where)) == []
        return self.points[case]

    def killed(self, case: str, n: int, when: str, plant: str = "", alone: bool = False) -> list[str]:
        """Dies at write `n`; a new process recovers and goes on. Returns what is wrong then: nothing.

        `alone`: that process recovers only as far as the operation itself does.
        """
        self.unbroken(case)
        it = case_of(case)
        put_back(self.db, self.home, self.prepared[it.prepared])
        end = self.forks.call("operate", **self.about(it), names=[it.name], kill=(n, when), plant=plant)
        assert end.signal == 9, f"{case} {n} {when}: did not die there: {end}"
        wrong: list[str] = self.check(
            self.forks.call("finish", **self.about(it), names=[it.name], plant=plant, alone=alone)
        )
        return [f"after recovery: {one}" for one in wrong] + differences(self.say(), self.after[case])

    def killed_twice(self, case: str, n: int, m: int) -> list[str] | None:
        """Dies at write `n`, and its recovery at write `m`; None when the recovery has no such write."""
        self.unbroken(case)
        it = CASES[case]
        put_back(self.db, self.home, self.prepared[it.prepared])
        self.forks.call("operate", **self.about(it), names=[it.name], kill=(n, "after"))
        if self.forks.call("recover", **self.where, kill=(m, "before")).signal != 9:
            return None
        wrong: list[str] = self.check(self.forks.call("finish", **self.about(it), names=[it.name]))
        return [f"after recovery: {one}" for one in wrong] + differences(self.say(), self.after[case])

    def overtaken(
        self, case: str, n: int, plant: str = "", successor: list[str] | None = None
    ) -> tuple[list[str], str]:
        """Stops before write `n`; its lease runs out; a successor finishes it and does more; then the first goes on.

        Returns what that changed, compared with a first that never came back: nothing; and the error that it ended with.
        """
        it = CASES[case]
        names = [it.name, *it.then] if successor is None else successor
        put_back(self.db, self.home, self.prepared[it.prepared])
        assert self.forks.call("operate", **self.about(it), names=[it.name], kill=(n, "before")).signal == 9
        self.check(self.forks.call("finish", **self.about(it), names=names))
        without = self.say()
        put_back(self.db, self.home, self.prepared[it.prepared])
        first = self.forks.start("operate", **self.about(it), names=[it.name], stop=n, plant=plant)
        assert first.wait_stopped(), f"{case} {n}: did not stop there: {first.wait()}"
        self.expire()
        second = self.forks.call("finish", **self.about(it), names=names, plant=plant)
        first.go_on()
        end = first.wait()
        self.check(second)
        changed = differences(visible(self.say()), visible(without))
        self.check(self.forks.call("finish", **self.about(it), names=["repair"]))
        after = self.say()
        changed += [f"never cleared: {name}" for name in after["nothing lists"]]
        if sorted(after["runs"]) != after["evaluations"]:
            changed.append(f"listed are {after['evaluations']}, there are {sorted(after['runs'])}")
        return changed, f"{end.error}: {end.text}" if end.error else ""

    def beside(self, names: list[str]) -> tuple[list[str], str]:
        """Stops while it trains, which holds nothing; another process does `names` at its ease; then the first goes on.

        Returns what that changed, compared with a first that was killed there: nothing; and the error that it ended with.
        """
        it = CASES["train"]
        put_back(self.db, self.home, self.prepared[it.prepared])
        end = self.forks.call("operate", **self.about(it), names=["train"], plant="killed in the fit")
        assert end.signal == 9, end
        self.check(self.forks.call("finish", **self.about(it), names=names))
        without = self.say()
        put_back(self.db, self.home, self.prepared[it.prepared])
        first = self.forks.start("operate", **self.about(it), names=["train"], plant="stopped in the fit")
        assert first.wait_stopped(), first.wait()
        self.check(self.forks.call("finish", **self.about(it), names=names))
        first.go_on()
        end = first.wait()
        shelf = ("models", "about models")  # a model that nothing refers to may lie there
        changed = [
            one
            for one in differences(self.say(), without)
            if not one.startswith(tuple(f"/{part}" for part in shelf))
        ]
        return changed, end.error

    def expire(self) -> None:
        """The lease of whoever holds the dataset runs out."""
        held = {"writer.mark": {"$ne": None}}
        change = {"$set": {"writer.expires": {"$subtract": ["$$NOW", 1000]}}}
        self.db["swath.loops"].update_many(held, [change])
