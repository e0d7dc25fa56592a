"""A small work set, as `annotators.marks` describes one: what its buttons need, and nothing that sends or fetches it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import quick_loop
from support import remove
from swath.annotators import marks


def make(name: str, loop: str, scenes: int = 4, batch: str = "v0") -> Any:
    """Scenes without labels: boxes are to be drawn on `left`, cuboids on `pcd`."""
    import fiftyone as fo

    remove(name)
    made = quick_loop.dataset(name, scenes)
    made.delete_sample_fields(["given", "ground_truth"])
    flat = made.select_group_slices(_allow_mixed=True)
    flat.set_values(marks.TASK, [f"task{Path(path).stem}" for path in flat.values("filepath")])
    draws = {"left": marks.BOXES, "pcd": marks.CUBOIDS}
    flat.set_values(marks.DRAW, [draws.get(one, marks.NOTHING) for one in flat.values("group.name")])
    made.add_sample_field(marks.GIVEN, fo.StringField)
    made.info[marks.INFO] = {"loop": loop, "batch": batch}
    made.save()
    return made
