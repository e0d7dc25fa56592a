"""What the dataset must show, computed from the journal alone: tags, status and saved views of every scene.

Pure functions of records. Commit, fetch, evaluate, cancel and repair all write what they say, so that none of them can
leave a tag that the journal does not explain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from swath import life
from swath.records.assignment import DONE, Assignment
from swath.records.batch import Batch, Failure
from swath.records.shown import SceneState

SPLITS: Final = ("test", "val", "golden", "pool")
EMBEDDED: Final = ("pool", "val", "golden")  # scenes of these have vectors
VIEWS: Final = {"test": "test_set", "val": "val_set", "golden": "golden_qa", "pool": "pool"}
Failures = Mapping[str, Sequence[Failure]]  # round -> its failures, worst first


def scene_states(
    membership: Mapping[str, str],
    batches: Iterable[Batch],
    assignments: Iterable[Assignment],
    failures: Failures,
    modality_of: Mapping[str, str],
) -> dict[str, SceneState]:
    """Tags and status of every scene of `membership` (key -> split, "" where it has none).

    `batches` in order; `assignments` of these scenes; `failures` of the evaluations; `modality_of`: channel -> `2d` or `3d`.
    A cancelled batch leaves no batch tag; labels that came stay labels.
    """
    tags: dict[str, set[str]] = {
        key: ({f"split:{split}"} if split in SPLITS else set()) for key, split in membership.items()
    }
    status = dict.fromkeys(membership, "unlabeled")
    batches = list(batches)
    by_name = {batch.round: batch for batch in batches}
    for (name, key), asked in _by_scene(assignments).items():
        if name in by_name and key in tags and asked.role != "golden":
            tags[key] |= _batch_tags(by_name[name], asked, modality_of)
            if asked.whole:
                status[key] = "annotated"
            elif asked.waits and status[key] != "annotated":
                status[key] = "selected"
    for key, more in failure_tags(batches, failures).items():
        if key in tags:
            tags[key] |= more
    return {key: SceneState(tuple(sorted(tags[key])), status[key]) for key in membership}


@dataclass
class _Asked:
    """What was asked of one scene in one batch: its answers by channel (one per slot)."""

    role: str
    stream: str | None
    answers: dict[str, list[Assignment]] = field(default_factory=dict)

    @property
    def finished(self) -> list[str]:
        """Channels that somebody has labelled, or found empty, and nobody is waited for."""
        return [
            name
            for name, rows in self.answers.items()
            if any(row.labelled for row in rows) and all(row.state in DONE for row in rows)
        ]

    @property
    def whole(self) -> bool:
        """Whether it is labelled: a channel that cannot be labelled holds up nothing, where another one is."""
        skipped = sum(all(row.state == "skipped" for row in rows) for rows in self.answers.values())
        return bool(self.finished) and len(self.finished) + skipped == len(self.answers)

    @property
    def waits(self) -> bool:
        return any(row.active and row.state not in DONE for rows in self.answers.values() for row in rows)

    @property
    def returned(self) -> bool:
        return any(row.state == "returned" for rows in self.answers.values() for row in rows)


def _by_scene(assignments: Iterable[Assignment]) -> dict[tuple[str, str], _Asked]:
    """(round, key) -> what was asked of the scene there."""
    out: dict[tuple[str, str], _Asked] = {}
    for row in assignments:
        if row.role == "second" and row.state == "returned":
            continue  # it is not waited for any more: the first labelling stands
        asked = out.setdefault((row.round, row.key), _Asked(row.role, row.stream))
        asked.answers.setdefault(row.channel, []).append(row)
    return out


def _batch_tags(batch: Batch, asked: _Asked, modality_of: Mapping[str, str]) -> set[str]:
    """Tags that one batch gives a pool scene."""
    if asked.role != "pool":
        return set()
    tags: set[str] = set()
    of: dict[str, set[str]] = {}
    for name in asked.answers:
        of.setdefault(modality_of.get(name, "2d"), set()).add(name)
    for modality, names in of.items():
        if names <= set(asked.finished):
            tags.add(f"annotated_{modality}:{batch.round}")
    if asked.whole:
        tags.add(f"annotated:{batch.round}")
    if not batch.cancelled and not asked.returned:
        tags |= {f"batch:{batch.round}", f"source:{asked.stream}"}
        if batch.state in life.OPEN and asked.waits:
            tags.add("to_annotate")
    return tags


def given_back(assignments: Iterable[Assignment]) -> set[str]:
    """Scenes that may be chosen again once a batch has ended early, from its assignments: something of them did not come, and nobody
    who looked skipped them. What nobody could see where it was sent did not come; beside labels it is not waited for."""
    asked = [row for row in assignments if row.role not in ("golden", "second")]
    labelled = {row.key for row in asked if row.labelled}
    skipped = {row.key for row in asked if row.state == "skipped" and not row.unseen}
    late = {row.key for row in asked if row.state in ("unreviewed", "returned")}
    return (late | {row.key for row in asked if row.unseen} - labelled) - skipped


def failure_tags(batches: Iterable[Batch], failures: Failures) -> dict[str, set[str]]:
    """Of the notable failures: `failure:vN` of every evaluation; `failure:high_fn` and `failure:high_fp` of the last one alone."""
    tags: dict[str, set[str]] = {}
    evaluated = life.evaluated(batches)
    for batch in evaluated:
        for failure in failures.get(batch.round, ()):
            if failure.notable:
                more = failure.kinds if batch is evaluated[-1] else ()
                tags.setdefault(failure.key, set()).update(f"failure:{one}" for one in (batch.round, *more))
    return tags


# ---------------------------------------------------------------------- views


def view_names(batches: Iterable[Batch]) -> list[str]:
    """Names of the saved views there must be."""
    names = list(VIEWS.values())
    for batch in life.standing(batches):
        names.append(f"batch_{batch.round}")
        if batch.steps.evaluate is not None:
            names.append(f"eval_{batch.round}_failures")
    return names


def split_view(membership: Mapping[str, str], split: str) -> list[str]:
    """Scenes of a split, sorted."""
    return sorted(key for key, one in membership.items() if one == split)


def batch_view(assignments: Iterable[Assignment]) -> list[str]:
    """Pool scenes of a batch that were not given back, sorted; from the batch's assignments."""
    pool = [row for row in assignments if row.role == "pool"]
    returned = {row.key for row in pool if row.state == "returned"}
    return sorted({row.key for row in pool} - returned)


