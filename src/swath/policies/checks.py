"""Which labels of a batch cannot be right: the rules of the kernels, asked of every scene, and of all of them together.

What is wrong in the same way everywhere (a calibration) is said once, and allowed for in what is said of single labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from swath.errors import some
from swath.kernels import checks, frames
from swath.kernels.aim import Aim, Shot, aim, shot
from swath.kernels.ground import ground_height
from swath.kernels.sight import Sight, see
from swath.kernels.sizes import Usual, learned
from swath.labels.calibration import Camera
from swath.labels.channels import Channel
from swath.labels.shapes import Cuboids, Labels
from swath.records.batch import Finding

Points = Callable[[Channel], npt.NDArray[Any] | None]
Place = tuple[str, str]  # (key, channel) of an image
TOGETHER: Final = 3  # scenes of one calibration from which it is looked at by itself


@dataclass(frozen=True, eq=False)
class Scene:
    """A scene with the labels that came, by channel in the rig's order. `sizes`: (width, height) px of its images; `cameras`: of
    those that are calibrated; both by channel name. `points` reads a cloud, None where it can't be."""

    key: str
    labels: Mapping[Channel, Labels]
    sizes: Mapping[str, tuple[int, int]]
    cameras: Mapping[str, Camera]
    points: Points

    @property
    def images(self) -> list[Channel]:
        return [channel for channel in self.labels if channel.kind == "image"]

    @property
    def clouds(self) -> list[Channel]:
        return [channel for channel in self.labels if channel.kind == "cloud"]

    @property
    def compared(self) -> list[Channel]:
        """The images that are compared with the first cloud: those that are calibrated."""
        return [channel for channel in self.images if channel.name in self.cameras] if self.clouds else []


def usual_sizes(labels: Iterable[tuple[str, Labels]]) -> dict[str, Usual]:
    """How large the things of each class usually are, from all cuboids so far: (drive, labels)."""
    solid = [(drive, one) for drive, one in labels if isinstance(one, Cuboids) and len(one)]
    names = [name for _, one in solid for name in one.classes]
    drives = [drive for drive, one in solid for _ in one.classes]
    sizes = [one.shapes[:, 3:6] for _, one in solid]
    return learned(names, np.concatenate(sizes) if sizes else np.zeros((0, 3)), drives)


@dataclass(eq=False)
class Together:
    """What the scenes of a batch say together: `aims` of the images whose boxes lie beside their cuboids in one way, and the
    `findings` about that. `sights`: what the other images show of the cuboids."""

    aims: dict[Place, Aim] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    sights: dict[Place, Sight] = field(default_factory=dict)


