"""Scenes of a FiftyOne dataset: aligned columns to read, fenced bulk writes over all slices.

The only module that knows FiftyOne's groups, slices and ObjectIds. Everything above speaks of scene keys (str, stable) and
of rows (positions in a `SceneTable`, which is sorted by key).

FiftyOne's own scene-wide writes reach one slice, read a list before they write it, and cannot be fenced; so tags, status
and labels are written to its sample collection directly, each write filtered by `swath_fence <= token` (see `journal`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath import database
from swath.config import LoopConfig
from swath.errors import FencedError, IntegrityError, UnknownNameError, some
from swath.journal import Journal, Writer
from swath.views import Views

CHUNK: Final = 50_000  # ids per query: far below the 16 MB that one query may have
OWNED: Final = r"^(split:|batch:|source:|failure:|annotated_2d:|annotated_3d:|annotated:|to_annotate$)"
KEY: Final = "scene_key"
FENCE: Final = "swath_fence"
FINDINGS: Final = "findings"
OPINIONS: Final = {"2d": "opinions_2d", "3d": "opinions_3d"}

Strings = npt.NDArray[np.str_]


@dataclass(frozen=True)
class SceneTable:
    """All scenes of a dataset, sorted by key; every column has one entry per row.

    keys, ids    (N,) str; id is FiftyOne's group id (sample id in an ungrouped dataset), hex
    samples      slice -> (N,) str, sample id, "" where the scene lacks the slice
    paths        slice -> (N,) str, absolute media path, "" where it lacks it
    sequence     (N,) str, the drive, "" where unknown
    size         (N, 2) int, width and height of the primary image in pixels, 0 where unknown
    """

    keys: Strings
    ids: Strings
    samples: Mapping[str, Strings]
    paths: Mapping[str, Strings]
    sequence: Strings
    size: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def _row(self) -> dict[str, int]:
        return {str(key): row for row, key in enumerate(self.keys)}

    def rows(self, keys: Iterable[str]) -> npt.NDArray[np.int64]:
        """Rows of `keys`, in their order; `UnknownNameError` names those that do not exist."""
        keys = list(keys)
        unknown = [key for key in keys if key not in self._row]
        if unknown:
            raise UnknownNameError(
                f"{len(unknown)} of {len(keys)} scenes are not in the dataset: {some(unknown)}; "
                f"keys look like {some(self.keys, 3)}"
            )
        return np.array([self._row[key] for key in keys], dtype=np.int64)

    def known(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that are in the dataset, in their order: people delete scenes by hand."""
        return [key for key in keys if key in self._row]

    def keys_of(self, ids: Iterable[object]) -> list[str]:
        """Keys of FiftyOne ids (text or ObjectId), in their order; `UnknownNameError` names those that do not exist."""
        listed = [str(one) for one in ids]
        key_of = dict(zip(self.ids.tolist(), self.keys.tolist(), strict=True))
        unknown = [one for one in listed if one not in key_of]
        if unknown:
            raise UnknownNameError(
                f"{len(unknown)} of {len(listed)} ids are of no scene in the dataset: {some(unknown)}; "
                f"ids look like {some(self.ids, 3)}"
            )
        return [key_of[one] for one in listed]

    def counts(self) -> dict[str, int]:
        """Scenes that have each slice."""
        return {name: int(np.count_nonzero(ids != "")) for name, ids in self.samples.items()}


@dataclass(frozen=True)
class SceneState:
    """What the journal says of one scene: its tags (swath's own, sorted) and its status."""

    tags: tuple[str, ...]
    status: str


@dataclass(frozen=True)
class Difference:
    """One place where the dataset is not what the journal says."""

    scene: str
    slice: str
    what: str
    expected: str
    found: str


def load_dataset(name: str) -> Any:
    """A FiftyOne dataset by name; `UnknownNameError` lists the ones that exist."""
    database.ensure()
    import fiftyone as fo

    if not fo.dataset_exists(name):
        raise UnknownNameError(f"no dataset {name!r}; there are: {some(fo.list_datasets(), 10)}")
    return fo.load_dataset(name)


def open_journal(dataset: Any) -> Journal:
    """The journal of a FiftyOne dataset."""
    import fiftyone.core.odm as foo

    return Journal(foo.get_db_conn(), dataset._doc.id, dataset.name)


