from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from swath.config import KITTI_CLASSES
from swath.errors import ConfigError, FormatError, IntegrityError, SwathError
from swath.formats.kitti import read_calibration, read_cloud, read_objects, to_cuboid, write_pcd
from swath.kernels.cuboids import bev_iou, from_yawed, points_inside, yawed
from swath.trainers._pillars_clouds import (
    Cutout,
    Grid,
    Shake,
    Sweep,
    choose_grid,
    cut_out,
    from_above,
    read_sweep,
    set_in,
)
from swath.trainers.base import FeatureTrainer
from swath.trainers.pillars import CloudSet, PillarTrainer

torch = pytest.importorskip("torch", reason="the pillar trainer needs torch: pip install 'swath[train]'")

from swath.trainers._pillars_net import PillarNet, Wanted, decode, loss, targets  # noqa: E402

CLASSES = ("box", "post", "never")
QUICK = PillarTrainer(reach=16.0, cell=0.5, layers=4, steps=3, batch=2)
BOX, POST = (4.0, 2.0, 1.6), (0.8, 0.8, 1.8)
GROUND = -1.7


def _cloud(rng: np.random.Generator, upright: np.ndarray, ground: int = 2500) -> np.ndarray:
    """A scan: (n, 4) points on the ground within 16 m, and 200 on the surfaces of each cuboid."""
    points = [np.column_stack([rng.uniform(-16, 16, (ground, 2)), rng.normal(GROUND, 0.02, ground)])]
    for cuboid in upright:
        own = rng.uniform(-0.5, 0.5, (200, 3))
        side = rng.integers(0, 3, 200)
        own[np.arange(200), side] = np.where(rng.random(200) < 0.5, -0.5, 0.5)
        x, y, z = (own * cuboid[3:6] * 0.98).T
        cos, sin = np.cos(cuboid[6]), np.sin(cuboid[6])
        points.append(np.column_stack([cos * x - sin * y, sin * x + cos * y, z]) + cuboid[:3])
    xyz = np.vstack(points)
    return np.column_stack([xyz, rng.random(len(xyz))]).astype(np.float32)


def _objects(rng: np.random.Generator, count: int, behind: bool) -> tuple[np.ndarray, np.ndarray]:
    """Upright cuboids (n, 7), boxes and posts, each in a sector of its own so that none overlap; labels."""
    sectors = rng.permutation(6)[:count]
    turn = (sectors + 0.5) / 6 * (2 * np.pi if behind else np.pi * 0.9) - (np.pi if behind else np.pi * 0.45)
    far = rng.uniform(7, 12, count)
    labels = rng.integers(0, 2, count)
    size = np.array([BOX, POST])[labels].reshape(-1, 3)
    place = np.column_stack([far * np.cos(turn), far * np.sin(turn), GROUND + size[:, 2] / 2])
    return np.column_stack([place, size, rng.uniform(-np.pi, np.pi, count)]), labels


def _made(folder: Path, counts: list[int], groups: int = 1, behind: bool = False) -> CloudSet:
    rng = np.random.default_rng(5)
    folder.mkdir(exist_ok=True)
    made = [_objects(rng, count, behind) for count in counts]
    paths = [folder / f"{i}.pcd" for i in range(len(counts))]
    for path, (upright, _) in zip(paths, made, strict=True):
        write_pcd(path, _cloud(rng, upright))
    return CloudSet(
        tuple(str(path) for path in paths),
        tuple(from_yawed(upright) for upright, _ in made),
        tuple(labels for _, labels in made),
        tuple(f"drive {i % groups}" for i in range(len(counts))),
        CLASSES,
    )


