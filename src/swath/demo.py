"""`swath demo`: a made KITTI folder, the whole loop on it, and what hidden truth says of the targeting."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swath import labels
from swath.errors import StateError
from swath.loop import Loop
from swath.steps.workspace import Progress, Workspace, silent
from swath.worlds import make_world

MARK = "made by swath demo"


@dataclass(frozen=True)
class DemoResult:
    """`targeting`: per round, the share of targeted scenes that hold the kind of object their failure missed, next to the
    share of pool scenes that hold it: from hidden truth, which no step of the loop has read."""

    dataset: str
    scenes: int
    rounds: tuple[Mapping[str, Any], ...]
    targeting: tuple[Mapping[str, Any], ...]
    report: str
    seconds: float


def run_demo(
    folder: Path,
    dataset: str,
    *,
    scenes: int = 200,
    rounds: int = 2,
    seed: int = 0,
    scale: float = 0.5,
    changes: Mapping[str, Any] | None = None,
    progress: Progress = silent,
    tell: Callable[[Any, Any], None] | None = None,
) -> DemoResult:
    """Makes the folder, imports it as `dataset` (replacing that of a former demo), runs `rounds` rounds, writes a report."""
    from swath.report import write_report

    started = time.monotonic()
    _clear(dataset)
    kitti = folder / "kitti"
    make_world(kitti, scenes=scenes, seed=seed, scale=scale, progress=progress("make scenes"))
    settings = {**(changes or {})}
    settings["annotate"] = {"annotator": "simulated", **settings.get("annotate", {})}
    loop, _ = Loop.init_kitti(dataset, kitti, changes=settings, home=folder / "swath", progress=progress)
    with loop.workspace.writer("demo") as writer:
        loop.workspace.scenes.set_info({"made_by": MARK}, writer)
    loop.run(rounds, tell=tell)
    status = loop.status()
    report = write_report(loop.workspace, status, None)
    return DemoResult(
        dataset,
        scenes,
        tuple(_row(loop.workspace, one["round"]) for one in status.rounds),
        tuple(targeting(loop.workspace)),
        str(report),
        time.monotonic() - started,
    )


def _clear(dataset: str) -> None:
    """Removes the dataset of a former demo; refuses to remove anything else."""
    from swath import database

    database.ensure()
    import fiftyone as fo

    from swath.scenes import open_journal

    if fo.dataset_exists(dataset):
        former = fo.load_dataset(dataset)
        if former.info.get("made_by") != MARK and len(former):
            raise StateError(
                f"dataset {dataset!r} exists and no demo made it; give another name: `swath demo --dataset NAME`"
            )
        open_journal(former).forget()
        former.delete()


def _row(workspace: Workspace, name: str) -> dict[str, Any]:
    batch = workspace.journal.round(name)
    steps = batch["steps"]
    nothing = {"value": None, "low": None, "high": None}
    evaluated = steps.get("evaluate", {})
    size = batch["batch"]
    return {
        "round": name,
        "batch": f"{size['size']} scenes: {size['coverage']} coverage, {size['targeted']} targeted",
        "car_ap50": evaluated.get("classes", {}).get("Car", {}).get("ap50", nothing),
        "map50": evaluated.get("map50", nothing),
        "golden": steps.get("golden", {}).get("verdict"),
        "decision": steps.get("stop", {}).get("decision"),
    }


def targeting(workspace: Workspace) -> list[dict[str, Any]]:
    """Per round with targeted scenes: does a targeted scene hold the failing kind of object of the failure it answers?

    The failing kind of a failure is the class it missed most of, measured against how many of that class val has: three
    missed of 23 pedestrians say more than three of 104 cars. The base rate is that of the scenes that could have been
    chosen, averaged over the same failures, so that both numbers speak of the same kinds.
    """
    config = workspace.config
    pool = workspace.members("pool")
    docs = workspace.scenes.values(config.slices.image, pool, [config.fields.truth])
    held = {
        key: set(labels.read_boxes(doc.get(config.fields.truth), (1, 1)).classes)
        for key, doc in zip(pool, docs, strict=True)
    }
    out = []
    taken: set[str] = set()
    for batch in workspace.journal.rounds():
        manifest = workspace.journal.manifest(batch["round"])
        chosen = [scene["key"] for scene in manifest["scenes"]]
        if manifest["answers"] is not None:
            record = workspace.journal.round(manifest["answers"])["steps"]["evaluate"]
            missed = {failure["key"]: failure["missed"] for failure in record["failures"]}
            there = {label: one["references"] for label, one in record["classes"].items()}
            free = [key for key in pool if key not in taken]
            hits, rates = [], []
            for scene in manifest["scenes"]:
                kinds = missed.get(scene.get("failure") or "", {})
                if not kinds:
                    continue
                kind = min(kinds, key=lambda label: (-kinds[label] / there[label], label))
                hits.append(kind in held[scene["key"]])
                rates.append(sum(kind in held[key] for key in free) / len(free))
            share = sum(hits) / len(hits) if hits else 0.0
            base = sum(rates) / len(rates) if rates else 0.0
            out.append(
                {
                    "round": batch["round"],
                    "targeted": len(hits),
                    "hits": sum(hits),
                    "share": share,
                    "base_rate": base,
                    "ratio": share / base if base else None,
                }
            )
        taken |= set(chosen)
    return out
