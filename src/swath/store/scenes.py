"""Scenes of a FiftyOne dataset: aligned columns to read, fenced bulk writes over all slices.

The only module that knows FiftyOne's groups, slices and ObjectIds. Everything above speaks of scene keys (str, stable) and
of channels. A key finds its samples by an index, so that a step on forty scenes reads forty scenes.

FiftyOne's own scene-wide writes reach one slice, read a list before they write it, and cannot be fenced; so tags, status
and labels are written to its sample collection directly, each write filtered by `swath_fence <= token` (see `journal.lease`).
"""

from __future__ import annotations

import io
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from bson import ObjectId
from pymongo.collection import Collection

from swath.config import LoopConfig
from swath.errors import FencedError, IntegrityError, some
from swath.labels import schema
from swath.labels.channels import Rig, rig_of, sure
from swath.projection import tag_of
from swath.records.base import Document
from swath.records.shown import Difference, SceneState
from swath.store.dataset import Stored, find
from swath.store.journal import Journal
from swath.store.journal.lease import FENCE, Writer
from swath.store.table import SceneTable, Strings, names
from swath.store.views import Views, ViewStyle
from swath.suggest import command

CHUNK: Final = 20_000  # keys per query: far below the 16 MB that one query may have
LARGE: Final = 100_000  # scenes of a saved view from which it goes by tag: ids would outgrow a document
OWNED: Final = r"^(split:|batch:|source:|failure:|annotated_2d:|annotated_3d:|annotated:|to_annotate$)"
KEY: Final = "scene_key"
FINDINGS: Final = "findings"
SOURCE: Final = "embeddings_source"
DONT_CARE: Final = "dont_care"
LABEL_DIGEST: Final = "label_source"  # of the label file that a scene came with
KINDS: Final = {"image": "image", "point-cloud": "cloud", "3d": "cloud"}  # FiftyOne's media types


def load_dataset(name: str) -> Any:
    """A FiftyOne dataset by name; `UnknownNameError` lists the ones that exist."""
    return find(name).fiftyone


def open_journal(dataset: Any) -> Journal:
    """The journal of a dataset, stored or loaded by FiftyOne."""
    stored = dataset if isinstance(dataset, Stored) else Stored.of(dataset)
    return Journal(stored.database, stored.id, stored.name)


def slice_kinds(dataset: Any) -> dict[str, str]:
    """Slice -> "image" or "cloud", of a grouped dataset; slices of other media are left out."""
    return {name: KINDS[media] for name, media in sorted(dataset.group_media_types.items()) if media in KINDS}