def _world(root: Path, out: Path) -> CloudSet:
    """A made KITTI folder as a training set."""
    paths, shapes, labels = [], [], []
    for sweep in sorted((root / "training" / "velodyne").iterdir()):
        paths.append(out / f"{sweep.stem}.pcd")
        write_pcd(paths[-1], read_cloud(sweep)[0])
        calibration = read_calibration(root / "training" / "calib" / f"{sweep.stem}.txt")
        found, _ = read_objects(root / "training" / "label_2" / f"{sweep.stem}.txt")
        known = [one for one in found if one.label in KITTI_CLASSES and one.has_cuboid]
        shapes.append(np.array([to_cuboid(one, calibration) for one in known]).reshape(-1, 9))
        labels.append(np.array([KITTI_CLASSES.index(one.label) for one in known], dtype=np.int64))
    return CloudSet(
        tuple(map(str, paths)), tuple(shapes), tuple(labels), ("one drive",) * len(paths), KITTI_CLASSES
    )


def _recall(
    trainer: PillarTrainer, model: object, data: CloudSet, seen: Callable[[int], np.ndarray]
) -> tuple[float, int]:
    """The share of the objects that count, and their number: found with the right class, a BEV IoU of 0.5
    and a score of 0.3.
    """
    hits, total = 0, 0
    for i, found in enumerate(trainer.predict(model, data.media)):  # type: ignore[arg-type]
        sure = found.scores >= 0.3
        overlap = bev_iou(yawed(data.shapes[i]), yawed(found.cuboids[sure]))
        overlap[data.labels[i][:, None] != found.labels[sure][None, :]] = 0.0
        hits += int((overlap.max(axis=1, initial=0.0) >= 0.5)[seen(i)].sum())
        total += int(seen(i).sum())
    return hits / max(total, 1), total


def test_learns_eight_made_scans_by_heart(tmp_path: Path, world: Callable[[int], Path]) -> None:
    """Of the objects within 30 m that hold 20 points, most are found on the scans that trained, at IoU 0.5."""
    data = _world(world(8), tmp_path)
    trainer = PillarTrainer(reach=32.0, layers=8, steps=70, batch=4)
    model = trainer.fit(data, tmp_path / "model.npz", seed=0)

    def seen(i: int) -> np.ndarray:
        points = points_inside(
            read_cloud(world(8) / "training" / "velodyne" / f"{i:06d}.bin")[0], data.shapes[i]
        )
        return (np.hypot(*data.shapes[i][:, :2].T) < 30) & (points >= 20)

    share, total = _recall(trainer, model, data, seen)
    assert total >= 10
    assert share > 0.7


def test_a_full_circle_is_learned(tmp_path: Path) -> None:
    """Objects all around, some behind the sensor, are found where they are, and most of the sizes are right."""
    data = _made(tmp_path, [4, 5, 6, 4, 5, 3], behind=True)
    trainer = replace(QUICK, steps=100, batch=3, layers=8)
    model = trainer.fit(data, tmp_path / "model.npz", seed=0)
    assert model.info["grid"]["x"] == (-16.0, 16.0)
    share, _ = _recall(trainer, model, data, lambda i: data.labels[i] == 0)
    assert share > 0.7
    behind, _ = _recall(trainer, model, data, lambda i: (data.labels[i] == 0) & (data.shapes[i][:, 0] < -2))
    assert behind > 0.5


def test_same_seed_same_weights(tmp_path: Path) -> None:
    """One seed gives one hash and the same predictions, another seed another; torch is left as it was."""
    from torch.utils import deterministic

    data = _made(tmp_path, [3, 2, 0, 4], groups=2)

    def state() -> tuple[object, ...]:
        return (
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            deterministic.fill_uninitialized_memory,
        )

    before, chance = state(), torch.get_rng_state()
    one, two, three = (QUICK.fit(data, tmp_path / f"{i}.npz", seed=seed) for i, seed in enumerate((1, 1, 2)))
    assert one.sha256 == two.sha256 != three.sha256
    for a, b in zip(QUICK.predict(one, data.media), QUICK.predict(two, data.media), strict=True):
        np.testing.assert_array_equal(a.cuboids, b.cuboids)
        np.testing.assert_array_equal(a.scores, b.scores)
    assert state() == before
    assert torch.equal(chance, torch.get_rng_state())