def together(scenes: Sequence[Scene]) -> Together:
    """Looks at every camera of the batch; where not all of its images are off, at those of each calibration by themselves."""
    out = Together()
    cameras: dict[str, dict[str, Shot]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    focals: dict[str, float] = {}
    calibrations: dict[tuple[str, bytes], list[str]] = {}
    for scene in scenes:
        for channel in scene.compared:
            boxes, cuboids = scene.labels[channel], scene.labels[scene.clouds[0]]
            camera, size = scene.cameras[channel.name], scene.sizes[channel.name]
            seen = see(cuboids.shapes, camera.project, *size)
            out.sights[scene.key, channel.name] = seen
            sizes.setdefault(channel.name, size)
            focals.setdefault(channel.name, float(camera.projection[0, 0]))
            if size == sizes[channel.name]:
                taken = shot(boxes.shapes, boxes.classes, seen, cuboids.classes, *size)
                cameras.setdefault(channel.name, {})[scene.key] = taken
                mark = camera.projection.tobytes() + camera.from_cloud.tobytes()
                calibrations.setdefault((channel.name, mark), []).append(scene.key)
    for name, shots in cameras.items():
        groups = [group for (channel, _), group in calibrations.items() if channel == name]
        if not _aimed(out, name, list(shots), shots, sizes[name], focals[name]) and len(groups) > 1:
            for group in groups:
                if len(group) >= TOGETHER:
                    _aimed(out, name, group, shots, sizes[name], focals[name])
    return out


def _aimed(
    out: Together,
    name: str,
    keys: Sequence[str],
    shots: Mapping[str, Shot],
    size: tuple[int, int],
    focal: float,
) -> bool:
    """Whether these images of a camera are off together; if they are, that is noted."""
    found = aim([shots[key] for key in keys], *size, focal)
    if found is None:
        return False
    for key in keys:
        out.aims[key, name] = found
    which = "" if len(keys) == len(shots) else f" (scenes of one calibration: {some(keys, 3)})"
    said = found.said(name) + which
    out.findings.append(
        Finding(scene="", rule="calibration", severity="error", modality="2d", channel=name, evidence=said)
    )
    return True


def of_scene(
    scene: Scene, classes: Sequence[str], usual: Mapping[str, Usual], batch: Together
) -> list[Finding]:
    """What the rules say of one scene."""
    found: list[Finding] = []
    for channel in scene.images:
        labels, size = scene.labels[channel], scene.sizes[channel.name]
        found += recorded(
            scene.key, channel, checks.check_boxes(labels.shapes, labels.classes, classes, *size)
        )
    for channel in scene.clouds:
        first = channel == scene.clouds[0]
        points = _finite(scene.points(channel))
        frame = _frame(scene, channel, batch, points, seen=first)
        if frame is not None:
            one = checks.Finding("wrong_frame", "error", "3d", None, frame)
            found += recorded(scene.key, channel, [one])
            continue
        labels = scene.labels[channel]
        found += recorded(
            scene.key,
            channel,
            checks.check_cuboids(labels.shapes, labels.classes, classes, points, usual),
        )
        if first:
            found += _across(scene, channel, usual, batch, points)
    return found


def _finite(points: npt.NDArray[Any] | None) -> npt.NDArray[np.float64] | None:
    if points is None:
        return None
    table = np.asarray(points, float)[:, :3]
    finite: npt.NDArray[np.float64] = table[np.isfinite(table).all(axis=1)]
    return finite


def _frame(
    scene: Scene,
    cloud: Channel,
    batch: Together,
    points: npt.NDArray[np.float64] | None,
    *,
    seen: bool,
) -> str | None:
    """In which other frame the cuboids are, in words; None where they are in their own."""
    labels = scene.labels[cloud]
    if not len(labels):
        return None
    views, from_cloud = [], None
    for channel in scene.compared if seen else ():
        boxes, camera = scene.labels[channel], scene.cameras[channel.name]
        off = batch.aims.get((scene.key, channel.name))
        project = off.corrected(camera.project) if off else camera.project
        views.append(frames.View(boxes.shapes, boxes.classes, project))
        from_cloud = camera.from_cloud if from_cloud is None else from_cloud
    ground = None
    if points is not None and len(points):
        known = points

        def ground(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            return ground_height(known, places)

    return frames.wrong_frame(labels.shapes, labels.classes, views, ground, from_cloud)


def _across(
    scene: Scene,
    cloud: Channel,
    usual: Mapping[str, Usual],
    batch: Together,
    points: npt.NDArray[np.float64] | None,
) -> Iterator[Finding]:
    cuboids = scene.labels[cloud]
    for channel in scene.compared:
        boxes, camera = scene.labels[channel], scene.cameras[channel.name]
        off = batch.aims.get((scene.key, channel.name))
        found = checks.check_across(
            boxes.shapes,
            boxes.classes,
            cuboids.shapes,
            cuboids.classes,
            off.corrected(camera.project) if off else camera.project,
            *scene.sizes[channel.name],
            image=channel.name,
            cloud=points,
            usual=usual,
            seen=None if off else batch.sights.get((scene.key, channel.name)),
        )
        for one in found:
            yield from recorded(scene.key, channel if one.modality == "2d" else cloud, [one])


def recorded(key: str, channel: Channel, found: Iterable[checks.Finding]) -> Iterator[Finding]:
    """Findings as they are recorded; `object` is a place among the labels of the channel."""
    for one in found:
        yield Finding(
            scene=key,
            rule=one.rule,
            severity=one.severity,
            modality=one.modality,
            channel=channel.name,
            object=one.object,
            evidence=one.evidence,
            score=one.score,
        )
