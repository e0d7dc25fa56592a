"""What the dataset must show, computed from the journal alone: tags, status and saved views of every scene.

A pure function of records. Commit, fetch, evaluate, cancel and repair all write what it says, so that none of them can
leave a tag that the journal does not explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from swath.journal import DONE
from swath.scenes import SceneState

SPLITS = ("test", "val", "golden", "pool")
VIEWS = {"test": "test_set", "val": "val_set", "golden": "golden_qa", "pool": "pool"}
ANSWERED = ("labeled", "reviewed_empty")


def scene_states(
    membership: Mapping[str, str],
    batches: Iterable[Mapping[str, Any]],
    assignments: Iterable[Mapping[str, Any]],
) -> dict[str, SceneState]:
    """Tags and status of every scene of `membership` (key -> split, "" where it has none).

    `batches` in order, `assignments` of any batch. A cancelled batch leaves no batch tag; labels that came stay labels.
    """
    tags: dict[str, set[str]] = {
        key: ({f"split:{split}"} if split in SPLITS else set()) for key, split in membership.items()
    }
    status = dict.fromkeys(membership, "unlabeled")
    by_name = {batch["round"]: batch for batch in batches}
    for name, scenes in _by_scene(assignments).items():
        batch = by_name.get(name)
        if batch is None:
            continue
        is_open = batch["state"] in ("planned", "committed", "annotating")
        for (key, role), rows in scenes.items():
            if role == "golden" or key not in tags:
                continue
            finished = [
                modality
                for modality, states in rows["modalities"].items()
                if all(s in ANSWERED for s in states)
            ]
            # A modality that cannot be labelled holds up nothing, where another one is.
            skipped = sum(all(s == "skipped" for s in states) for states in rows["modalities"].values())
            whole = bool(finished) and len(finished) + skipped == len(rows["modalities"])
            if role == "pool":
                tags[key] |= {f"annotated_{modality}:{name}" for modality in finished}
                if whole:
                    tags[key].add(f"annotated:{name}")
                if batch["state"] != "cancelled" and not rows["returned"]:
                    tags[key] |= {f"batch:{name}", f"source:{rows['stream']}"}
                    if is_open and rows["active"]:
                        tags[key].add("to_annotate")
            if whole:
                status[key] = "annotated"
            elif rows["active"] and status[key] != "annotated":
                status[key] = "selected"
    for key, more in failure_tags(by_name.values()).items():
        if key in tags:
            tags[key] |= more
    return {key: SceneState(tuple(sorted(tags[key])), status[key]) for key in membership}


def failure_tags(batches: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """`failure:vN` of every evaluation; `failure:high_fn` and `failure:high_fp` of the last one."""
    tags: dict[str, set[str]] = {}
    last: list[Mapping[str, Any]] = []
    for batch in batches:
        record = batch["steps"].get("evaluate")
        if record is not None and batch["state"] != "cancelled":
            last = record["failures"]
            for failure in last:
                tags.setdefault(failure["key"], set()).add(f"failure:{batch['round']}")
    for failure in last:
        tags[failure["key"]] |= {f"failure:{kind}" for kind in failure["kinds"]}
    return tags


def views(
    membership: Mapping[str, str],
    batches: Iterable[Mapping[str, Any]],
    assignments: Iterable[Mapping[str, Any]],
) -> dict[str, list[str]]:
    """Saved views by name: sorted scene keys."""
    out = {
        view: sorted(key for key, split in membership.items() if split == name)
        for name, view in VIEWS.items()
    }
    listed = [batch for batch in batches if batch.get("number", -1) >= 0 and batch["state"] != "cancelled"]
    members: dict[str, set[str]] = {batch["round"]: set() for batch in listed}
    returned: dict[str, set[str]] = {batch["round"]: set() for batch in listed}
    for row in assignments:
        if row["role"] == "pool" and row["round"] in members:
            (returned if row["state"] == "returned" else members)[row["round"]].add(row["key"])
    for batch in listed:
        out[f"batch_{batch['round']}"] = sorted(members[batch["round"]] - returned[batch["round"]])
        if "evaluate" in batch["steps"]:
            failures = batch["steps"]["evaluate"]["failures"]
            out[f"eval_{batch['round']}_failures"] = sorted(failure["key"] for failure in failures)
    return out


def info(
    classes: Iterable[str],
    modalities: Iterable[str],
    batches: Iterable[Mapping[str, Any]],
    earlier: Iterable[Any] = (),
) -> dict[str, Any]:
    """Keys of `dataset.info`: the annotation schemas, `eval_vN`, and `golden_qa_history` with the guide's keys, after the
    `earlier` entries that were there before swath."""
    out: dict[str, Any] = {f"annotation_schema_{one}": {"classes": list(classes)} for one in modalities}
    history = list(earlier)
    for batch in batches:
        if batch["state"] == "cancelled":
            continue
        if "evaluate" in batch["steps"]:
            record = batch["steps"]["evaluate"]
            ap50 = {label: one["ap50"]["value"] for label, one in record["classes"].items()}
            figures = {"mAP": record["map"]["value"], "mAP50": record["map50"]["value"], "AP50": ap50}
            out[f"eval_{batch['round']}"] = {**figures, "scenes": record["scenes"]}
        if "golden" in batch["steps"]:
            record = batch["steps"]["golden"]
            shown = {"round": batch["round"], "verdict": record["verdict"], "axes": record["axes"]}
            shown |= {"override": record["override"]} if record["override"] else {}
            history.append({"iteration": batch["number"], **record["blind"], **shown})
    return {**out, "golden_qa_history": history}


def _by_scene(assignments: Iterable[Mapping[str, Any]]) -> dict[str, dict[tuple[str, str], dict[str, Any]]]:
    """round -> (key, role) -> its modalities' states (one per slot), stream, whether it is active or was returned."""
    out: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in assignments:
        scene = out.setdefault(row["round"], {}).setdefault(
            (row["key"], row["role"]),
            {"modalities": {}, "stream": row.get("stream"), "active": False, "returned": False},
        )
        scene["modalities"].setdefault(row["modality"], []).append(row["state"])
        scene["active"] |= bool(row["active"]) and row["state"] not in DONE
        scene["returned"] |= row["state"] == "returned"
    return out