def test_scans_without_objects_train(tmp_path: Path) -> None:
    """Negatives are in the training: with other points in a scan without objects, the weights are others."""
    data = _made(tmp_path, [3, 1, 2, 0])
    first = QUICK.fit(data, tmp_path / "a.npz", seed=1)
    assert first.info["clouds"] == 4
    write_pcd(Path(data.media[3]), np.zeros((0, 4), dtype=np.float32))
    assert QUICK.fit(data, tmp_path / "b.npz", seed=1).sha256 != first.sha256


def test_only_negatives_train(tmp_path: Path) -> None:
    """A pool in which nothing was found yet trains a model that finds nothing much, also on empty clouds."""
    data = _made(tmp_path, [0, 0])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    assert [one.scores.max(initial=0.0) < 0.1 for one in QUICK.predict(model, data.media)] == [True, True]
    for path in data.media:
        write_pcd(Path(path), np.zeros((0, 4), dtype=np.float32))
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    assert len(QUICK.predict(model, data.media)) == 2


def test_predictions_are_sorted_and_in_range(tmp_path: Path) -> None:
    """Whatever is predicted lies in the grid, has sizes above 0 and no tilt, is best first, no more than
    `most`, no worse than `min_score`, and no two of a class overlap.
    """
    data = _made(tmp_path, [3, 2, 4, 1])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=0)
    (x0, x1), (y0, y1) = model.info["grid"]["x"], model.info["grid"]["y"]
    for one in replace(QUICK, min_score=0.0, most=40).predict(model, data.media):
        assert len(one.scores) == 40
        assert (np.diff(one.scores) <= 0).all()
        assert ((one.cuboids[:, 0] >= x0) & (one.cuboids[:, 0] <= x1)).all()
        assert ((one.cuboids[:, 1] >= y0) & (one.cuboids[:, 1] <= y1)).all()
        assert (one.cuboids[:, 3:6] > 0).all()
        assert not one.cuboids[:, 6:8].any()
        overlap = bev_iou(yawed(one.cuboids), yawed(one.cuboids)) - np.eye(40)
        assert (overlap[one.labels[:, None] == one.labels[None, :]] <= QUICK.apart + 1e-9).all()
    middle = float(np.median(np.concatenate([p.scores for p in QUICK.predict(model, data.media)] + [[0.5]])))
    assert all(
        (p.scores >= middle).all() for p in replace(QUICK, min_score=middle).predict(model, data.media)
    )


def test_held_out_drives_choose_the_checkpoint(tmp_path: Path) -> None:
    """With several drives one is kept apart and named, and its points alone don't move the weights of a last
    step; with one drive nothing is kept apart.
    """
    data = _made(tmp_path, [2, 1, 2, 1, 2, 1], groups=3)
    trainer = replace(QUICK, checks=1)  # the last step is the only checkpoint
    model = trainer.fit(data, tmp_path / "a.npz", seed=1)
    assert len(model.info["held_out"]) == 1
    assert len(model.info["held_out_loss"]) == 1
    for path in (
        p for p, group in zip(data.media, data.groups, strict=True) if group in model.info["held_out"]
    ):
        write_pcd(Path(path), np.zeros((0, 4), dtype=np.float32))
    assert trainer.fit(data, tmp_path / "b.npz", seed=1).sha256 == model.sha256
    alone = replace(data, groups=("one",) * 6)
    assert trainer.fit(alone, tmp_path / "c.npz", seed=1).info["held_out"] == []


def test_another_list_or_file_is_refused(tmp_path: Path) -> None:
    """The model keeps the class list in order, unseen classes too; another list or changed weights are
    refused.
    """
    data = _made(tmp_path, [2, 2])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=1)
    assert model.classes == CLASSES
    with pytest.raises(IntegrityError, match="belongs to another round"):
        QUICK.predict(replace(model, classes=("post", "box", "never")), data.media)
    QUICK.fit(data, tmp_path / "model.npz", seed=2)
    with pytest.raises(IntegrityError, match=r"expected the model .* train again"):
        QUICK.features(model, data.media)


