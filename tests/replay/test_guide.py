"""The annotation guide's steps 2, 3 and 7 as a user does them, on 200 groups without drives; then plain FiftyOne reads it.

The guide: https://docs.voxel51.com/getting_started/annotation/ (`02_setup_splits`, `03_smart_selection`, `07_iteration`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_guide import CLASSES, SCENES

import small_scenes

HERE = Path(__file__).parent
NAMES = ("t-guide-1", "t-guide-2")


def python(script: str, *arguments: str, hash_seed: str = "0") -> dict[str, Any]:
    """What `script` printed last, from a process of its own."""
    environment = os.environ | {"PYTHONHASHSEED": hash_seed, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    small_scenes.make_media(folder, SCENES, CLASSES)
    return folder


@pytest.fixture(scope="module")
def runs(
    mongod: str, media: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same folder, two datasets, two processes: another hash seed, another number of workers."""
    homes = tmp_path_factory.mktemp("homes")
    one, two = (
        python("run_guide.py", name, str(media), str(homes / name), workers, hash_seed=seed)
        for name, workers, seed in zip(NAMES, ("1", "2"), ("1", "4242"), strict=True)
    )
    return one, two


@pytest.fixture(scope="module")
def seen(runs: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    return python("read_with_fiftyone.py", NAMES[0])


def test_sizes(runs: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Splits of 30/30/10/130; v0 is 32 scenes; v1 is 19 of 19: 6 for coverage, 13 like the failures."""
    for run in runs:
        assert run["splits"] == {"test": 30, "val": 30, "golden": 10, "pool": 130}
        assert len({key for key, *_ in run["v0"]}) == 32
        assert run["budget"] == [19, 19, 6, 13]
        assert [one["stream"] for one in run["v1"]] == ["coverage"] * 6 + ["targeted"] * 13
        keys = {key for key, *_ in run["v0"]} | {one["key"] for one in run["v1"]}
        assert len(keys) == 32 + 19
        assert {run["members"][key] for key in keys} == {"pool"}


def test_same_scenes_for_every_hash_seed_and_worker_count(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Splits, batches with their scores and reasons, the model's hash and the failures: nothing differs."""
    one, two = (dict(run) for run in runs)
    assert one.pop("hash") != two.pop("hash")  # else the two processes would have had one hash seed
    assert one == two


def test_a_slow_obvious_selection_chooses_the_same(
    runs: tuple[dict[str, Any], dict[str, Any]], seen: dict[str, Any]
) -> None:
    """Coverage: the best stored scores. Targets: in turns, each failure's best by cosine of the given vectors and, in equal
    parts, by what the model saw of the kinds that it missed."""
    run = runs[0]
    chosen = [key for key, *_ in run["v0"]]
    free = sorted(key for key, split in run["members"].items() if split == "pool" and key not in chosen)
    by_score = sorted(free, key=lambda key: (-seen["zcore"][key], key))
    coverage = [one["key"] for one in run["v1"] if one["stream"] == "coverage"]
    assert coverage == by_score[:6]

    vectors = {key: small_scenes.vector(int(key)).astype(float) for key in run["members"]}
    unit = {key: one / np.linalg.norm(one) for key, one in vectors.items()}

    failures = run["failures"][:10]
    # What a failure missed, against how many of the class val has; of one without a miss, what it saw falsely. All of it is
    # counted by FiftyOne, on the objects that the round's evaluation marked.
    kinds: dict[str, dict[str, float]] = {}
    for one in failures:
        missed = {name: n / seen["references"][name] for name, n in seen["missed"][one].items()}
        weights = missed or seen["false"][one]
        kinds[one] = {name: weight / sum(weights.values()) for name, weight in weights.items()}

    def score(failure: str, key: str) -> float:
        sight = sum(
            weight * run["evidence"][key][CLASSES.index(kind)] / 1000
            for kind, weight in kinds[failure].items()
        )
        return 0.5 * float(unit[failure] @ unit[key]) + 0.5 * sight

    assert list(run["kinds"]) == failures
    for one in failures:
        assert run["kinds"][one] == pytest.approx(kinds[one], abs=1e-6)
    assert sorted(run["evidence"]) == free
    served = dict.fromkeys(failures, 0)
    expected: list[tuple[str, str]] = []
    left = [key for key in free if key not in coverage]
    while len(expected) < 13:  # who was served least comes first; among those, the best offer
        offers = [(served[one], -score(one, key), key, one) for one in failures for key in left]
        _, _, key, failure = min(offers)
        served[failure] += 1
        left.remove(key)
        expected.append((key, failure))
    targeted = [one for one in run["v1"] if one["stream"] == "targeted"]
    assert [(one["key"], one["failure"]) for one in targeted] == expected
    for one in targeted:
        assert run["members"][one["failure"]] == "val"
        assert one["failure"] in one["reason"]
        assert one["score"] == pytest.approx(score(one["failure"], one["key"]), abs=1e-6)
        assert one["similarity"] == pytest.approx(float(unit[one["failure"]] @ unit[one["key"]]), abs=1e-6)


def test_the_guides_lines_count_right(
    runs: tuple[dict[str, Any], dict[str, Any]], seen: dict[str, Any]
) -> None:
    """Word for word, in a process without swath: views, slices, scores, what is left, what fails."""
    assert seen["swath_loaded"] is False
    for view, size in {"test_set": 30, "val_set": 30, "golden_qa": 10, "pool": 130}.items():
        assert seen[view] == [size, size]
    assert (seen["shared"], seen["all"]) == (0, 200)
    assert seen["pool_left"] == 130
    assert seen["pool_all_slices"] == 390
    assert seen["embedded"] == 130
    assert seen["batch_v0"] == 32
    assert seen["batch_v0_slices"] == {"left": 32, "right": 32, "pcd": 32}
    assert seen["annotated_v0"][:2] == [32, 32]
    assert seen["cuboids"] > 20
    assert seen["remaining"] == [130 - 32 - 19, 130 - 32 - 19]
    assert seen["scored"] == 130 - 32 - 19
    assert seen["selected_v1"] == 19
    assert seen["evaluations"] == ["eval_v0"]
    assert seen["high_fn"][0] >= 1
    assert len(runs[0]["failures"]) > seen["failures"] == len(runs[0]["notable"]) > 0
    assert seen["failure_embeddings"] == seen["failures"]


def test_info_has_the_guides_keys(runs: tuple[dict[str, Any], dict[str, Any]], seen: dict[str, Any]) -> None:
    """`golden_qa_history` counts the blind labels, one entry per check; the schemas list the frozen classes."""
    (entry,) = seen["golden_history"]
    assert entry["iteration"] == 0
    assert entry["total_detections"] == seen["blind"][0] > 0
    assert entry["top_classes"] == seen["blind"][1]
    assert 0 < entry["samples_with_labels"] <= 10
    assert entry["verdict"] == runs[0]["golden"]
    assert seen["schema"] == [list(CLASSES), list(CLASSES)]
    assert "mAP" in seen["eval_info"]
    assert len(seen["fields"]) == 8


def test_every_tag_on_all_slices(runs: tuple[dict[str, Any], dict[str, Any]], seen: dict[str, Any]) -> None:
    """Each tag, view and status of the guide counts the same scenes whatever slice is active."""
    by_slice = seen["by_slice"]
    assert set(by_slice) == {"left", "right", "pcd"}
    assert by_slice["left"] == by_slice["right"] == by_slice["pcd"]
    tags = by_slice["left"]["tags"]
    expected = {f"split:{name}": size for name, size in runs[0]["splits"].items()}
    expected |= {"batch:v0": 32, "batch:v1": 19, "to_annotate": 19}
    expected |= {"source:coverage": 32 + 6, "source:targeted": 13}
    expected |= {"annotated_2d:v0": 32, "annotated_3d:v0": 32, "annotated:v0": 32}
    expected |= {"failure:v0": seen["failures"]}
    kinds = {tag: tags.pop(tag, 0) for tag in ("failure:high_fn", "failure:high_fp")}
    assert tags == expected
    assert max(kinds.values()) <= seen["failures"] <= sum(kinds.values())
    views = by_slice["left"]["views"]
    sizes = {"test_set": 30, "val_set": 30, "golden_qa": 10, "pool": 130}
    assert views == sizes | {"batch_v0": 32, "batch_v1": 19, "eval_v0_failures": seen["failures"]}
    # val and golden have their reference: annotated; v1 waits: selected; the others and test: unlabeled.
    assert seen["status"] == {"annotated": 32 + 40, "selected": 19, "unlabeled": 200 - 32 - 40 - 19}
