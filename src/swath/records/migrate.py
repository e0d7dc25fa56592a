"""Documents of swath 0.1.0 (schema 1, which it did not write down) as those of today. Pure: documents in, documents out.

What 0.1.0 kept inside a document and is kept apart today (manifest, membership, failures) comes beside it, for the store to
put where it belongs. Running it again on its own result is not meant: the store looks at `schema` first.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any

from swath.records.base import Document

Slices = Mapping[str, str]  # modality -> channel


def slices_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Which channel each modality was, from a configuration of 0.1.0."""
    names = config.get("slices") or {}
    return {"2d": names.get("image", "left"), "3d": names.get("cloud", "pcd")}


def loop(old: Mapping[str, Any], secret: str) -> tuple[Document, Any]:
    """(the loop's document, the membership or None)."""
    steps = dict(old["steps"])
    final = {
        name.removeprefix("final_"): evaluated(name.removeprefix("final_"), steps.pop(name))[0]
        for name in [one for one in steps if one.startswith("final_")]
    }
    new: Document = {
        name: steps[name] for name in ("init", "split", "split_grown", "repair") if name in steps
    }
    if "configure" in steps:
        new["configure"] = steps["configure"]
    if "embed" in steps:
        problems = [{"scene": key, "reason": why} for key, why in steps["embed"]["problems"]]
        new["embed"] = {**steps["embed"], "problems": problems}
    document = {
        **{name: old[name] for name in ("_id", "writer", "barrier") if name in old},
        **{name: old[name] for name in ("config", "home", "revision", "floor") if name in old},
        "secret": secret,
        "steps": {**new, "final": final} if final else new,
    }
    members = json.loads(gzip.decompress(old["membership"])) if "membership" in old else None
    return document, members


def batch(old: Mapping[str, Any], slices: Slices, membership: Mapping[str, str]) -> tuple[Document, Any, Any]:
    """(the batch's document, its manifest, its failures or None)."""
    name = old["round"]
    whole = manifest(json.loads(gzip.decompress(old["manifest"])), slices, membership)
    steps, failures = _steps(name, old["steps"], whole["slots"])
    document = {
        **{
            key: old[key]
            for key in ("_id", "dataset", "round", "state", "revision", "mark", "fence")
            if key in old
        },
        "role": whole["role"],
        "size": old["batch"],
        "slots": whole["slots"],
        "steps": steps,
    }
    if whole["role"] == "pool":
        document["number"] = old["number"]
    return document, whole, failures


def manifest(old: Mapping[str, Any], slices: Slices, membership: Mapping[str, str]) -> Document:
    """A manifest; those of references and of adopted rounds answer no question."""
    role = old["role"]
    scenes = []
    for row in old["scenes"]:
        rest = {name: value for name, value in row.items() if name != "modalities" and value is not None}
        split = "pool" if role == "pool" else membership.get(row["key"], "")
        scenes.append({**rest, "channels": _channels(row["modalities"], slices), "split": split})
    out: Document = {"round": old["round"], "role": role, "size": old["batch"], "scenes": scenes}
    out |= {"slots": old.get("slots", 1), "notes": old.get("notes", [])}
    out["golden"] = [
        {"key": row["key"], "channels": _channels(row["modalities"], slices)} for row in old.get("golden", [])
    ]
    if role == "pool":
        out["number"] = old["number"]
        out["coverage"] = old["zcore"]
        prints = old["fingerprints"].items()
        out["fingerprints"] = {name: value for name, value in prints if value is not None}
    if "candidates" in old:
        out["question"] = {
            "number": old["number"],
            "candidates": old["candidates"],
            "channels": [_channels(one, slices) for one in old["modalities"]],
            "config": old["config"],
            "config_hash": old["config_hash"],
            "versions": old["versions"],
            **{name: old[name] for name in ("evidence", "excluded", "failures", "golden")},
            "golden": out["golden"],
            **({"answers": old["answers"]} if old["answers"] is not None else {}),
        }
    return out


def assignment(old: Mapping[str, Any], slices: Slices, membership: Mapping[str, str]) -> Document:
    """An assignment; the split is the one that its scene had all along."""
    rest = {name: value for name, value in old.items() if name != "modality"}
    split = {"pool": "pool", "golden": "golden"}.get(old["role"]) or membership.get(old["key"], "")
    return {**rest, "channel": slices[old["modality"]], "split": split}


def evaluated(name: str, old: Mapping[str, Any]) -> tuple[Document, list[Document]]:
    """(an evaluation, its failures)."""
    failures = list(old["failures"])
    figures = {part: old[part] for part in ("map", "map50", "classes", "operating", "errors")}
    told = {part: old[part] for part in ("on", "scenes", "uses", "notes")}
    worst = failures[:WORST]
    return (
        {"round": name, **told, "figures": {"2d": figures}, "failing": len(failures), "worst": worst},
        failures,
    )


WORST = 100
"""Failures that stand in an evaluation itself; all of them are kept apart."""


def _channels(modalities: Any, slices: Slices) -> list[str]:
    return [slices[one] for one in modalities]


def _steps(name: str, old: Mapping[str, Any], slots: int) -> tuple[Document, list[Document] | None]:
    new: Document = {}
    failures = None
    if "send" in old:
        times = len(old.get("reopen", {}).get("times", []))  # 0.1.0 did not ask for sending again
        new["send"] = [{**old["send"], "slots": list(range(slots)), "receipt": {}, "reopened": times}]
    if "fetch" in old:
        new["fetch"] = _fetched(old["fetch"])
    for step in ("check", "golden", "stop"):
        if step in old:
            new[step] = {"round": name, **_without_none(old[step])}
    if "train" in old:
        one = dict(old["train"])
        notes = one.pop("notes", [])
        new["train"] = {
            "round": name,
            "models": [{"modality": "2d", **one}],
            "scenes": one["images"],
            "notes": notes,
        }
    if "evaluate" in old:
        new["evaluate"], failures = evaluated(name, old["evaluate"])
    for step in ("cancel", "close", "adopt"):
        if step in old:
            new[step] = old[step]
    if "reopen" in old:
        new["reopen"] = [_reopened(name, one) for one in old["reopen"]["times"]]
    return new, failures


def _reopened(name: str, old: Mapping[str, Any]) -> Document:
    new: Document = {"reason": old["reason"]}
    if "fetch" in old:
        new["fetch"] = _fetched(old["fetch"])
    for step in ("check", "golden"):
        if step in old:
            new[step] = {"round": name, **_without_none(old[step])}
    return new


def _fetched(old: Mapping[str, Any]) -> Document:
    rest = {name: value for name, value in old.items() if name != "from"}
    return {**rest, "source": old["from"]} if "from" in old else rest


def _without_none(old: Mapping[str, Any]) -> Document:
    return {name: value for name, value in old.items() if value is not None}