def test_nothing_and_unreadable(tmp_path: Path) -> None:
    """No clouds to train on is an error that says so; none to predict on is no predictions; a file that is no
    cloud is named; points that are not finite are left out.
    """
    with pytest.raises(SwathError, match="expected labelled clouds, got none"):
        QUICK.fit(CloudSet((), (), (), (), CLASSES), tmp_path / "model.npz", seed=0)
    data = _made(tmp_path, [2, 1])
    seen: list[tuple[int, int]] = []
    model = QUICK.fit(data, tmp_path / "model.npz", seed=0, progress=lambda *at: seen.append(at))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert QUICK.predict(model, []) == []
    assert QUICK.features(model, []).shape == (0, 176)
    whole = QUICK.predict(model, data.media[:1])[0]
    cloud = _cloud(np.random.default_rng(0), np.zeros((0, 7)), ground=10)
    cloud[:, :] = np.nan
    rest = np.frombuffer(Path(data.media[0]).read_bytes().split(b"DATA binary\n")[1], dtype="<f4").reshape(
        -1, 4
    )
    write_pcd(Path(data.media[0]), np.concatenate([cloud, rest]))
    np.testing.assert_array_equal(QUICK.predict(model, data.media[:1])[0].cuboids, whole.cuboids)
    Path(data.media[1]).write_bytes(b"no cloud")
    for call in (QUICK.predict, QUICK.features):
        with pytest.raises(FormatError, match=r"1\.pcd: expected a PCD"):
            call(model, data.media)
    with pytest.raises(FormatError, match=r"1\.pcd: expected a PCD"):
        QUICK.fit(data, tmp_path / "other.npz", seed=0)


def test_features_tell_scans_apart_and_not_batches(tmp_path: Path) -> None:
    """Features are finite, differ between scans, and are the same whatever scans stand beside them."""
    data = _made(tmp_path, [3, 0, 5])
    model = QUICK.fit(data, tmp_path / "model.npz", seed=0)
    rows = QUICK.features(model, data.media)
    assert (rows.shape, rows.dtype) == ((3, 176), np.float32)
    assert np.isfinite(rows).all()
    assert not np.allclose(rows[0], rows[1])
    np.testing.assert_allclose(QUICK.features(model, data.media[::-1])[::-1], rows, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ("a",)}, "as many cuboids, labels and groups as clouds"),
        ({"labels": (np.array([3]),) * 2}, "1.pcd: expected labels 0 to 2, got"),
        ({"shapes": (np.full((1, 9), np.nan),) * 2}, "1.pcd: expected 1 cuboids of 9 finite"),
        ({"shapes": (np.ones((1, 7)),) * 2}, r"got shape \(1, 7\)"),
        ({"shapes": (np.zeros((1, 9)),) * 2}, "sizes above 0, got 0 m"),
        ({"classes": ("a", "a")}, "different classes"),
    ],
)
def test_training_sets_that_do_not_fit_are_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    """Rows that don't belong together, labels outside the list, NaN, no volume and doubled classes raise and
    say where; `fit` reads any object with these fields, and refuses the same.
    """
    good = CloudSet(("1.pcd", "2.pcd"), (np.ones((1, 9)),) * 2, (np.array([0]),) * 2, ("a", "b"), CLASSES)
    with pytest.raises(SwathError, match=message):
        replace(good, **change)  # type: ignore[arg-type]
    with pytest.raises(SwathError, match=message):
        QUICK.fit(SimpleNamespace(**{**vars(good), **change}), tmp_path / "model.npz", seed=0)


