"""Fields are declared as FiftyOne declares them, once, whoever else declares some at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from support import remove
from swath.labels.schema import declare, labels_field

pytestmark = pytest.mark.database
NAMES = ("t-declared", "t-by-fiftyone")


def fields() -> dict[str, dict[str, Any]]:
    import fiftyone as fo

    return {
        "words": {"ftype": fo.StringField, "description": "what it is"},
        "count": {"ftype": fo.IntField},
        "vector": {"ftype": fo.VectorField},
        "found": {"ftype": fo.ListField, "subfield": fo.StringField},
        "where": {"ftype": fo.DictField},
        "boxes": labels_field(),
        "boxes.detections.eval_v0": {"ftype": fo.StringField},
        "boxes.detections.eval_v0_iou": {"ftype": fo.FloatField},
    }


def stored(name: str) -> list[Any]:
    """The fields of a dataset as they are stored, without when they were made."""
    import fiftyone as fo

    def undated(one: dict[str, Any]) -> dict[str, Any]:
        return {
            key: [undated(inner) for inner in value] if key == "fields" else value
            for key, value in one.items()
            if key != "created_at"
        }

    doc = fo.load_dataset(name)._doc._get_collection().find_one({"name": name})
    return [undated(one) for one in doc["sample_fields"]]


def test_as_fiftyone_declares_them(mongod: str) -> None:
    """The stored schema is the one that `add_sample_field` writes, field by field; a sample with such values loads; doing it again
    changes nothing."""
    import fiftyone as fo

    for name in NAMES:
        remove(name)
    ours, theirs = (fo.Dataset(name) for name in NAMES)
    declare(ours, fields())
    for path, how in fields().items():
        theirs.add_sample_field(path, **how)
    assert stored(NAMES[0]) == stored(NAMES[1])
    before = stored(NAMES[0])
    declare(ours, fields())
    assert stored(NAMES[0]) == before
    box = fo.Detection(label="car", bounding_box=[0, 0, 1, 1], eval_v0="tp", eval_v0_iou=0.5)
    ours.add_sample(fo.Sample("a.png", boxes=fo.Detections(detections=[box]), words="w", found=["f"]))
    ours.reload()
    assert ours.first().boxes.detections[0].eval_v0 == "tp"
    for name in NAMES:
        remove(name)


def test_what_others_declare_meanwhile_stays(mongod: str) -> None:
    """One whose dataset in memory is older than what is stored adds its own fields, none twice, and takes none away."""
    import fiftyone as fo

    remove(NAMES[0])
    loaded = fo.Dataset(NAMES[0])
    datasets = loaded._doc._get_collection()
    declare(loaded, {"boxes": labels_field()})
    old = datasets.find_one({"name": NAMES[0]})
    declare(loaded, fields())
    wanted = stored(NAMES[0])
    datasets.update_one({"_id": old["_id"]}, {"$set": {"sample_fields": old["sample_fields"]}})
    loaded.reload()  # now it knows `boxes` alone
    more = {one["name"]: one for one in wanted}
    datasets.update_one({"_id": old["_id"]}, {"$push": {"sample_fields": more["words"]}})
    declare(loaded, fields())
    there = [one["name"] for one in stored(NAMES[0])]
    assert sorted(there) == sorted(more)
    remove(NAMES[0])
