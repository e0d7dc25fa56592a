"""Does choosing scenes beat chance? Made worlds, every arm from nothing, on drives that no arm has seen.

Sixteen worlds of three kinds: rare classes (few drives hold one), rare conditions (one drive in twelve at dusk, in fog or rain),
and near-duplicates (twelve frames per drive). Worlds 0 to 7 are for choosing what is the default, 8 to 15 for the claim about
what was chosen: look at those once, at the end.

A cheap configuration, so that it can be run at all: 200 scenes, seen by a LiDAR and, for the looks that selection goes by, by one
camera at 0.2 of KITTI's size; five classes; the image descriptor; batches of 16; the built-in detector for clouds as it is by default
(36 epochs). mAP50 is of the footprint from above. Each cell (world, arm, seed, round) is a file in the working folder; whatever is
there is not computed again, and `benefit-cells.jsonl` keeps what the answer needs, with a mark of the detector: another detector
begins anew. Stop it whenever you like, and go on another day:

    python -m benchmarks.benefit --work DIR --hours 2 [--worlds choosing] [--seeds 1] [--arms random hybrid]     go on; then say what is known
    python -m benchmarks.benefit --answer                                                                        say what is known

The order is by seed, then world, then arm: what is there is whole for the first worlds. A line (world, arm, seed) takes about four
minutes of one core.

What was tried before, on 2026-12-01: the image detector at widths 192 and 256 with 160 and 400 steps, on the same worlds. Its curves
stay flat (mAP50 0.01 to 0.10 from the first batch to the last): models that do not learn from more labels cannot tell arms apart. The
cloud detector with 300 steps in every round learned from 16 scenes what it learned from 32 (0.51, 0.47). By epochs it goes 0.40, 0.45, 0.61.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import RESULTS, save, say
from swath.backtest import answer, cells, run_of
from swath.backtest.archive import Archive, Sample
from swath.backtest.arms import AGAIN, arm
from swath.backtest.cells import Plan
from swath.config import LoopConfig, merged
from swath.records.backtest import Cell

CHOOSING, CLAIM = range(8), range(8, 16)
CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Cyclist")
ROUNDS, SCENES, SCALE, FEWEST = 4, 200, 0.2, 5
CELLS = RESULTS / "benefit-cells.jsonl"
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "benefit.png"
COLOURS = ("#444444", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito
MARKS = "osD^vP*X<>"
ARMS = (
    "random",
    "hybrid",
    "hybrid coverage_method=kcenter",
    "targeted",
    "coverage",
    "coverage coverage_method=kcenter",
    "guide",
    AGAIN,
    "oracle",
    "entropy",
    "hybrid class_evidence=1",
    "hybrid failure_by=rate",
    "hybrid coverage_share=0.5",
    "coverage coverage_method=zcore_joint",
    "hybrid coverage_method=zcore_joint",
    "least",
)
SETTINGS: dict[str, Any] = {
    "evaluate": {"resamples": 60},
    "select": {"budget": 16},
}


def kind_of(world: int) -> str:
    return ("rare classes", "rare conditions", "near-duplicates")[world % 3]


# ---------------------------------------------------------------------- worlds


def plans(world: int, scenes: int) -> list[Any]:
    """The drives of a world: those of the demo's, changed to its kind."""
    from swath.worlds.street import plan_drives

    kind, rng = kind_of(world), np.random.default_rng([world, 7])
    drives = plan_drives(scenes, 100 + world)
    if kind == "rare classes":
        return [one if rng.random() < 0.5 else replace(one, rare=()) for one in drives]
    if kind == "rare conditions":
        odd = rng.random(len(drives)) < 1 / 12
        return [
            one if hard else replace(one, time="day", weather="clear")
            for one, hard in zip(drives, odd, strict=True)
        ]
    few = drives[: max(scenes // 12, 12)]
    return [replace(one, frames=scenes // len(few)) for one in few]


def archive_of(world: int, folder: Path) -> Archive:
    """A world as an archive: images are made once; what is known of them is kept beside."""
    whole = folder / f"world-{world:02d}.npz"
    if not whole.exists():
        _make(world, folder)
    with np.load(whole) as kept:
        drives, vectors, owner = kept["drives"].tolist(), kept["vectors"], kept["owner"]
        cuboids, labels = kept["cuboids"], kept["labels"]
    keys = tuple(f"{row:04d}" for row in range(len(drives)))
    media = folder / f"world-{world:02d}"
    samples = tuple(
        (Sample("pcd", str(media / f"{key}.pcd"), cuboids[owner == row], labels[owner == row]),)
        for row, key in enumerate(keys)
    )
    return Archive(
        name=f"world {world}",
        config=merged(LoopConfig(seed=world, classes=CLASSES), SETTINGS, "benefit"),
        modality="3d",
        keys=keys,
        drives=tuple(drives),
        channels=(("pcd",),) * len(keys),
        samples=samples,
        vectors=vectors,
        boxes=np.zeros(len(keys), dtype=np.int64),
        cuboids=np.bincount(owner, minlength=len(keys)).astype(np.int64),
    )


def _make(world: int, folder: Path) -> None:
    from PIL import Image

    from swath.encoders import make
    from swath.formats.pcd import write_pcd
    from swath.worlds.rig import Rig, look, sweep
    from swath.worlds.street import build_street

    media = folder / f"world-{world:02d}"
    media.mkdir(parents=True, exist_ok=True)
    drives, paths, owner, cuboids, labels = [], [], [], [], []
    for plan in plans(world, SCENES):
        street = build_street(plan, 100 + world)
        rig = Rig.make(SCALE, street.tilt)
        for frame in range(plan.frames):
            row, rng = len(drives), np.random.default_rng([world, plan.index, frame])
            paths.append({"image": str(media / f"{row:04d}.png")})
            image, _ = look(rig.left, street, frame, rng, SCALE)
            Image.fromarray(image).save(paths[-1]["image"], compress_level=1)
            cloud, things = sweep(rig.lidar, street, frame, rng)
            write_pcd(media / f"{row:04d}.pcd", cloud)
            drives.append(plan.name)
            for actor, solid, points in things:
                if points >= FEWEST and actor.label in CLASSES:
                    owner.append(row)
                    cuboids.append(_cuboid(actor.shape, solid, rig))
                    labels.append(CLASSES.index(actor.label))
    part = folder / f".world-{world:02d}.npz"
    np.savez(
        part,
        drives=np.array(drives),
        vectors=make("descriptor:image").encode(paths).vectors,
        owner=np.array(owner, dtype=np.int64),
        cuboids=np.array(cuboids, dtype=np.float64),
        labels=np.array(labels, dtype=np.int64),
    )
    part.replace(folder / f"world-{world:02d}.npz")


def _cuboid(shape: Any, solid: Any, rig: Any) -> Any:
    """(9,): a thing in the LiDAR's frame."""
    from swath.formats.kitti_records import KittiObject, to_cuboid

    x, y, z = (float(value) for value in solid.place)
    size = shape.height, shape.width, shape.length
    return to_cuboid(
        KittiObject("", 0, 0, 0, (0, 0, 1, 1), size, (x, y, z), solid.rotation_y), rig.calibration
    )


# ---------------------------------------------------------------------- cells


@dataclass(frozen=True)
class Row:
    """One kept cell: figures first on all held-out drives, then in each draw of them; costs so far."""

    detector: str
    world: int
    arm: str
    seed: int
    round: int
    boxes: float
    scenes: float
    minutes: float
    figures: dict[str, list[float | None]]


def go_on(work: Path, worlds: Sequence[int], arms: Sequence[str], seeds: Sequence[int], until: float) -> None:
    """Computes cells until it is done, or time is over; keeps each line (world, arm, seed) as soon as it is whole."""
    there = {(row.world, row.arm, row.seed) for row in rows()}
    wanted = [(w, a, s) for s in seeds for w in worlds for a in arms if (w, a, s) not in there]
    for count, (world, name, seed) in enumerate(wanted):
        if time.time() > until:
            say(f"time is over: {len(wanted) - count} lines are left")
            return
        archive = archive_of(world, work)
        plan = Plan(work / f"cells-{world:02d}", ROUNDS)
        chooser = arm(name, archive.config)
        line = [cells.cell(archive, plan, chooser, seed, number) for number in range(ROUNDS)]
        keep(archive, world, name, seed, line)
        last = line[-1].marks[0]
        say(f"{count + 1} of {len(wanted)}: world {world}, {name}, seed {seed}: mAP {last[0]:.3f}")


def keep(archive: Archive, world: int, name: str, seed: int, line: Sequence[Cell]) -> None:
    run = run_of(archive, line)
    with CELLS.open("a") as file:
        text = ""
        for number in range(len(line)):
            figures = {
                figure: _short(values[number] if figure in ("map50", "rare") else values[number, :1])
                for figure, values in run.figures.items()
            }
            costs = {cost: round(float(run.costs[cost][number]), 2) for cost in answer.COSTS}
            row = {
                "detector": detector(),
                "world": world,
                "arm": name,
                "seed": seed,
                "round": number,
                **costs,
                "figures": figures,
            }
            text += json.dumps(row, separators=(",", ":")) + "\n"
        file.write(text)


def _short(values: Any) -> list[float | None]:
    return [None if np.isnan(one) else round(float(one), 4) for one in values]


def rows() -> Iterator[Row]:
    """What is kept of this detector; a line that was cut off by a kill is left out, and computed again from its cells."""
    if not CELLS.exists():
        return
    for text in CELLS.read_text().splitlines():
        try:
            row = Row(**json.loads(text))
        except (ValueError, TypeError):
            say("a broken line of benefit-cells.jsonl is left out")
            continue
        if row.detector == detector():
            yield row


@cache
def detector() -> str:
    """A mark of the detector's code and settings."""
    import swath.trainers

    files = sorted(Path(swath.trainers.__file__).parent.glob("*pillars*.py"))
    whole = hashlib.sha256(json.dumps([CLASSES, SCENES, SCALE, ROUNDS, SETTINGS]).encode())
    for path in files:
        whole.update(path.read_bytes())
    return whole.hexdigest()[:12]


# ---------------------------------------------------------------------- what is known


def runs() -> dict[tuple[int, str, int], answer.Run]:
    """(world, arm, seed) -> its curve, of those that are whole."""
    lines: dict[tuple[int, str, int], dict[int, Row]] = {}
    for row in rows():
        lines.setdefault((row.world, row.arm, row.seed), {})[row.round] = row
    out = {}
    for place, by_round in lines.items():
        if len(by_round) == ROUNDS:
            whole = [by_round[number] for number in range(ROUNDS)]
            figures = {
                name: np.array([one.figures[name] for one in whole], dtype=np.float64)
                for name in ("map50", "rare")
                if all(name in one.figures for one in whole)
            }
            costs: Any = {
                cost: np.array([getattr(one, cost) for one in whole], dtype=np.float64)
                for cost in answer.COSTS
            }
            out[place] = answer.Run(costs, figures)
    return out


def table(worlds: Sequence[int]) -> list[dict[str, Any]]:
    """Each arm against random over these worlds: worlds are what varies, so the interval is by world (Student's t); seeds of a
    world are one value, their mean."""
    from scipy.special import stdtrit

    there = runs()
    arms = dict.fromkeys(name for _, name, _ in there)
    out = []
    for name in arms:
        if name == "random":
            continue
        pairs: dict[int, list[tuple[answer.Run, answer.Run]]] = {}
        for (world, one, seed), run in there.items():
            if one == name and world in worlds and (world, "random", seed) in there:
                pairs.setdefault(world, []).append((run, there[world, "random", seed]))
        if not pairs:
            continue
        row: dict[str, Any] = {"arm": name, "worlds": len(pairs), "lines": sum(map(len, pairs.values()))}
        for figure in ("map50", "rare"):
            found = [
                float(
                    np.nanmean(
                        [
                            answer.area(*pair, "boxes", figure)[0]
                            for pair in of
                            if figure in pair[0].figures and figure in pair[1].figures
                        ]
                    )
                )
                for of in pairs.values()
                if any(figure in one.figures and figure in other.figures for one, other in of)
            ]
            values = np.array([one for one in found if not np.isnan(one)])
            row[figure] = float(values.mean()) if len(values) else float("nan")
            if len(values) > 1:
                error = float(values.std(ddof=1) / np.sqrt(len(values)))
                half = float(stdtrit(len(values) - 1, 0.975)) * error
                row |= {f"{figure} low": row[figure] - half, f"{figure} high": row[figure] + half}
                if figure == "map50":
                    row["would see"] = half + float(stdtrit(len(values) - 1, 0.8)) * error
        ones, others = zip(*(pair for of in pairs.values() for pair in of), strict=True)
        ratio = answer.labels_to_target(ones, others, "boxes", 2)
        row["boxes to target"] = ratio.value if ratio.value is not None else float("nan")
        out.append(row)
    return out


def draw(worlds: Sequence[int], path: Path) -> None:
    """Two pictures side by side: what models learned over what was drawn, mean of the worlds that all arms have; and each arm
    against random on the worlds that both have, with its interval."""
    import matplotlib.pyplot as plt

    there, found = runs(), table(worlds)
    arms = ["random", *(str(row["arm"]) for row in found)]
    have = [{world for world, name, _ in there if name == arm_ and world in worlds} for arm_ in arms]
    shared = set.intersection(*have)
    style = {name: (COLOURS[i % len(COLOURS)], MARKS[i % len(MARKS)]) for i, name in enumerate(arms)}
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for name in arms:
        lines = [run for (world, one, _), run in there.items() if one == name and world in shared]
        boxes = np.mean([run.costs["boxes"] for run in lines], axis=0)
        figures = np.mean([run.figures["map50"][:, 0] for run in lines], axis=0)
        colour, mark = style[name]
        left.plot(boxes, figures, marker=mark, color=colour, label=name, linewidth=1.5)
    left.set(
        xlabel=f"objects drawn, mean of {len(shared)} worlds",
        ylabel="mAP50 on drives nobody chose from",
        ylim=(0, None),
    )
    left.legend(fontsize=8, loc="lower right")
    for row, one in enumerate(reversed(found)):
        colour, mark = style[str(one["arm"])]
        value = one["map50"]
        ends = [[value - one.get("map50 low", value)], [one.get("map50 high", value) - value]]
        right.errorbar(value, row, xerr=ends, fmt=mark, color=colour, capsize=4)
    right.axvline(0, color=COLOURS[0], linewidth=1)
    names = [f"{one['arm']}\n{one['worlds']} worlds" for one in reversed(found)]
    right.set_yticks(range(len(found)), names, fontsize=8)
    right.set(
        xlabel="mAP50 minus that of random, at equal objects drawn (95 %)", ylim=(-0.7, len(found) - 0.3)
    )
    right.locator_params(axis="x", nbins=5)
    for panel in (left, right):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def tell() -> None:
    count = sum(1 for _ in rows())
    tables = {
        f"{title}: arm against random, area between curves over boxes": table(worlds)
        for title, worlds in (("Worlds for choosing", CHOOSING), ("Worlds for the claim", CLAIM))
    }
    notes = [
        f"{count} cells are kept; the whole plan has {16 * len(ARMS) * ROUNDS} per seed",
        "intervals are by world, with Student's t; `would see`: the difference that so many worlds see with a chance of 80 %",
    ]
    worlds = (
        CLAIM
        if tables["Worlds for the claim: arm against random, area between curves over boxes"]
        else CHOOSING
    )
    if table(worlds):
        draw(worlds, PICTURE)
    save("benefit", True, __doc__, {name: rows_ for name, rows_ in tables.items() if rows_}, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--work", type=Path, default=Path("benefit-work"), help="working folder: images, cells, models"
    )
    parser.add_argument(
        "--hours", type=float, default=1.0, help="then the line that is being computed is ended, and it stops"
    )
    parser.add_argument("--worlds", choices=("choosing", "claim"), default="choosing")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), help="default: all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--answer", action="store_true", help="only say what is known")
    given = parser.parse_args()
    if not given.answer:
        args_worlds = CHOOSING if given.worlds == "choosing" else CLAIM
        until = time.time() + 3600 * given.hours
        go_on(given.work.absolute(), args_worlds, given.arms, range(given.seeds), until)
    tell()


if __name__ == "__main__":
    main()