def test_settings_that_cannot_be_are_refused() -> None:
    """The trainer fits the protocol; sizes, counts, shares and rates out of range raise, and are shown."""
    assert (QUICK.name, QUICK.modality) == ("pillars", "3d")
    assert isinstance(QUICK, FeatureTrainer)
    wrong = ({"cell": 0.0}, {"reach": 1.0}, {"reach": 400.0}, {"steps": -1}, {"added": -1}, {"holdout": 1.0})
    for change in (*wrong, {"lr": 0.0}, {"most": 0}):
        with pytest.raises(ConfigError, match="expected"):
            replace(QUICK, **change)  # type: ignore[arg-type]


GRID = Grid((0.0, 4.0), (-4.0, 4.0), (-2.0, 2.0), 1.0, 2, 1.0)


def test_from_above_by_hand() -> None:
    """Three points in one cell and one outside: counts per layer, height, intensity and place are as computed."""
    points = np.array(
        [[1.25, -0.5, -1.0, 0.2], [1.25, -0.5, -1.5, 0.4], [1.75, -0.5, 1.0, 0.9], [5.0, 0.0, 0.0, 1.0]],
        dtype=np.float32,
    )
    seen = from_above(points, GRID)
    assert seen.shape == (6, 4, 8)
    expected = [np.log1p(2) / 2, np.log1p(1) / 2, 0.75, 0.5, (-0.5 - 0.5 + 0.5) / 3, 0.0]
    np.testing.assert_allclose(seen[:, 1, 3], expected, atol=1e-6)
    seen[:, 1, 3] = 0
    assert not seen.any()
    assert not from_above(points[:0], GRID).any()


def test_the_grid_follows_the_objects() -> None:
    """Ahead only where nothing is labelled behind, though points lie there; all around where objects do, or
    where there are points and no objects; sides are whole cells, and never beyond the reach.
    """
    rng = np.random.default_rng(0)
    around = rng.uniform(-60, 60, (5000, 4)).astype(np.float32)
    objects = np.column_stack([rng.uniform(5, 40, 50), rng.uniform(-14, 14, 50), np.ones((50, 5))])
    options = {"cell": 0.25, "layers": 8, "reach": 52.0}
    ahead = choose_grid([around], objects, **options)  # type: ignore[arg-type]
    assert ahead.x[0] == 0
    assert objects[:, 0].max() + 3 < ahead.x[1] < 46
    assert -20 < ahead.y[0] == -ahead.y[1]
    assert all(side % 8 == 0 for side in ahead.shape)
    turned = objects * [*(-1, 1), *[1] * 5]
    circle = choose_grid([around], np.concatenate([objects, turned]), **options)  # type: ignore[arg-type]
    assert circle.x[0] == -circle.x[1]
    assert (circle.x[1], circle.y[1]) == pytest.approx(
        (ahead.x[1], ahead.y[1]), abs=2
    )  # a cell of the deepest map
    bare = choose_grid([around], np.zeros((0, 7)), **options)  # type: ignore[arg-type]
    assert bare.x == bare.y == (-52.0, 52.0)
    nothing = choose_grid([around[:0]], np.zeros((0, 7)), **options)  # type: ignore[arg-type]
    assert nothing.shape == (96, 128)
    assert Grid.from_dict(ahead.to_dict()) == ahead


def test_shaken_objects_keep_their_points() -> None:
    """Mirrored, turned, scaled and moved along with their scan, cuboids hold as many points as before."""
    rng = np.random.default_rng(3)
    grid = Grid((-16.0, 16.0), (-16.0, 16.0), (-3.0, 3.0), 0.5, 4, 1.0)
    window = grid.window(16.0)
    for _ in range(10):
        upright, _ = _objects(rng, 5, behind=True)
        points = _cloud(rng, upright)
        shake = Shake.drawn(rng, grid, window)
        before = points_inside(points, from_yawed(upright))
        moved = from_yawed(shake.cuboids(upright, window))
        after = points_inside(shake.points(points, window), moved)
        np.testing.assert_allclose(after, before, atol=2)  # float32: a point on a face may change sides
        assert before.min() >= 190