def tag_of(view: str) -> str:
    """The tag that every scene of a saved view carries, and no other scene does."""
    split = next((split for split, name in VIEWS.items() if name == view), None)
    if split is not None:
        return f"split:{split}"
    kind, name, *_ = view.split("_")
    return f"batch:{name}" if kind == "batch" else f"failure:{name}"


# ---------------------------------------------------------------------- dataset.info


def info(
    classes: Iterable[str], modalities: Iterable[str], batches: Iterable[Batch], earlier: Iterable[Any] = ()
) -> dict[str, Any]:
    """Keys of `dataset.info`: the annotation schemas, `eval_vN`, and `golden_qa_history` with the guide's keys, after the
    `earlier` entries that were there before swath."""
    out: dict[str, Any] = {f"annotation_schema_{one}": {"classes": list(classes)} for one in modalities}
    history = list(earlier)
    for batch in life.standing(batches):
        evaluated, golden = batch.steps.evaluate, batch.steps.golden
        if evaluated is not None:
            main = evaluated.main
            ap50 = {label: one.ap50.value for label, one in main.classes.items()}
            figures = {"mAP": main.map.value, "mAP50": main.map50.value, "AP50": ap50}
            out[f"eval_{batch.round}"] = {**figures, "scenes": evaluated.scenes}
        if golden is not None:
            axes = {name: axis.as_json() for name, axis in golden.axes.items()}
            shown: dict[str, Any] = {"round": batch.round, "verdict": golden.verdict, "axes": axes}
            shown |= {"override": golden.override} if golden.override else {}
            history.append({"iteration": batch.number, **golden.blind.as_json(), **shown})
    return {**out, "golden_qa_history": history}
