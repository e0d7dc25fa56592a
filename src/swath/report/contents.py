"""What the report says, section by section, as plain data for the page. Reads the journal, and of the dataset only pool and
val: embeddings for the map, images for the pictures, labels of the failures that are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from swath import __version__
from swath.journal import FINAL_REFERENCE, Document
from swath.report import charts, failures, pictures
from swath.report.embedding_map import embedding_map
from swath.report.pictures import Picture
from swath.steps.workspace import Workspace

if TYPE_CHECKING:
    from swath.loop import Status

FAILURES: Final = 12  # failures with a picture
ROWS: Final = 1000  # scenes of a batch that are listed
PER_ROUND, PICTURES = 60, 240  # scenes of a batch with a picture, per round and in all
LISTED: Final = 20  # findings, leaks, damages, quarantined labels that are listed
CLASS_ROUNDS: Final = 4  # rounds in the table of classes
SMALL, LARGE = 150, 620  # width of pictures, pixels
SERIES: Final = (("map50", "mAP50"), ("map", "mAP"))


def gather(workspace: Workspace, status: Status) -> dict[str, Any]:
    """Everything that `report.html` shows. The same journal, labels and media give the same data: no clock, no paths but
    that of the source."""
    journal = workspace.journal
    loop, rounds = journal.loop(), journal.rounds()
    manifests = {one["round"]: journal.manifest(one["round"]) for one in rounds}
    evaluated = [one for one in rounds if "evaluate" in one["steps"] and one["state"] != "cancelled"]
    last = evaluated[-1] if evaluated else None
    shown = last["steps"]["evaluate"]["failures"][:FAILURES] if last else []
    illustrated = _illustrated(rounds, manifests)
    wanted = [(key, SMALL) for keys in illustrated.values() for key in keys]
    wanted += [(failure["key"], LARGE) for failure in shown]
    images = pictures.load(workspace, wanted)
    answers = _answers(workspace)
    return {
        "dataset": workspace.name,
        "status": status,
        "rounds": [_round(one, status) for one in rounds],
        "last": last and {"round": last["round"], **last["steps"]["evaluate"]},
        "gain": _gain(evaluated),
        "final": _final(loop),
        "classes": _classes(evaluated[-CLASS_ROUNDS:], workspace.config.classes),
        "series": SERIES,
        "curve": charts.learning_curve([_point(one) for one in evaluated], SERIES, 560, 300),
        "map": embedding_map(
            workspace, [one for one in rounds if one["state"] != "cancelled"], manifests, last
        ),
        "batches": [
            _batch(one, manifests[one["round"]], illustrated[one["round"]], images, answers)
            for one in reversed(rounds)
        ],
        "failures": _failures(workspace, last, shown, images) if last else None,
        "golden": [
            {"round": one["round"], **_axes(one["steps"]["golden"])}
            for one in reversed(rounds)
            if "golden" in one["steps"]
        ],
        "findings": _findings(rounds),
        "leaks": loop["steps"].get("split", {}).get("closest", [])[:LISTED],
        "notes": _notes(loop, rounds, manifests, status),
        "quarantine": _quarantine(workspace),
        "damages": loop["steps"].get("init", {}).get("damages", [])[:LISTED],
        "damage_count": loop["steps"].get("init", {}).get("damage_count", 0),
        "footer": _footer(workspace, loop, rounds, manifests),
    }


# ---------------------------------------------------------------------- rounds


def _round(batch: Document, status: Status) -> dict[str, Any]:
    """One row of the table of rounds, and why it ended as it did."""
    steps = batch["steps"]
    listed = next((one for one in status.rounds if one["round"] == batch["round"]), None)
    reasons: list[tuple[str, str]] = []
    for name in ("cancel", "close"):
        if name in steps:
            back = f"{steps[name].get('returned', 0)} scenes went back to the pool"
            reasons.append((name, "; ".join(filter(None, (steps[name].get("reason"), back)))))
    if steps.get("golden", {}).get("override"):
        reasons.append(("golden check overridden", steps["golden"]["override"]))
    if "stop" in steps:
        reasons += [(name, one["why"]) for name, one in steps["stop"]["criteria"].items()]
    return {
        "round": batch["round"],
        "state": batch["state"],
        "batch": batch["batch"],
        "annotated": listed["annotated"] if listed else None,
        "evaluate": steps.get("evaluate"),
        "golden": steps.get("golden", {}).get("verdict"),
        "decision": steps.get("stop", {}).get("decision"),
        "why": steps.get("stop", {}).get("why"),
        "reasons": reasons,
    }


def _point(batch: Document) -> dict[str, Any]:
    record = batch["steps"]["evaluate"]
    images = batch["steps"]["train"]["images"]
    return {"round": batch["round"], "images": images, "map": record["map"], "map50": record["map50"]}


def _gain(evaluated: Sequence[Document]) -> float | None:
    """mAP50 of the last evaluation less that of the one before."""
    values = [one["steps"]["evaluate"]["map50"]["value"] for one in evaluated[-2:]]
    return values[1] - values[0] if len(values) == 2 and None not in values else None


def _final(loop: Document) -> list[dict[str, Any]]:
    """Figures of the evaluations on test: nothing of a single test scene."""
    found = sorted(name for name in loop["steps"] if name.startswith("final_"))
    return [
        {
            "round": name.removeprefix("final_"),
            **{key: loop["steps"][name][key] for key in ("map", "map50", "scenes")},
        }
        for name in found
    ]


def _classes(evaluated: Sequence[Document], names: Sequence[str]) -> dict[str, Any]:
    """AP50 of every class that val has, in the order of the class map, round by round."""
    records = [(one["round"], one["steps"]["evaluate"]["classes"]) for one in evaluated]
    there = [name for name in names if any(name in record for _, record in records)]
    rows = [
        {
            "name": name,
            "references": next(
                record[name]["references"] for _, record in reversed(records) if name in record
            ),
            "ap50": [record[name]["ap50"] if name in record else None for _, record in records],
        }
        for name in there
    ]
    return {"rounds": [name for name, _ in records], "rows": rows}


# ---------------------------------------------------------------------- batches


def _first(scenes: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """At most `most` scenes, the best of each stream in turn, in the order they came."""
    best = sorted(range(len(scenes)), key=lambda i: (scenes[i]["rank"], scenes[i]["stream"], i))[:most]
    return [scenes[i] for i in sorted(best)]


def _illustrated(rounds: Sequence[Document], manifests: Mapping[str, Document]) -> dict[str, list[str]]:
    """Round -> scenes with a picture, and the failures they answer; the last rounds first, as far as `PICTURES` goes."""
    left, out = PICTURES, {}
    for batch in reversed(rounds):
        scenes = _first(manifests[batch["round"]]["scenes"], min(PER_ROUND, left))
        left -= len(scenes)
        answered = [scene["failure"] for scene in scenes if scene.get("failure")]
        out[batch["round"]] = list(dict.fromkeys([scene["key"] for scene in scenes] + answered))
    return out


def _answers(workspace: Workspace) -> dict[tuple[str, str], list[str]]:
    """(round, scene) -> what came of it, in words, one entry per modality."""
    out: dict[tuple[str, str], list[str]] = {}
    for row in workspace.journal.assignments(role="pool"):
        words = {"labeled": str(row.get("count", "")), "reviewed_empty": "empty", "unreviewed": "waits"}
        out.setdefault((row["round"], row["key"]), []).append(
            f"{row['modality'].upper()} {words.get(row['state'], row['state'])}"
        )
    return out


def _batch(
    batch: Document,
    manifest: Document,
    illustrated: Sequence[str],
    images: Mapping[tuple[str, int], Picture],
    answers: Mapping[tuple[str, str], Sequence[str]],
) -> dict[str, Any]:
    listed = _first(manifest["scenes"], ROWS)
    scenes = [
        {
            **scene,
            "picture": images[scene["key"], SMALL] if scene["key"] in illustrated else None,
            "answered": images[scene["failure"], SMALL] if scene.get("failure") in illustrated else None,
            "failure": scene.get("failure"),
            "labels": answers.get((batch["round"], scene["key"]), ["returned"]),
        }
        for scene in listed
    ]
    return {
        "round": batch["round"],
        "state": batch["state"],
        "batch": batch["batch"],
        "scenes": scenes,
        "unlisted": len(manifest["scenes"]) - len(listed),
        "pictured": sum(scene["picture"] is not None for scene in scenes),
        "targets": any(scene["failure"] for scene in scenes),
        "golden": len(manifest["golden"]),
        "zcore": manifest["zcore"],
        "excluded": manifest["excluded"],
        "notes": manifest["notes"],
    }


# ---------------------------------------------------------------------- failures, golden check, findings


def _failures(
    workspace: Workspace,
    last: Document,
    shown: Sequence[Mapping[str, Any]],
    images: Mapping[tuple[str, int], Picture],
) -> dict[str, Any]:
    record = last["steps"]["evaluate"]
    mine = {failure["key"]: images[failure["key"], LARGE] for failure in shown}
    drawn = failures.overlay(workspace, last["round"], record, mine)
    most = max(record["errors"].values(), default=0)
    return {
        "round": last["round"],
        "scenes": record["scenes"],
        "count": len(record["failures"]),
        "threshold": record["operating"]["threshold"],
        "precision": record["operating"]["precision"],
        "recall": record["operating"]["recall"],
        "errors": [
            {
                "kind": failures.KINDS.get(kind, kind),
                "name": kind,
                "count": n,
                "share": n / most if most else 0.0,
            }
            for kind, n in sorted(record["errors"].items(), key=lambda one: (-one[1], one[0]))
        ],
        "shown": [{**failure, "picture": mine[failure["key"]], **drawn[failure["key"]]} for failure in shown],
        "others": record["failures"][len(shown) : len(shown) + ROWS],
    }


def _axes(record: Mapping[str, Any]) -> dict[str, Any]:
    """The golden check of a round, with the scale that its bars share."""
    ends = [0.1]
    for one in record["axes"].values():
        ends += [value for value in (one["high"], one["accepted"]) if value is not None and one["trials"]]
    return {**record, "scale": min(1.0, max(ends) * 1.05), "examples": record["examples"][:LISTED]}


def _findings(rounds: Sequence[Document]) -> dict[str, Any]:
    """Findings counted per rule and round, and the first of the last round that was checked."""
    checked = [one for one in rounds if "check" in one["steps"]]
    records = [(one["round"], one["steps"]["check"]) for one in checked]
    total: Counter[str] = Counter()
    for _, record in records:
        total.update(record["rules"])
    rows = [
        {"rule": rule, "counts": [record["rules"].get(rule, 0) for _, record in records], "total": n}
        for rule, n in sorted(total.items(), key=lambda one: (-one[1], one[0]))
    ]
    first = records[-1][1]["findings"][:LISTED] if records else []
    return {"rounds": records, "rows": rows, "first": first}


# ---------------------------------------------------------------------- notes and footer


def _notes(
    loop: Document, rounds: Sequence[Document], manifests: Mapping[str, Document], status: Status
) -> list[tuple[str, str]]:
    """(where, what) of everything that a step found worth saying."""
    steps = loop["steps"]
    notes = [("split", note) for note in steps.get("split", {}).get("notes", ())]
    if status.set_aside:
        notes.append(("init", f"{status.set_aside} new scenes are of test drives and were set aside"))
    embedded = steps.get("embed", {})
    if embedded.get("problem_count"):
        first = "; ".join(f"{key}: {why}" for key, why in embedded["problems"][:5])
        notes.append(
            ("embed", f"{embedded['problem_count']} scenes have no usable vector and are excluded: {first}")
        )
    for batch in rounds:
        name = batch["round"]
        notes += [(f"{name} select", note) for note in manifests[name]["notes"]]
        if manifests[name]["excluded"]:
            first = "; ".join(f"{key}: {why}" for key, why in manifests[name]["excluded"][:5])
            notes.append(
                (f"{name} select", f"{len(manifests[name]['excluded'])} could not be chosen: {first}")
            )
        for step in ("fetch", "check", "train", "evaluate"):
            notes += [(f"{name} {step}", note) for note in batch["steps"].get(step, {}).get("notes", ())]
    return notes


def _quarantine(workspace: Workspace) -> dict[str, Any]:
    """Labels that were left out at fetch, with the reason; those of test scenes are not listed."""
    rows = workspace.journal.assignments(
        rejected={"$exists": True, "$ne": []}, round={"$ne": FINAL_REFERENCE}
    )
    listed = [
        {"round": row["round"], "scene": row["key"], "modality": row["modality"], **one}
        for row in rows
        for one in row["rejected"]
    ]
    return {"count": len(listed), "first": listed[:LISTED]}


def _footer(
    workspace: Workspace, loop: Document, rounds: Sequence[Document], manifests: Mapping[str, Document]
) -> dict[str, Any]:
    """What it takes to get the same again."""
    steps, config = loop["steps"], workspace.config
    facts = [
        ("swath", __version__),
        ("seed", config.seed),
        ("configuration", config.hash()),
        ("classes", ", ".join(config.classes)),
        ("source", steps.get("init", {}).get("kitti") or f"FiftyOne dataset {workspace.name}"),
        ("splits", loop.get("membership_sha256")),
        ("test (frozen)", loop.get("test_sha256")),
        ("encoder", steps.get("embed", {}).get("encoder")),
        ("embeddings", steps.get("embed", {}).get("fingerprint")),
    ]
    listed = [
        {
            "round": one["round"],
            "swath": manifests[one["round"]]["versions"]["swath"],
            "seed": manifests[one["round"]]["seed"],
            "config": manifests[one["round"]]["config_hash"],
            "embeddings": manifests[one["round"]]["fingerprints"]["embeddings"],
            "pool": manifests[one["round"]]["fingerprints"]["pool"],
            "manifest": one["manifest_sha256"],
            "model": one["steps"].get("train", {}).get("sha256"),
        }
        for one in rounds
    ]
    return {"facts": [(name, value) for name, value in facts if value is not None], "rounds": listed}


# ---------------------------------------------------------------------- how values read


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def interval(estimate: Mapping[str, float | None] | None, digits: int = 2) -> str:
    """`0.22 – 0.40`, empty where there is none."""
    if estimate is None or estimate["value"] is None or estimate["low"] is None:
        return ""
    return f"{number(estimate['low'], digits)} – {number(estimate['high'], digits)}"


def counts(values: Mapping[str, int]) -> str:
    """`2 Cyclist, 1 Car`, most first."""
    ordered = sorted(values.items(), key=lambda one: (-one[1], one[0]))
    return ", ".join(f"{n} {name}" for name, n in ordered) or "none"


FILTERS: Final[dict[str, Callable[..., str]]] = {
    "number": number,
    "percent": percent,
    "interval": interval,
    "counts": counts,
}