def test_windows_reach_every_part_of_the_grid() -> None:
    """A grid of 32 x 32 m is seen through windows of 16 x 16 m that lie in it and get to all its corners; one
    of 16 x 8 m is seen as a whole.
    """
    rng = np.random.default_rng(0)
    grid = Grid((-16.0, 16.0), (-16.0, 16.0), (-3.0, 3.0), 0.5, 4, 1.0)
    window = grid.window(15.0)
    assert (window.x, window.y, window.shape) == ((-8, 8), (-8, 8), (32, 32))
    places = np.array([Shake.drawn(rng, grid, window).at for _ in range(300)])
    assert (np.abs(places) <= 8).all()
    for corner in ((-8, -8), (-8, 8), (8, -8), (8, 8)):
        assert np.hypot(*(places - corner).T).min() < 2
    small = replace(grid, x=(0.0, 16.0), y=(-4.0, 4.0))
    assert small.window(16.0) == small
    assert Shake.drawn(rng, small, small).at == (8.0, 0.0)


def test_objects_are_set_in_with_their_points() -> None:
    """An object of another scan stands in its place with its points and nothing else in it; one that would
    overlap an object stays out; the scan it was set into is unchanged.
    """
    rng = np.random.default_rng(4)
    (upright, labels), (other, others) = (_objects(rng, n, behind=True) for n in (3, 6))
    points = _cloud(rng, upright)
    whole = _cloud(rng, other)
    sweep = Sweep(np.round(whole[:, :3] * 100).astype(np.int16), np.round(whole[:, 3] * 255).astype(np.uint8))
    cutouts = cut_out(sweep, other, others)
    assert [one.label for one in cutouts] == others.tolist()
    kept = points.copy()
    seen, there, named = set_in(points, upright, labels, cutouts)
    np.testing.assert_array_equal(points, kept)
    added = there[len(upright) :]
    assert 0 < len(added) < 6
    assert (bev_iou(there, there) - np.eye(len(there))).max() < 1e-9
    assert len(named) == len(there)
    np.testing.assert_allclose(points_inside(seen, from_yawed(added)), 200, atol=12)  # rounded to 1 cm
    assert set_in(points, upright, labels, [])[0] is points
    unseen = np.array([[30.0, 30, 0, 4, 2, 2, 0]])
    assert cut_out(sweep, unseen, np.array([0])) == []
    assert isinstance(cutouts[0], Cutout)


def test_a_scan_is_kept_to_a_centimetre(tmp_path: Path) -> None:
    """What is kept of a scan is its points in and around the grid, within half a centimetre, brightness
    scaled; of points that share a cube of 10 cm the first; none that are not finite.
    """
    points = [[1.234, 2.0, 0.5, 30.0], [3.981, -3.0, -1.0, 90.0], [40, 0, 0, 1], [3.91, -2.99, -0.91, 5.0]]
    odd = [[np.nan, 0, 0, 1], [0, np.inf, 0, 1], [0, 0, 0, np.nan]]
    write_pcd(tmp_path / "a.pcd", np.array(points + odd, dtype=np.float32))
    kept = read_sweep(str(tmp_path / "a.pcd"), replace(GRID, bright=60.0)).points()
    np.testing.assert_allclose(kept[np.argsort(kept[:, 0]), :3], np.array(points)[:2, :3], atol=0.005001)
    np.testing.assert_allclose(np.sort(kept[:, 3]), [0.5, 1.0], atol=0.003)


USUAL = np.array([[-0.9, 4.0, 1.8, 1.6], [-0.8, 0.8, 0.8, 1.8]])
WIDE = Grid((-24.0, 24.0), (-24.0, 24.0), (-2.0, 2.0), 0.5, 2, 1.0)
SCAN = np.array(
    [
        [10.2, 3.1, -0.8, 4.4, 1.7, 1.5, 0.3],
        [-8, -6, -1, 3.8, 1.9, 1.7, -2.8],
        [5, -9.9, -0.7, 0.7, 0.9, 1.75, 1.2],
    ]
)
NAMES = np.array([0, 0, 1])


