from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from swath.errors import ConfigError, IntegrityError, SwathError
from swath.kernels.detection import References, score_detections
from swath.trainers._center_first import FirstNet
from swath.trainers._center_images import Samples, as_input, read_image
from swath.trainers.base import FeatureTrainer, Model, Trainer, TrainingSet
from swath.trainers.center import CenterTrainer
from swath.trainers.fitting import hold_out, weights
from swath.trainers.model_file import write_model

torch = pytest.importorskip("torch", reason="the center trainer needs torch: pip install 'swath[train]'")

CLASSES = ("disc", "bar", "never")
QUICK = CenterTrainer(width=64, steps=3, batch=2)


def _paint(
    path: Path, rng: np.random.Generator, size: tuple[int, int], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """An image of noise with `count` bright discs and dark bars, one per column of the image; their boxes,
    labels.
    """
    width, height = size
    pixels = rng.normal(110, 12, (height, width, 3))
    y, x = np.mgrid[:height, :width]
    boxes, labels = [], []
    for column in rng.permutation(4)[:count]:
        label = int(rng.integers(0, 2))
        half = np.array([width, height]) * ([0.06, 0.06 * width / height] if label == 0 else [0.1, 0.08])
        cx = (column + 0.5) * width / 4
        cy = rng.uniform(half[1] + 1, height - half[1] - 1)
        box = np.array([cx - half[0], cy - half[1], cx + half[0], cy + half[1]])
        if label == 0:
            inside = ((x + 0.5 - cx) / half[0]) ** 2 + ((y + 0.5 - cy) / half[1]) ** 2 <= 1
        else:
            inside = (abs(x + 0.5 - cx) <= half[0]) & (abs(y + 0.5 - cy) <= half[1])
        pixels[inside] = [230, 200, 60] if label == 0 else [20, 40, 90]
        boxes.append(box)
        labels.append(label)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return np.array(boxes, dtype=float).reshape(-1, 4), np.array(labels, dtype=np.int64)


def _painted(folder: Path, sizes: list[tuple[int, int]], counts: list[int], groups: int = 1) -> TrainingSet:
    rng = np.random.default_rng(5)
    paths = [folder / f"{i}.png" for i in range(len(sizes))]
    drawn = [_paint(path, rng, size, count) for path, size, count in zip(paths, sizes, counts, strict=True)]
    return TrainingSet(
        tuple(str(path) for path in paths),
        tuple(boxes for boxes, _ in drawn),
        tuple(labels for _, labels in drawn),
        tuple(f"drive {i % groups}" for i in range(len(sizes))),
        CLASSES,
    )


def _ap50(trainer: CenterTrainer, model: Model, data: TrainingSet) -> tuple[float | None, ...]:
    references = [References(boxes, labels) for boxes, labels in zip(data.shapes, data.labels, strict=True)]
    found = trainer.predict(model, data.media)
    scores = score_detections(found, references, len(CLASSES), rng=np.random.default_rng(0), resamples=0)
    return tuple(one.ap50.value for one in scores.classes)


def test_learns_eight_images_by_heart(tmp_path: Path) -> None:
    """Eight small images of two sizes, one without objects, are learned to AP50 > 0.8, in pixels of each
    image.
    """
    data = _painted(tmp_path, [(160, 64)] * 6 + [(240, 96)] * 2, [2, 3, 1, 2, 0, 3, 2, 3])
    trainer = CenterTrainer(width=160, steps=110, batch=4)
    model = trainer.fit(data, tmp_path / "model.npz", seed=0)
    disc, bar, never = _ap50(trainer, model, data)
    assert disc is not None
    assert disc > 0.8
    assert bar is not None
    assert bar > 0.8
    assert never is None
    large = trainer.predict(model, data.media[-1:])[0]
    assert large.boxes[:, 0].max() > 160  # not in pixels of the input
    empty = trainer.predict(model, data.media[4:5])[0]
    assert empty.scores.max(initial=0) < min(
        trainer.predict(model, [image])[0].scores.max() for image in data.media[:3]
    )


def test_same_seed_same_weights(tmp_path: Path) -> None:
    """One seed gives one hash and the same predictions, another seed another; torch is left as it was."""
    data = _painted(tmp_path, [(64, 32)] * 4, [2, 1, 0, 2], groups=2)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_rng_state()
    one, two, three = (QUICK.fit(data, tmp_path / f"{i}.npz", seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert one.sha256 == two.sha256 != three.sha256
    for a, b in zip(QUICK.predict(one, data.media), QUICK.predict(two, data.media), strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
        np.testing.assert_array_equal(a.scores, b.scores)
    assert before[:2] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(before[2], torch.get_rng_state())


def test_images_without_objects_train(tmp_path: Path) -> None:
    """Negatives are in the training: with other pixels in an image without objects, the weights are others."""
    data = _painted(tmp_path, [(64, 32)] * 4, [2, 1, 2, 0])
    first = QUICK.fit(data, tmp_path / "a.npz", seed=1)
    assert first.info["images"] == 4
    Image.fromarray(np.full((32, 64, 3), 250, dtype=np.uint8)).save(data.media[3])
    assert QUICK.fit(data, tmp_path / "b.npz", seed=1).sha256 != first.sha256


def test_only_negatives_train(tmp_path: Path) -> None:
    """A pool in which nothing was found yet trains a model, and the model predicts without failing."""
    data = _painted(tmp_path, [(64, 32)] * 2, [0, 0])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    assert len(QUICK.predict(model, data.media)) == 2


def test_class_list_is_frozen(tmp_path: Path) -> None:
    """The model keeps the class list in order, unseen classes too; a model with another list is refused."""
    data = _painted(tmp_path, [(64, 32)] * 2, [2, 2])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    assert model.classes == CLASSES
    with pytest.raises(IntegrityError, match="belongs to another round"):
        QUICK.predict(replace(model, classes=("bar", "disc", "never")), data.media)


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    """Other weights under the name, a cut file and a missing one are refused, each with what to do."""
    data = _painted(tmp_path, [(64, 32)] * 2, [2, 2])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    QUICK.fit(data, tmp_path / "model.npz", seed=2)
    with pytest.raises(IntegrityError, match=r"expected the model .* train again"):
        QUICK.predict(model, data.media)
    path = Path(model.path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(IntegrityError, match="expected a model file"):
        QUICK.predict(model, data.media)
    path.unlink()
    with pytest.raises(SwathError, match="not there; train again"):
        QUICK.predict(model, data.media)


def test_a_failed_write_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk fails at the rename, the earlier model is whole and no partial file stays."""
    data = _painted(tmp_path, [(64, 32)] * 2, [2, 2])
    model = QUICK.fit(data, tmp_path / "models" / "model.npz", seed=1)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", fail)
        with pytest.raises(OSError, match="no space"):
            QUICK.fit(data, tmp_path / "models" / "model.npz", seed=2)
    assert len(QUICK.predict(model, data.media)) == 2
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model.npz"]


def test_held_out_drives_choose_the_checkpoint(tmp_path: Path) -> None:
    """With several drives one is kept apart and named, and its pixels alone don't move the weights of a
    last step; with one drive nothing is kept apart.
    """
    data = _painted(tmp_path, [(64, 32)] * 6, [2, 1, 2, 1, 2, 1], groups=3)
    trainer = replace(QUICK, checks=1)  # the last step is the only checkpoint
    model = trainer.fit(data, tmp_path / "a.npz", seed=1)
    assert len(model.info["held_out"]) == 1
    for path in (
        p for p, group in zip(data.media, data.groups, strict=True) if group in model.info["held_out"]
    ):
        Image.fromarray(np.zeros((32, 64, 3), dtype=np.uint8)).save(path)
    assert trainer.fit(data, tmp_path / "b.npz", seed=1).sha256 == model.sha256
    alone = replace(data, groups=("one",) * 6)
    assert trainer.fit(alone, tmp_path / "c.npz", seed=1).info["held_out"] == []


def test_hold_out_leaves_at_least_one_drive() -> None:
    """The share is met to the nearest drive, at least one is held out and one left; the order of images is
    no matter.
    """
    rng = np.random.default_rng
    assert len(hold_out(list("abcdefghij") * 3, 0.2, rng(0))) == 2
    assert len(hold_out(["a", "b"], 0.9, rng(0))) == len(hold_out(["a", "b"], 0.01, rng(0))) == 1
    assert hold_out(["a", "a"], 0.5, rng(0)) == hold_out(["a", "b"], 0.0, rng(0)) == frozenset()
    assert hold_out(list("abcdef"), 0.3, rng(3)) == hold_out(list("fedcba"), 0.3, rng(3))


def test_shaken_boxes_stay_on_their_objects() -> None:
    """After mirroring, zooming and shifting, each box holds the bright object that was drawn in it, and
    little else.
    """
    rng = np.random.default_rng(1)
    pixels = np.zeros((40, 64, 96, 3), dtype=np.uint8)
    boxes = []
    for image in pixels:
        x, y = rng.integers(20, 60), rng.integers(12, 36)
        image[y : y + 16, x : x + 20] = 255
        boxes.append(np.array([[x, y, x + 20, y + 16]], dtype=float))
    samples = Samples(pixels, boxes, [np.zeros(1, dtype=np.int64)] * 40)
    images, moved, labels = samples.shaken(np.arange(40), rng)
    light = images.mean(dim=1).numpy()
    kept = 0
    for image, box, label in zip(light, moved, labels, strict=True):
        assert len(box) == len(label)
        if len(box):
            kept += 1
            x1, y1, x2, y2 = np.round(box[0]).astype(int)
            inside = np.zeros(image.shape, dtype=bool)
            inside[y1:y2, x1:x2] = True
            bright = image > image.max() - 0.25 * (image.max() - image.min())
            assert (bright & inside).sum() / (bright | inside).sum() > 0.8
    assert kept > 30


def test_nothing_and_unreadable(tmp_path: Path) -> None:
    """No images to train on is an error that says so; no images to predict on is no predictions, with a bar
    or not; a file that is no image is named.
    """
    nothing = TrainingSet((), (), (), (), CLASSES)
    with pytest.raises(SwathError, match="expected labelled images, got none"):
        QUICK.fit(nothing, tmp_path / "model.npz", seed=0)
    data = _painted(tmp_path, [(64, 32)] * 2, [1, 1])
    seen: list[tuple[int, int]] = []
    model = QUICK.fit(data, tmp_path / "model.npz", seed=0, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert QUICK.predict(model, []) == []
    assert QUICK.features(model, []).shape == (0, 320)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    with pytest.raises(SwathError, match=r"1\.png: expected an image"):
        QUICK.predict(model, data.media)
    with pytest.raises(SwathError, match=r"1\.png: expected an image"):
        QUICK.fit(data, tmp_path / "other.npz", seed=0)


def test_a_model_of_the_first_format_is_still_read(tmp_path: Path) -> None:
    """A file of format 1, which holds another network and no fitted scores, predicts and says what it sees, in pixels of the
    image; one of a format that is not known is refused, and says what to do.
    """
    data = _painted(tmp_path, [(96, 64)], [2])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = FirstNet(len(CLASSES))
    header = {"format": 1, "classes": list(CLASSES), "width": 64, "height": 48}
    digest = write_model(tmp_path / "old.npz", header, weights(net))
    model = Model(str(tmp_path / "old.npz"), digest, CLASSES, "center")
    (found,) = replace(QUICK, min_score=0.0).predict(model, data.media)
    assert 40 < len(found.scores) <= QUICK.most
    assert found.boxes[:, 0].max() > 64  # not in pixels of the input
    with torch.no_grad():
        heat = net.eval()(as_input(read_image(data.media[0], 64, 48).pixels[None]))[0].sigmoid()
    assert found.scores[0] == pytest.approx(float(heat.max()), abs=1e-6)
    assert QUICK.features(model, data.media).shape == (1, 192)
    later = write_model(tmp_path / "later.npz", {**header, "format": 4}, weights(net))
    with pytest.raises(SwathError, match=r"format 1 or 2 or 3, got 4: another version of swath wrote it"):
        QUICK.predict(Model(str(tmp_path / "later.npz"), later, CLASSES, "center"), data.media)


def test_features_tell_images_apart_and_not_batches(tmp_path: Path) -> None:
    """Features are finite, differ between images, and are the same whatever images stand beside them."""
    data = _painted(tmp_path, [(64, 32), (64, 32), (90, 40)], [2, 0, 3])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=0)
    rows = QUICK.features(model, data.media)
    assert rows.shape == (3, 320)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])
    backwards = QUICK.features(model, data.media[::-1])
    np.testing.assert_allclose(backwards[::-1], rows, atol=1e-5)


def test_protocol_and_settings() -> None:
    """The trainer fits both protocols; settings that cannot be are refused."""
    assert isinstance(QUICK, Trainer)
    assert isinstance(QUICK, FeatureTrainer)
    for wrong in (
        {"width": 100},
        {"steps": -1},
        {"epochs": 0.0},
        {"holdout": 1.0},
        {"lr": 0.0},
        {"backbone": "resnet"},
        {"backbone_rate": 2.0},
    ):
        with pytest.raises(ConfigError, match="expected"):
            replace(QUICK, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ("a",)}, "as many shapes, labels and groups as media"),
        ({"labels": (np.array([3]),) * 2}, "labels 0 to 2, got"),
        ({"shapes": (np.full((1, 4), np.nan),) * 2}, "finite"),
        ({"shapes": (np.zeros((1, 4)), np.ones((1, 9)))}, "2.png: expected 1 shapes of 4"),
        ({"shapes": (np.ones((1, 5)),) * 2}, "shapes of 4 finite numbers"),
        ({"classes": ("a", "a")}, "different classes"),
    ],
)
def test_training_sets_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    """Rows that don't belong together, labels outside the list, NaN boxes and doubled classes raise, and
    say where.
    """
    good = TrainingSet(
        ("1.png", "2.png"), (np.array([[0.0, 0, 5, 5]]),) * 2, (np.array([0]),) * 2, ("a", "b"), CLASSES
    )
    with pytest.raises(SwathError, match=message):
        replace(good, **change)  # type: ignore[arg-type]