class Scenes:
    """The scenes of one FiftyOne dataset. `refresh()` after anybody else may have added or removed some."""

    def __init__(self, stored: Stored, config: LoopConfig) -> None:
        self.stored, self.config = stored, config
        self.grouped = stored.grouped
        self.views = Views(stored)

    @property
    def dataset(self) -> Any:
        """FiftyOne's dataset; loads FiftyOne, which takes seconds."""
        return self.stored.fiftyone

    # ------------------------------------------------------------------ reading

    @property
    def slices(self) -> tuple[str, ...]:
        """The slices of the dataset; an ungrouped one has a single slice, named as the configuration's primary channel."""
        return tuple(self.stored.media_types) if self.grouped else (self.config.primary,)

    @property
    def rig(self) -> Rig:
        """The channels that the dataset has."""
        return rig_of(self.config, self.slices)

    @cached_property
    def table(self) -> SceneTable:
        """All scenes."""
        return self._read(None)

    def of(self, keys: Iterable[str]) -> SceneTable:
        """The scenes of `keys` that there are."""
        if "table" in self.__dict__:
            return self._part(self.table, keys)
        return self._read(sorted(set(keys)))

    def refresh(self) -> None:
        """Forgets what was read; FiftyOne's dataset, where it is loaded, sees what was written."""
        self.__dict__.pop("table", None)
        self.stored.refresh()

    @property
    def samples(self) -> Collection[Document]:
        """The stored samples, one document per scene and slice."""
        return self.stored.samples

    @property
    def _group(self) -> str:
        return f"{self.stored.group_field}._id" if self.grouped else "_id"

    def _slice(self, channel: str) -> Document:
        """A filter for the samples of a channel."""
        return {f"{self.stored.group_field}.name": channel} if self.grouped else {}

    def _part(self, table: SceneTable, keys: Iterable[str]) -> SceneTable:
        rows = table.rows(table.known(sorted(set(keys))))
        return SceneTable(
            keys=table.keys[rows],
            ids=table.ids[rows],
            paths={name: paths[rows] for name, paths in table.paths.items()},
            sizes={name: sizes[rows] for name, sizes in table.sizes.items()},
            sequence=table.sequence[rows],
        )

    def _read(self, keys: Sequence[str] | None) -> SceneTable:
        sequence = self.config.fields.sequence
        wanted = {"filepath": 1, KEY: 1, sequence: 1, "metadata.width": 1, "metadata.height": 1}
        if self.grouped:
            wanted[self.stored.group_field] = 1
        scenes: dict[str, Document] = {}
        for doc in self._found(keys, wanted):
            group = doc.get(self.stored.group_field) if self.grouped else None
            scene_id, name = (
                (str(group["_id"]), group["name"]) if group else (str(doc["_id"]), self.slices[0])
            )
            scene = scenes.setdefault(scene_id, {"paths": {}, "sizes": {}, "key": None, "sequence": ""})
            scene["paths"][name] = doc["filepath"]
            metadata = doc.get("metadata") or {}
            scene["sizes"][name] = (metadata.get("width") or 0, metadata.get("height") or 0)
            scene["key"] = scene["key"] or doc.get(KEY)
            drive = doc.get(sequence)  # of somebody's own field, perhaps a number: 0 is one
            scene["sequence"] = scene["sequence"] or ("" if drive is None else str(drive))
        self._each_has_a_key(scenes)
        ordered = sorted(scenes.items(), key=lambda item: str(item[1]["key"]))

        def column(name: str) -> Strings:
            return np.array([scene["paths"].get(name, "") for _, scene in ordered], dtype=np.str_)

        def sizes(name: str) -> npt.NDArray[np.int64]:
            found = [scene["sizes"].get(name, (0, 0)) for _, scene in ordered]
            return np.array(found, dtype=np.int64).reshape(-1, 2)

        clouds = {channel.name for channel in self.rig.clouds}
        return SceneTable(
            keys=np.array([scene["key"] for _, scene in ordered], dtype=np.str_),
            ids=np.array([scene_id for scene_id, _ in ordered], dtype=np.str_),
            paths={name: column(name) for name in self.slices},
            sizes={name: sizes(name) for name in self.slices if name not in clouds},
            sequence=np.array([scene["sequence"] for _, scene in ordered], dtype=np.str_),
        )

    def _found(self, keys: Sequence[str] | None, wanted: Mapping[str, int]) -> Iterator[Document]:
        if keys is None:
            yield from self.samples.find({}, wanted)
            return
        for part in _parts(keys):
            yield from self.samples.find({KEY: {"$in": part}}, wanted)

    def _each_has_a_key(self, scenes: Mapping[str, Document]) -> None:
        without = [scene_id for scene_id, scene in scenes.items() if not scene["key"]]
        if without:
            raise IntegrityError(
                f"{len(without)} scenes have no {KEY} (added by hand?): {some(without)}; "
                f"run `swath init {self.stored.name} --fiftyone {self.stored.name}` to take them in"
            )
        counted = Counter(str(one["key"]) for one in scenes.values())
        twice = sorted(key for key, n in counted.items() if n > 1)
        if twice:
            raise IntegrityError(f"{len(twice)} scene keys are there twice: {some(twice)}")

    def values(self, channel: str, keys: Sequence[str], fields: Sequence[str]) -> list[Document]:
        """Raw values of `fields` on one channel, one mapping per key, in their order; {} where it is missing."""
        found: dict[str, Document] = {}
        wanted = {KEY: 1, **dict.fromkeys(fields, 1)}
        for part in _parts(keys):
            for doc in self.samples.find({KEY: {"$in": part}, **self._slice(channel)}, wanted):
                del doc["_id"]
                found[doc.pop(KEY) if KEY not in fields else doc[KEY]] = doc
        return [found.get(key, {}) for key in keys]

    def without(self, channel: str, keys: Iterable[str], field: str) -> list[str]:
        """Those of `keys` whose sample of a channel is there and holds nothing in `field`, not even an empty list; sorted."""
        found: list[str] = []
        for part in _parts(sorted(set(keys))):
            query = {KEY: {"$in": part}, **self._slice(channel), field: None}
            found += [str(doc[KEY]) for doc in self.samples.find(query, {KEY: 1})]
        return sorted(found)

    def calibrations(self, keys: Sequence[str]) -> dict[str, Document]:
        """Stored calibration of the scenes that have one, from whichever of their channels carries it."""
        out: dict[str, Document] = {}
        for part in _parts(keys):
            query = {KEY: {"$in": part}, "calibration": {"$nin": [None, {}]}}
            for doc in self.samples.find(query, {KEY: 1, "calibration": 1}).sort("_id", 1):
                out.setdefault(doc[KEY], doc["calibration"])
        return out

    def vectors(self, keys: Sequence[str], field: str) -> npt.NDArray[np.float32]:
        """(n, d) float32 vectors of `field` on the primary channel; a row of NaN where there is none (d = 0 if none at all)."""
        headers: dict[bytes, tuple[np.dtype[Any], int]] = {}
        rows = [_vector(doc.get(field), headers) for doc in self.values(self.config.primary, keys, [field])]
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

    def ids(self, keys: Sequence[str]) -> list[str]:
        """FiftyOne ids (of groups; of samples, where there are none) of the scenes that there are, by key."""
        if "table" in self.__dict__:
            return [str(one) for one in self.table.ids[self.table.rows(self.table.known(sorted(keys)))]]
        of: dict[str, str] = {}
        wanted = {KEY: 1, self._group: 1}
        for doc in self._found(sorted(keys), wanted):
            of[doc[KEY]] = str(doc[self.stored.group_field]["_id"] if self.grouped else doc["_id"])
        return [of[key] for key in sorted(of)]

    def keys_of(self, ids: Sequence[str]) -> dict[str, str]:
        """id -> key of those FiftyOne ids that are of a scene."""
        out: dict[str, str] = {}
        wanted = {KEY: 1, self._group: 1}
        for part in _parts([ObjectId(one) for one in ids if ObjectId.is_valid(one)]):
            for doc in self.samples.find({self._group: {"$in": part}, KEY: {"$gt": ""}}, wanted):
                found = doc[self.stored.group_field]["_id"] if self.grouped else doc["_id"]
                out[str(found)] = str(doc[KEY])
        return out

    def label_names(self, field: str) -> set[str]:
        """Class names in a field of labels, on any channel."""
        return {str(one) for one in self.samples.distinct(f"{field}.detections.label")}

    def label_fields(self, channel: str | None = None) -> list[str]:
        """Fields of labels (`Detections`) that swath has not made; of a `channel`: those with a label on it."""
        import fiftyone as fo

        fields = self.config.fields
        ours = {getattr(fields, name) for name in type(fields).model_fields} - {fields.truth} | {DONT_CARE}
        ours |= {sure(fields.predictions), sure(fields.predictions_3d)}
        found = sorted(self.dataset.get_field_schema(embedded_doc_type=fo.Detections).keys() - ours)
        if channel is None:
            return found
        return [
            one
            for one in found
            if self.samples.find_one(
                {**self._slice(channel), f"{one}.detections.0": {"$exists": True}}, {"_id": 1}
            )
        ]

    def _unnamed(self) -> dict[ObjectId, str]:
        """Sample -> id of its scene, of the samples without a key: somebody added them by hand."""
        found = self.samples.find({KEY: None}, {self._group: 1})
        return {
            doc["_id"]: str(doc[self.stored.group_field]["_id"] if self.grouped else doc["_id"])
            for doc in found
        }

    def all_keys(self) -> set[str]:
        """The keys of all scenes, from their index alone; `IntegrityError` where a scene has none."""
        if unnamed := sorted(set(self._unnamed().values())):
            key_of = self.keys_of(unnamed)
            self._each_has_a_key({scene_id: {"key": key_of.get(scene_id)} for scene_id in unnamed})
        found = self.samples.find({KEY: {"$gt": ""}}, {"_id": 0, KEY: 1})
        return {str(doc[KEY]) for doc in found}

    def some_keys(self, most: int) -> list[str]:
        """The first keys, to show what keys look like."""
        found = self.samples.find({KEY: {"$gt": ""}}, {"_id": 0, KEY: 1}).sort(KEY, 1).limit(20 * most)
        return sorted({str(doc[KEY]) for doc in found})[:most]

    def count_by_slice(self) -> dict[str, int]:
        """Samples of each slice, counted by the server."""
        return {name: int(self.samples.count_documents(self._slice(name))) for name in self.slices}

    # ------------------------------------------------------------------ writing

    def fields(self) -> dict[str, dict[str, Any]]:
        """The fields that swath writes, as `schema.declare` takes them."""
        import fiftyone as fo

        fields = self.config.fields
        kinds: dict[str, Any] = {
            KEY: fo.StringField,
            FENCE: fo.IntField,
            SOURCE: fo.StringField,
            fields.status: fo.StringField,
            fields.zcore: fo.FloatField,
            fields.sequence: fo.StringField,
            fields.embeddings: fo.VectorField,
        }
        wanted: dict[str, dict[str, Any]] = {name: {"ftype": kind} for name, kind in kinds.items()}
        wanted[FINDINGS] = {"ftype": fo.ListField, "subfield": fo.StringField}
        # An undeclared field that a document has keeps FiftyOne from loading the sample at all.
        for channel in self.rig.labelled:
            for name in (channel.human, channel.golden, channel.opinions, channel.predictions):
                wanted[name] = schema.labels_field()
        return wanted

    def holding(self, field: str) -> int:
        """Samples with a value in a field, counted by the server."""
        return int(self.samples.count_documents({field: {"$nin": [None, "", []]}}))

    def different(self, field: str, most: int) -> int:
        """Values of a field that differ, counted by the server, up to `most`."""
        stages: list[Document] = [
            {"$match": {field: {"$nin": [None, ""]}}},
            {"$group": {"_id": f"${field}"}},
            {"$limit": most},
        ]
        return len(list(self.samples.aggregate(stages, allowDiskUse=True)))

    def declare(self) -> None:
        """Adds swath's fields to the schema, so that FiftyOne and its App know what the bulk writes put there."""
        schema.declare(self.dataset, self.fields())
        for name in (KEY, self.config.fields.status):
            self.dataset.create_index(name)

    def give_keys(self) -> int:
        """Gives a stable key to every scene that lacks one (media stem, or the path where stems collide), and a fence."""
        import pymongo

        scenes: dict[str, Document] = {}
        for doc in self.samples.find({}, {"filepath": 1, KEY: 1, self.stored.group_field or "_id": 1}):
            group = (
                doc[self.stored.group_field] if self.grouped else {"_id": doc["_id"], "name": self.slices[0]}
            )
            scene = scenes.setdefault(str(group["_id"]), {"without": [], "paths": {}, "key": None})
            if not doc.get(KEY):
                scene["without"].append(doc["_id"])
            scene["paths"][group["name"]] = doc["filepath"]
            scene["key"] = scene["key"] or doc.get(KEY)
        taken = {scene["key"] for scene in scenes.values() if scene["key"]}
        new = {scene_id: scene for scene_id, scene in scenes.items() if not scene["key"]}
        first = {
            scene_id: PurePath(scene["paths"].get(self.config.primary, scene["paths"][min(scene["paths"])]))
            for scene_id, scene in scenes.items()
        }
        given = names(first, taken, list(new))
        for scene_id, scene in new.items():
            scene["key"] = given[scene_id]
        changes = [
            pymongo.UpdateMany({"_id": {"$in": scene["without"]}}, {"$set": {KEY: scene["key"]}})
            for scene in scenes.values()
            if scene["without"]
        ]
        if changes:
            self.samples.bulk_write(changes, ordered=False)
        self.samples.update_many({FENCE: None}, {"$set": {FENCE: 0}})
        self.refresh()
        return len(new)

    def relocate(self, paths: Mapping[str, Mapping[str, str]]) -> None:
        """Gives scenes new media paths: key -> channel -> path."""
        import pymongo

        changes = [
            pymongo.UpdateOne({KEY: key, **self._slice(channel)}, {"$set": {"filepath": path}})
            for key, of_scene in paths.items()
            for channel, path in of_scene.items()
        ]
        self.samples.bulk_write(changes, ordered=False)
        self.refresh()

    def name_slices(self, writer: Writer) -> None:
        """Gives slices that somebody added by hand to a known scene its key and a fence, so that writes reach them."""
        unnamed = self._unnamed()
        key_of = self.keys_of(sorted(set(unnamed.values())))
        for sample, scene_id in unnamed.items():
            if scene_id in key_of:
                change = {KEY: key_of[scene_id], FENCE: writer.token}
                self.samples.update_one({"_id": sample, KEY: None}, {"$set": change})

    def raise_fence(self, writer: Writer) -> None:
        """Shuts out every earlier writer: its late writes match nothing from here on."""
        self.samples.update_many(
            {"$or": [{FENCE: {"$lt": writer.token}}, {FENCE: None}]}, {"$set": {FENCE: writer.token}}
        )
        self.views.raise_fence(writer)

    def highest_fence(self) -> int:
        """The highest fence of any sample, 0 without samples: a copy of a dataset brings those of its original."""
        found = self.samples.find_one({FENCE: {"$type": "number"}}, {FENCE: 1}, sort=[(FENCE, -1)])
        return int(found[FENCE]) if found else 0

    def project(self, states: Mapping[str, SceneState], writer: Writer) -> None:
        """Makes tags and status of these scenes, on all their slices, what `states` says; other people's tags stay.

        Scenes that are not in the dataset any more are passed over.
        """
        groups: dict[SceneState, list[str]] = {}
        for key, state in states.items():
            groups.setdefault(state, []).append(key)
        others = {
            "$filter": {"input": {"$ifNull": ["$tags", []]}, "as": "tag", "cond": {"$not": [_OWNED_TAG]}}
        }
        for state, keys in groups.items():
            change = {
                "tags": {"$concatArrays": [others, [{"$literal": tag} for tag in state.tags]]},
                self.config.fields.status: {"$literal": state.status},
                FENCE: writer.token,
                "last_modified_at": "$$NOW",
            }
            for part in _parts(keys):
                query = {KEY: {"$in": part}, FENCE: {"$lte": writer.token}}
                self.samples.update_many(query, [{"$set": change}])
        for part in _parts(list(states)):
            late = {KEY: {"$in": part}, FENCE: {"$not": {"$lte": writer.token}}}
            if self.samples.find_one(late, {"_id": 1}) is not None:
                self._overtaken(writer, "tags")

    def differences(
        self, states: Mapping[str, SceneState], keys: Sequence[str] | None = None
    ) -> list[Difference]:
        """Where tags or status differ from `states`, slice by slice, sorted by scene; looks at `keys` alone, where they are given."""
        status = self.config.fields.status
        group = self.stored.group_field if self.grouped else "_id"
        found: list[Difference] = []
        unnamed = self._unnamed() if keys is None else {}
        key_of = self.keys_of(sorted(set(unnamed.values())))
        wanted: Document = {} if keys is None else {KEY: {"$in": list(keys)}}
        for doc in self.samples.find(wanted, {"tags": 1, status: 1, group: 1, KEY: 1}):
            name = doc[group]["name"] if self.grouped else self.slices[0]
            key = str(doc.get(KEY) or key_of.get(unnamed.get(doc["_id"], "")))
            state = states.get(key)
            if state is None:
                continue
            tags = tuple(sorted(tag for tag in doc.get("tags") or [] if re.match(OWNED, tag)))
            if tags != state.tags:
                found.append(Difference(key, name, "tags", " ".join(state.tags), " ".join(tags)))
            if doc.get(status) != state.status:
                found.append(Difference(key, name, status, state.status, str(doc.get(status))))
        return sorted(found, key=lambda one: (one.scene, one.slice, one.what))

    def write(
        self,
        channel: str,
        values: Mapping[str, Mapping[str, Any]],
        writer: Writer,
        *,
        by_pipeline: bool = False,
    ) -> None:
        """Sets fields of one channel, scene by scene: key -> {field: raw value}. With `by_pipeline` the values are
        aggregation expressions, evaluated by the server in one step with the write."""
        import pymongo

        changes = []
        for key, value in values.items():
            query = {KEY: key, **self._slice(channel), FENCE: {"$lte": writer.token}}
            change: Document = {**value, FENCE: writer.token}
            if by_pipeline:
                changes.append(pymongo.UpdateOne(query, [{"$set": {**change, "last_modified_at": "$$NOW"}}]))
            else:
                changes.append(
                    pymongo.UpdateOne(query, {"$set": change, "$currentDate": {"last_modified_at": True}})
                )
        matched = 0
        for start in range(0, len(changes), 2_000):
            part = changes[start : start + 2_000]
            matched += self.samples.bulk_write(part, ordered=False).matched_count
        if matched != len(changes):
            self._overtaken(writer, f"values of {channel!r}")
            raise IntegrityError(
                f"{self.stored.name}: values of {channel!r} were written to {matched} of {len(changes)} samples; "
                f"samples were removed by hand? run `{command('repair', self.stored.name)}`"
            )

    def write_vectors(
        self,
        field: str,
        keys: Sequence[str],
        vectors: npt.NDArray[np.float32],
        sources: Sequence[str],
        writer: Writer,
    ) -> None:
        """Vectors (n, d) of the primary channel, float32, with what each was computed from; a row of NaN clears the field."""
        from fiftyone.core.utils import serialize_numpy_array

        values = {}
        for key, vector, source in zip(keys, vectors, sources, strict=True):
            usable = bool(np.isfinite(vector).all()) and vector.size > 0
            raw = serialize_numpy_array(np.ascontiguousarray(vector, dtype=np.float32)) if usable else None
            values[key] = {field: raw, SOURCE: source if usable else None}
        self.write(self.config.primary, values, writer)

    def _overtaken(self, writer: Writer, what: str) -> None:
        """`FencedError`, if another writer has taken over."""
        if open_journal(self.stored).lease.fenced(writer):
            raise FencedError(
                f"{self.stored.name}: {writer.operation} lost the dataset to another process while it wrote {what}; "
                "the rest was not written; run it again"
            )

    # ------------------------------------------------------------------ views and info

    def view(self, keys: Sequence[str]) -> Any:
        """A FiftyOne view of these scenes, by id: whatever slice is active, it counts the scenes that have it.

        Not `select_groups`: a saved view of that kind crashes the App (FiftyOne 1.22).
        """
        ids = self.ids(keys)
        return (
            self.dataset.select_by(f"{self.stored.group_field}.id", ids)
            if self.grouped
            else self.dataset.select(ids)
        )

    def slice_view(self, keys: Sequence[str], channel: str) -> Any:
        """One channel of these scenes as an ungrouped FiftyOne view."""
        found: list[str] = []
        for part in _parts(sorted(keys)):
            docs = self.samples.find({KEY: {"$in": part}, **self._slice(channel)}, {"_id": 1, KEY: 1})
            found += [str(doc["_id"]) for doc in sorted(docs, key=lambda doc: str(doc[KEY]))]
        whole = self.dataset.select_group_slices([channel]) if self.grouped else self.dataset
        return whole.select(found)

    def save_view(self, name: str, keys: Sequence[str], style: ViewStyle, writer: Writer) -> None:
        """Saves a view of `keys` under `name`; saving the same again changes nothing. A large one goes by its tag."""
        has_style = self.views.style(name, style)[1]
        if len(keys) > LARGE:
            if self.views.tag(name) != tag_of(name) or not has_style:
                self.views.save(name, self.dataset.match_tags(tag_of(name)), style, writer)
        elif self.view_members(name) != sorted(keys) or not has_style:
            self.views.save(name, self.view(keys), style, writer)

    def view_members(self, name: str) -> list[str] | None:
        """Keys of a saved view that selects scenes as swath's do, sorted; None when there is none, or it selects otherwise."""
        tag = self.views.tag(name)
        if tag is not None:
            found = self.samples.find({"tags": tag}, {KEY: 1})
            return sorted({str(doc.get(KEY)) for doc in found})
        ids = self.views.ids(name)
        if ids is None:
            return None
        key_of = self.keys_of(ids)
        return sorted(key_of.get(one, one) for one in ids)

    def set_info(self, entries: Mapping[str, Any], writer: Writer) -> None:
        """Sets keys of `dataset.info` without touching its other keys: a mirror for people, never the record. FiftyOne's dataset
        in memory sees it after `refresh`."""
        self.views.set_info(entries, writer)


_OWNED_TAG: Final = {"$regexMatch": {"input": "$$tag", "regex": OWNED}}


def _vector(stored: Any, headers: dict[bytes, tuple[np.dtype[Any], int]]) -> npt.NDArray[Any] | None:
    """A stored vector: FiftyOne keeps a compressed .npy. Vectors of one encoder share a header, which is read once."""
    if not isinstance(stored, bytes):
        return None if stored is None else np.asarray(stored)
    data = zlib.decompress(stored)
    start = 10 + int.from_bytes(data[8:10], "little")  # .npy 1.0: magic, version, length of the header
    known = headers.get(data[:start])
    if known is None:
        value: npt.NDArray[Any] = np.load(io.BytesIO(data))
        if data[6] == 1 and value.ndim == 1 and value.dtype != object:
            headers[data[:start]] = value.dtype, len(value)
        return value
    return np.frombuffer(data, dtype=known[0], count=known[1], offset=start)


def _parts(keys: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(keys), CHUNK):
        yield list(keys[start : start + CHUNK])