def _said(wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
    """The network's answer that says exactly what was wanted."""
    return torch.logit(wanted.heat.clamp(1e-6, 1 - 1e-6)), wanted.numbers


def test_what_is_wanted_reads_back_as_the_cuboids() -> None:
    """Targets decoded as if the network had said them are the cuboids and labels; an empty scan has none."""
    wanted = targets([SCAN, SCAN[:0]], [NAMES, NAMES[:0]], USUAL, WIDE)
    (cuboids, scores, labels), empty = decode(*_said(wanted), USUAL, WIDE, most=3, apart=0.2)
    assert (scores > 0.99).all()
    assert sorted(labels) == [0, 0, 1]
    order = np.argsort(-cuboids[:, 0])
    expected = from_yawed(SCAN[[0, 2, 1]])
    np.testing.assert_allclose(cuboids[order], expected, atol=1e-5)
    assert (empty[1] < 1e-5).all()
    np.testing.assert_allclose(wanted.weight.sum(dim=(1, 2)), [3, 0], atol=1e-5)


def test_loss_is_least_at_the_truth() -> None:
    """The truth costs next to nothing; a missed object, a false one, a turned, a moved and a taller one more."""
    wanted = targets([SCAN, SCAN[:0]], [NAMES, NAMES[:0]], USUAL, WIDE)
    heat, numbers = _said(wanted)
    best = float(loss(heat, numbers, wanted))
    assert best < 0.2
    missed, false = heat.clone(), heat.clone()
    missed[0, 1] = -8.0
    false[1, 1, 3, 3] = 8.0
    assert float(loss(missed, numbers, wanted)) > best + 1
    assert float(loss(false, numbers, wanted)) > best + 1
    for channel, change in ((0, 0.5), (2, 0.2), (3, 0.3), (5, 0.1), (6, 0.5), (9, 0.5)):
        other = numbers.clone()
        other[:, channel] += change
        assert float(loss(heat, other, wanted)) > best + 0.05
    taller = numbers.clone()
    taller[:, 5] += 0.1
    assert float(loss(heat, taller, wanted)) == pytest.approx(best + 2 * 0.1, abs=1e-4)


def test_footprints_by_hand() -> None:
    """A box said to be 1.5 times as long has IoU 1 / 1.5 and its hull is itself: 2 (1 - 2/3) more loss."""
    one = np.array([[4.25, 0.25, -0.9, 4.0, 1.8, 1.6, 0.7]])
    wanted = targets([one], [NAMES[:1]], USUAL, WIDE)
    heat, numbers = _said(wanted)
    longer = numbers.clone()
    longer[:, 3] += np.log(1.5)
    more = float(loss(heat, longer, wanted)) - float(loss(heat, numbers, wanted))
    assert more == pytest.approx(2 * (1 - 1 / 1.5), abs=1e-4)


def test_objects_that_cannot_be_told_are_left_out() -> None:
    """Objects outside the grid leave no trace, one at its edge does; the loss stays finite without any."""
    outside = SCAN.copy()
    outside[:, 0] += 60
    wanted = targets([outside], [NAMES], USUAL, WIDE)
    assert not wanted.heat.any()
    assert not wanted.weight.any()
    assert np.isfinite(float(loss(*_said(wanted), wanted)))
    edge = np.array([[23.99, -23.99, -0.9, 4.0, 1.8, 1.6, 0.0]])
    assert targets([edge], [NAMES[:1]], USUAL, WIDE).heat[0, 0, 47, 0] == 1


def test_answers_are_half_the_grid() -> None:
    """Heat has a channel per class, numbers ten, both half the grid's size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        heat, numbers = PillarNet(6, 5).eval()(torch.zeros(2, 6, 48, 96))
    assert (heat.shape, numbers.shape) == ((2, 5, 24, 48), (2, 10, 24, 48))