class Scenes:
    """The scenes of one FiftyOne dataset. `refresh()` after anybody else may have added or removed some."""

    def __init__(self, dataset: Any, config: LoopConfig) -> None:
        self.dataset, self.config = dataset, config
        self.grouped = dataset.media_type == "group"
        self.views = Views(dataset)

    # ------------------------------------------------------------------ reading

    @cached_property
    def table(self) -> SceneTable:
        return self._read_table()

    def refresh(self) -> None:
        """Forgets what was read; the dataset object in memory sees what was written."""
        import fiftyone as fo

        self.__dict__.pop("table", None)
        self.dataset.reload()
        fo.Sample._reload_docs(self.dataset._sample_collection_name)

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices of the dataset; an ungrouped one has a single slice, named as the configuration's `image`."""
        return tuple(sorted(self.dataset.group_slices)) if self.grouped else (self.config.slices.image,)

    @property
    def _collection(self) -> Any:
        return self.dataset._sample_collection

    @property
    def _group(self) -> str:
        return f"{self.dataset.group_field}._id" if self.grouped else "_id"

    def _read_table(self) -> SceneTable:
        image = self.config.slices.image
        wanted = {
            "filepath": 1,
            KEY: 1,
            self.config.fields.sequence: 1,
            "metadata.width": 1,
            "metadata.height": 1,
        }
        if self.grouped:
            wanted[self.dataset.group_field] = 1
        scenes: dict[str, dict[str, Any]] = {}
        for doc in self._collection.find({}, wanted):
            group = doc.get(self.dataset.group_field) if self.grouped else None
            scene_id, name = (str(group["_id"]), group["name"]) if group else (str(doc["_id"]), image)
            scene = scenes.setdefault(scene_id, {"samples": {}, "paths": {}})
            scene["samples"][name], scene["paths"][name] = str(doc["_id"]), doc["filepath"]
            scene["key"] = scene.get("key") or doc.get(KEY)
            scene["sequence"] = scene.get("sequence") or doc.get(self.config.fields.sequence)
            if name == image:
                metadata = doc.get("metadata") or {}
                scene["size"] = (metadata.get("width") or 0, metadata.get("height") or 0)
        without = [scene_id for scene_id, scene in scenes.items() if not scene["key"]]
        if without:
            raise IntegrityError(
                f"{len(without)} scenes have no {KEY} (added by hand?): {some(without)}; "
                f"run `swath init {self.dataset.name} --fiftyone {self.dataset.name}` to take them in"
            )
        ordered = sorted(scenes.items(), key=lambda item: item[1]["key"])
        keys = [scene["key"] for _, scene in ordered]
        twice = sorted({one for one, two in pairwise(keys) if one == two})
        if twice:
            raise IntegrityError(f"{len(twice)} scene keys are there twice: {some(twice)}")

        def column(part: str, name: str) -> Strings:
            return np.array([scene[part].get(name, "") for _, scene in ordered], dtype=np.str_)

        return SceneTable(
            keys=np.array(keys, dtype=np.str_),
            ids=np.array([scene_id for scene_id, _ in ordered], dtype=np.str_),
            samples={name: column("samples", name) for name in self.slices},
            paths={name: column("paths", name) for name in self.slices},
            sequence=np.array([scene["sequence"] or "" for _, scene in ordered], dtype=np.str_),
            size=np.array([scene.get("size", (0, 0)) for _, scene in ordered], dtype=np.int64).reshape(-1, 2),
        )

    def values(self, slice_name: str, keys: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """Raw values of `fields` on one slice, one mapping per key, in their order; {} where the slice is missing."""
        table = self.table
        ids = table.samples[slice_name][table.rows(keys)] if len(keys) else np.array([], dtype=np.str_)
        found: dict[str, dict[str, Any]] = {}
        for chunk in _chunks([_object_id(one) for one in ids if one]):
            for doc in self._collection.find({"_id": {"$in": chunk}}, dict.fromkeys(fields, 1)):
                found[str(doc.pop("_id"))] = doc
        return [found.get(str(one), {}) for one in ids]

    def vectors(self, keys: Sequence[str], field: str) -> npt.NDArray[np.float32]:
        """(n, d) float32 vectors of `field` on the primary slice; a row of NaN where there is none (d = 0 if none at all)."""
        from fiftyone.core.utils import deserialize_numpy_array

        rows: list[Any] = []
        for doc in self.values(self.config.slices.image, keys, [field]):
            value = doc.get(field)
            rows.append(deserialize_numpy_array(value) if isinstance(value, bytes) else value)
        sizes = {len(row) for row in rows if row is not None}
        if len(sizes) > 1:
            raise IntegrityError(
                f"field {field!r} holds vectors of different lengths ({some(sorted(sizes))}); compute them again with one encoder"
            )
        out = np.full((len(rows), sizes.pop() if sizes else 0), np.nan, dtype=np.float32)
        for row, value in enumerate(rows):
            if value is not None:
                out[row] = value
        return out

    # ------------------------------------------------------------------ writing

    def declare(self) -> None:
        """Adds swath's fields to the schema, so that FiftyOne and its App know what the bulk writes put there."""
        import fiftyone as fo

        fields = self.config.fields
        simple = {
            KEY: fo.StringField,
            FENCE: fo.IntField,
            fields.status: fo.StringField,
            fields.zcore: fo.FloatField,
        }
        simple |= {fields.sequence: fo.StringField, "embeddings_source": fo.StringField}
        for name, kind in simple.items():
            if name not in self.dataset.get_field_schema():
                self.dataset.add_sample_field(name, kind)
        if fields.embeddings not in self.dataset.get_field_schema():
            self.dataset.add_sample_field(fields.embeddings, fo.VectorField)
        # An undeclared field that a document has keeps FiftyOne from loading the sample at all.
        labels = [fields.detections, fields.golden_detections, fields.predictions, OPINIONS["2d"]]
        if self.config.slices.cloud in self.slices:
            labels += [fields.cuboids, fields.golden_cuboids, OPINIONS["3d"]]
        if FINDINGS not in self.dataset.get_field_schema():
            self.dataset.add_sample_field(FINDINGS, fo.ListField, subfield=fo.StringField)
        for name in labels:
            if name not in self.dataset.get_field_schema():
                self.dataset.add_sample_field(name, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        for name in (KEY, self.config.fields.status):
            self.dataset.create_index(name)

    def give_keys(self) -> int:
        """Gives a stable key to every scene that lacks one (media stem, or the path where stems collide), and a fence."""
        import pymongo

        docs = list(self._collection.find({}, {"filepath": 1, KEY: 1, self.dataset.group_field or "_id": 1}))
        scenes: dict[str, dict[str, Any]] = {}
        for doc in docs:
            group = (
                doc[self.dataset.group_field] if self.grouped else {"_id": doc["_id"], "name": self.slices[0]}
            )
            scene = scenes.setdefault(str(group["_id"]), {"without": [], "paths": {}, "key": None})
            if not doc.get(KEY):
                scene["without"].append(doc["_id"])
            scene["paths"][group["name"]] = doc["filepath"]
            scene["key"] = scene["key"] or doc.get(KEY)
        taken = {scene["key"] for scene in scenes.values() if scene["key"]}
        new = {scene_id: scene for scene_id, scene in scenes.items() if not scene["key"]}
        image = self.config.slices.image
        first = {scene_id: PurePath(_primary(scene["paths"], image)) for scene_id, scene in scenes.items()}
        names = _names(first, taken, list(new))
        for scene_id, scene in new.items():
            scene["key"] = names[scene_id]
        changes = [
            pymongo.UpdateMany({"_id": {"$in": scene["without"]}}, {"$set": {KEY: scene["key"]}})
            for scene in scenes.values()
            if scene["without"]
        ]
        if changes:
            self._collection.bulk_write(changes, ordered=False)
        self._collection.update_many({FENCE: None}, {"$set": {FENCE: 0}})
        self.refresh()
        return len(new)

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer: its late writes match nothing from here on."""
        self._collection.update_many(
            {"$or": [{FENCE: {"$lt": writer.token}}, {FENCE: None}]}, {"$set": {FENCE: writer.token}}
        )
        self.views.raise_fence(writer)

    def highest_fence(self) -> int:
        """The highest fence of any sample, 0 without samples: a copy of a dataset brings those of its original."""
        found = self._collection.find_one({FENCE: {"$type": "number"}}, {FENCE: 1}, sort=[(FENCE, -1)])
        return int(found[FENCE]) if found else 0

    def project(self, states: Mapping[str, SceneState], writer: Writer) -> None:
        """Makes tags and status of these scenes, on all their slices, what `states` says; other people's tags stay."""
        groups: dict[SceneState, list[str]] = {}
        for key, state in states.items():
            groups.setdefault(state, []).append(key)
        table = self.table
        expected = matched = 0
        for state, keys in groups.items():
            rows = table.rows(keys)
            expected += sum(int(np.count_nonzero(ids[rows] != "")) for ids in table.samples.values())
            others = {
                "$filter": {"input": {"$ifNull": ["$tags", []]}, "as": "tag", "cond": {"$not": [_OWNED_TAG]}}
            }
            change = {
                "tags": {"$concatArrays": [others, [{"$literal": tag} for tag in state.tags]]},
                self.config.fields.status: {"$literal": state.status},
                FENCE: writer.token,
                "last_modified_at": "$$NOW",
            }
            for chunk in _chunks([_object_id(one) for one in table.ids[rows]]):
                query = {self._group: {"$in": chunk}, FENCE: {"$lte": writer.token}}
                matched += self._collection.update_many(query, [{"$set": change}]).matched_count
        self._all_landed(expected, matched, writer, "tags")

    def differences(self, states: Mapping[str, SceneState]) -> list[Difference]:
        """Where tags or status differ from `states`, slice by slice, sorted by scene."""
        status = self.config.fields.status
        group = self.dataset.group_field if self.grouped else "_id"
        key_of = dict(zip(self.table.ids.tolist(), self.table.keys.tolist(), strict=True))
        found: list[Difference] = []
        for doc in self._collection.find({}, {"tags": 1, status: 1, group: 1}):
            name = doc[group]["name"] if self.grouped else self.slices[0]
            key = key_of[str(doc[group]["_id"] if self.grouped else doc["_id"])]
            state = states.get(key)
            if state is None:
                continue
            tags = tuple(sorted(tag for tag in doc.get("tags") or [] if _is_owned(tag)))
            if tags != state.tags:
                found.append(Difference(key, name, "tags", " ".join(state.tags), " ".join(tags)))
            if doc.get(status) != state.status:
                found.append(Difference(key, name, status, state.status, str(doc.get(status))))
        return sorted(found, key=lambda one: (one.scene, one.slice, one.what))

    def write(
        self,
        slice_name: str,
        values: Mapping[str, Mapping[str, Any]],
        writer: Writer,
        *,
        by_pipeline: bool = False,
    ) -> None:
        """Sets fields of one slice, scene by scene: key -> {field: raw value}. With `by_pipeline` the values are
        aggregation expressions, evaluated by the server in one step with the write."""
        import pymongo

        keys = list(values)
        ids = self.table.samples[slice_name][self.table.rows(keys)]
        without = [key for key, one in zip(keys, ids, strict=True) if not one]
        if without:
            raise IntegrityError(
                f"{len(without)} scenes have no slice {slice_name!r} to write to: {some(without)}"
            )
        now: Any = "$$NOW" if by_pipeline else None
        changes = []
        for key, one in zip(keys, ids, strict=True):
            query = {"_id": _object_id(one), FENCE: {"$lte": writer.token}}
            change: dict[str, Any] = {**values[key], FENCE: writer.token}
            if by_pipeline:
                changes.append(pymongo.UpdateOne(query, [{"$set": {**change, "last_modified_at": now}}]))
            else:
                changes.append(
                    pymongo.UpdateOne(query, {"$set": change, "$currentDate": {"last_modified_at": True}})
                )
        matched = 0
        for start in range(0, len(changes), 2_000):
            matched += self._collection.bulk_write(
                changes[start : start + 2_000], ordered=False
            ).matched_count
        self._all_landed(len(changes), matched, writer, f"values of {slice_name!r}")

    def write_vectors(
        self,
        field: str,
        keys: Sequence[str],
        vectors: npt.NDArray[np.float32],
        sources: Sequence[str],
        writer: Writer,
    ) -> None:
        """Vectors (n, d) of the primary slice, float32, with what each was computed from; a row of NaN clears the field."""
        from fiftyone.core.utils import serialize_numpy_array

        values = {}
        for key, vector, source in zip(keys, vectors, sources, strict=True):
            usable = bool(np.isfinite(vector).all()) and vector.size > 0
            raw = serialize_numpy_array(np.ascontiguousarray(vector, dtype=np.float32)) if usable else None
            values[key] = {field: raw, "embeddings_source": source if usable else None}
        self.write(self.config.slices.image, values, writer)

    def _all_landed(self, expected: int, matched: int, writer: Writer, what: str) -> None:
        if matched == expected:
            return
        if open_journal(self.dataset).fenced(writer):
            raise FencedError(
                f"{self.dataset.name}: {writer.operation} lost the dataset to another process while it wrote {what}; "
                "the rest was not written; run it again"
            )
        raise IntegrityError(
            f"{self.dataset.name}: {what} were written to {matched} of {expected} samples; "
            "samples were removed by hand? run `swath repair`"
        )

    # ------------------------------------------------------------------ views and info

    def view(self, keys: Sequence[str]) -> Any:
        """A FiftyOne view of these scenes, by id: it counts scenes, whatever slice is active."""
        ids = [str(one) for one in self.table.ids[self.table.rows(keys)]] if len(keys) else []
        return self.dataset.select_groups(ids) if self.grouped else self.dataset.select(ids)

    def slice_view(self, keys: Sequence[str], slice_name: str) -> Any:
        """One slice of these scenes as an ungrouped FiftyOne view."""
        ids = (
            [str(one) for one in self.table.samples[slice_name][self.table.rows(keys)] if one]
            if len(keys)
            else []
        )
        whole = self.dataset.select_group_slices([slice_name]) if self.grouped else self.dataset
        return whole.select(ids)

    def save_view(self, name: str, keys: Sequence[str], description: str, writer: Writer) -> None:
        """Saves `view(keys)` under `name`; saving the same again changes nothing."""
        if self.view_members(name) != sorted(keys):
            self.views.save(name, self.view(keys), description, writer)

    def view_members(self, name: str) -> list[str] | None:
        """Keys of a saved view that selects scenes by id, sorted; None when there is none, or it selects otherwise."""
        ids = self.views.ids(name)
        if ids is None:
            return None
        key_of = dict(zip(self.table.ids.tolist(), self.table.keys.tolist(), strict=True))
        return sorted(key_of.get(one, one) for one in ids)

    def set_info(self, entries: Mapping[str, Any], writer: Writer) -> None:
        """Sets keys of `dataset.info` without touching its other keys: a mirror for people, never the record."""
        self.views.set_info(entries, writer)
        self.dataset.reload()


_OWNED_TAG: Final = {"$regexMatch": {"input": "$$tag", "regex": OWNED}}


def _is_owned(tag: str) -> bool:
    import re

    return re.match(OWNED, tag) is not None


def _names(paths: Mapping[str, PurePath], taken: set[str], new: Sequence[str]) -> dict[str, str]:
    """Names of all scenes, by scene id: the stem where that tells all apart, else as much of the path's end as it takes,
    so that no name of a `new` one is among the keys that are `taken`."""
    for depth in range(1, 1 + max((len(path.parts) for path in paths.values()), default=0)):
        names = {
            one: path.stem if depth == 1 else "/".join(path.parts[-depth:]) for one, path in paths.items()
        }
        if len(set(names.values())) == len(names) and not taken & {names[one] for one in new}:
            return names
    if not new:
        return {}
    twice = sorted(path for path, n in Counter(map(str, paths.values())).items() if n > 1)
    raise IntegrityError(
        f"{len(twice)} scenes have the same media path: {some(twice)}; each scene needs media of its own"
    )


def _primary(paths: Mapping[str, str], image: str) -> str:
    """The path that names a scene: the primary slice's, else that of the first slice there is."""
    return paths[image] if image in paths else paths[min(paths)]


def _object_id(hex_id: str) -> Any:
    from bson import ObjectId

    return ObjectId(str(hex_id))


def object_id(*parts: object) -> Any:
    """An ObjectId that is a function of `parts`: labels written twice are the same labels."""
    from bson import ObjectId

    return ObjectId(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:12])


def _chunks(ids: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
