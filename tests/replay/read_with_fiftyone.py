"""What a user of the guide does next, with plain FiftyOne, in a new process: the guide's own lines, on what swath left.

python read_with_fiftyone.py NAME    prints one JSON object
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F

dataset = fo.load_dataset(sys.argv[1])
found: dict[str, Any] = {}

# Step 2: the splits
for view_name in ["test_set", "val_set", "golden_qa", "pool"]:
    view = dataset.load_saved_view(view_name)
    found[view_name] = [len(view), len(view.distinct("group.id"))]
names = ["test_set", "val_set", "golden_qa", "pool"]
members = [set(dataset.load_saved_view(name).distinct("group.id")) for name in names]
found["shared"] = sum(len(a & b) for a in members for b in members if a is not b)
found["all"] = len(set.union(*members))

# Step 3: smart selection
pool = dataset.load_saved_view("pool")
pool_left = pool.select_group_slices(["left"])
found["pool_left"] = len(pool_left)
found["pool_all_slices"] = sum(len(pool.select_group_slices([s])) for s in dataset.group_slices)
found["embedded"] = sum(s.embeddings is not None for s in pool_left)
batch_view = dataset.load_saved_view("batch_v0")
found["batch_v0"] = len(batch_view)
found["batch_v0_slices"] = {
    slice_name: len(batch_view.select_group_slices([slice_name])) for slice_name in dataset.group_slices
}

# Step 6: what it trained on, and where it fails
annotated_groups = dataset.match_tags("annotated:v0")
annotated_left = annotated_groups.select_group_slices(["left"])
train_view = annotated_left.match(F("human_detections.detections").length() > 0)
found["annotated_v0"] = [len(annotated_groups.distinct("group.id")), len(annotated_left), len(train_view)]
found["evaluations"] = dataset.list_evaluations()
val_left = dataset.load_saved_view("val_set").select_group_slices(["left"])
high_fn = val_left.sort_by("eval_v0_fn", reverse=True).limit(10)
found["high_fn"] = [sample["eval_v0_fn"] for sample in high_fn]
found["references"] = val_left.count_values("human_detections.detections.label")
found["missed"], found["false"] = {}, {}
for sample in val_left:
    for what, field, mark in (("missed", "human_detections", "fn"), ("false", "predictions", "fp")):
        wrong = Counter(
            one.label
            for one in sample[field].detections
            if one.has_field("eval_v0") and one["eval_v0"] == mark
        )
        found[what][sample.scene_key] = dict(wrong)

# Step 7: golden check, then the next batch
golden = dataset.load_saved_view("golden_qa").select_group_slices(["left"])
found["golden"] = len(golden)
found["golden_history"] = dataset.info["golden_qa_history"]
found["schema"] = [
    dataset.info["annotation_schema_2d"]["classes"],
    dataset.info["annotation_schema_3d"]["classes"],
]
found["eval_info"] = sorted(dataset.info["eval_v0"])
blind = Counter(
    det.label for sample in golden for det in sample["golden_detections"].detections if det.round == "v0"
)
found["blind"] = [sum(blind.values()), dict(blind)]
remaining = pool_left.match(F("annotation_status") == "unlabeled")
remaining_groups = remaining.distinct("group.id")
found["remaining"] = [len(remaining), len(remaining_groups)]
failures = dataset.load_saved_view("eval_v0_failures")
found["failures"] = len(failures)
found["failure_embeddings"] = sum(s.embeddings is not None for s in failures)
remaining_with_scores = remaining.match(F("zcore") != None)  # noqa: E711
found["scored"] = len(remaining_with_scores)
found["selected_v1"] = len(dataset.match_tags("batch:v1").distinct("group.id"))
found["status"] = dataset.count_values("annotation_status")
scores = {}
for sample in pool_left:
    if "batch:v0" not in sample.tags:
        scores[sample.scene_key] = sample.zcore
found["zcore"] = scores

# Whatever the active slice is
tags = sorted(dataset.select_group_slices(dataset.group_slices, _allow_mixed=True).distinct("tags"))
found["by_slice"] = {}
for name in dataset.group_slices:
    dataset.group_slice = name
    found["by_slice"][name] = {
        "tags": {tag: len(dataset.match_tags(tag)) for tag in tags},
        "views": {view: len(dataset.load_saved_view(view)) for view in dataset.list_saved_views()},
        "status": dataset.count_values("annotation_status"),
    }
dataset.group_slice = "left"
fields = ["annotation_status", "embeddings", "zcore", "human_detections", "predictions"]
fields += ["golden_detections", "golden_cuboids", "human_cuboids"]
found["fields"] = [field for field in fields if field in dataset.get_field_schema()]
cuboids = dataset.match_tags("annotated_3d:v0").select_group_slices(["pcd"])
found["cuboids"] = sum(len(sample.human_cuboids.detections) > 0 for sample in cuboids)
found["swath_loaded"] = any(module.split(".")[0] == "swath" for module in sys.modules)
print(json.dumps(found))
