"""A detector of somebody else's, for the tests: it knows nothing of swath, reads and writes what docs/methods/training.md says.

    toy_command.py fit coco|kitti|yolo --data D --model M --seed S      remembers how many objects there were, and where
    toy_command.py predict coco|kitti --data D --model M --out O        says that they are there again

Words of the environment make it misbehave: TOY=fail, sleep, nothing, garbage.
"""

import json
import os
import sys
import time
from pathlib import Path

what, kind = sys.argv[1:3]
given = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=True))
data = Path(given["--data"])
how = os.environ.get("TOY", "")


def learned() -> list:
    """[class, shape] of each object of the training part, in order; which media there were."""
    if kind == "coco":
        content = json.loads((data / "annotations" / "train.json").read_text())
        names = {one["id"]: one["name"] for one in content["categories"]}
        objects = [[names[one["category_id"]], one["bbox"]] for one in content["annotations"]]
        return [objects, [one["file_name"] for one in content["images"]]]
    if kind == "yolo":
        files = sorted((data / "labels" / "train").glob("*.txt"))
        assert all((data / "images" / "train" / f"{one.stem}.png").exists() for one in files)
        return [
            [line.split() for one in files for line in one.read_text().splitlines()],
            [one.name for one in files],
        ]
    rows = (data / "ImageSets" / "train.txt").read_text().split()
    files = [data / "training" / "label_2" / f"{row}.txt" for row in rows]
    return [[line.split() for one in files for line in one.read_text().splitlines()], rows]


if what == "fit":
    if how == "fail":
        print("out of luck")
        sys.exit(7)
    if how == "sleep":
        time.sleep(600)
    for step in range(3):
        print(f"progress {step + 1}/3", flush=True)
    if how != "nothing":
        Path(given["--model"]).write_text(json.dumps([learned(), given["--seed"]]))
else:
    (objects, _), _ = json.loads(Path(given["--model"]).read_text())
    out = Path(given["--out"])
    if kind == "coco":
        images = json.loads((data / "images.json").read_text())
        ids = {one["name"]: one["id"] for one in images["categories"]}
        results = [
            {"image_id": image["id"], "category_id": ids[name], "bbox": box, "score": 0.9 - 0.1 * at}
            for image in images["images"]
            for at, (name, box) in enumerate(objects[:3])
        ]
        if how == "garbage":
            results += [
                {"image_id": 1, "category_id": 1, "bbox": [1, 1, float("nan"), 4], "score": 0.5},
                {"image_id": 99, "category_id": 1, "bbox": [1, 1, 3, 4], "score": 0.5},
                {"image_id": 1, "category_id": "cat", "bbox": [1, 1, 3, 4], "score": 0.5},
                {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 4], "score": 7},
                {"image_id": 1, "category_id": 1, "bbox": "no", "score": 0.5},
                "no",
            ]
        (out / "predictions.json").write_text(json.dumps(results))
    else:
        media = sorted((data / "velodyne").glob("*.bin")) or sorted((data / "image_2").glob("*"))
        for one in media:
            lines = [" ".join([*words[:15], str(0.9 - 0.1 * at)]) for at, words in enumerate(objects[:3])]
            if how == "garbage":
                lines += [lines[0].rsplit(" ", 1)[0], "cat 0 0 0 1 2 3", lines[0].replace("thing", "unicorn")]
            (out / f"{one.stem}.txt").write_text("\n".join(lines) + "\n")
