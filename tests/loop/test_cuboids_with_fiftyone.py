"""Cuboids are matched as FiftyOne matches them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support import remove
from swath.kernels.detection3d import Predictions3D, References3D, match_scenes

pytestmark = pytest.mark.usefixtures("mongod")


def test_fiftyones_own_evaluation_agrees(dataset_name: str) -> None:
    """True and false positives and misses of `evaluate_detections` on one slice of turned cuboids, class by class, at a volume IoU
    of 0.5."""
    import fiftyone as fo

    rng = np.random.default_rng(0)
    remove(dataset_name)
    dataset = fo.Dataset(dataset_name)
    names, found, wanted, samples = ("a", "b"), [], [], []
    for number in range(12):
        n = int(rng.integers(1, 6))
        truth = np.column_stack(
            [
                rng.uniform(-20, 20, (n, 2)),
                np.zeros(n),
                np.full(n, 4.0),
                np.full(n, 1.8),
                np.full(n, 1.5),
                np.zeros((n, 2)),
                rng.uniform(-3, 3, n),
            ]
        )
        seen = np.vstack(
            [
                truth + rng.normal(0, 0.12, truth.shape) * [1, 1, 1, 1, 1, 1, 0, 0, 1],
                truth[:1] + np.eye(9)[0] * 30,
            ]
        )
        labels = rng.integers(0, 2, n)
        said = np.append(np.where(rng.random(n) < 0.2, 1 - labels, labels), 0)
        scores = rng.permutation(n + 1) / 10 + 0.05
        found.append(Predictions3D(seen, scores, said))
        wanted.append(References3D(truth, labels))
        sample = fo.Sample(filepath=f"/nowhere/{number}.fo3d")
        sample["truth"], sample["found"] = (
            detections(truth, labels, names),
            detections(seen, said, names, scores),
        )
        samples.append(sample)
    dataset.add_samples(samples, progress=False)
    told = dataset.evaluate_detections(
        "found", gt_field="truth", eval_key="own", iou=0.5, classwise=True, progress=False
    )
    assert told is not None
    matched = match_scenes(found, wanted, np.full((2, 1), 0.5), "3d")
    tp = [sum(int((one.right[0] & (one.image == i)).sum()) for one in matched) for i in range(12)]
    assert dataset.values("own_tp") == tp
    assert dataset.values("own_fp") == [len(one.scores) - right for one, right in zip(found, tp, strict=True)]
    assert dataset.values("own_fn") == [
        len(one.labels) - right for one, right in zip(wanted, tp, strict=True)
    ]
    assert 0 < sum(tp) < sum(len(one.labels) for one in wanted)
    remove(dataset_name)


def detections(shapes: Any, labels: Any, names: Any, scores: Any = None) -> Any:
    import fiftyone as fo

    return fo.Detections(
        detections=[
            fo.Detection(
                label=names[label], location=row[:3].tolist(), dimensions=row[3:6].tolist(), rotation=row[6:].tolist(),
                confidence=None if scores is None else float(scores[i]),
            )
            for i, (row, label) in enumerate(zip(shapes, labels, strict=True))
        ]
    )  # fmt: skip
