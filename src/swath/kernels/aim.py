"""Does a camera look where its calibration says? What all boxes and cuboids of a batch say about it together.

Where everything lies beside its cuboid in the same way, each label is right and one thing is wrong: the calibration (or all
were drawn so). A batch of labels tells that apart from a hundred bad boxes, and how far it is off, so that the labels can
still be compared. Boxes (m, 4) and pixels as in `boxes`; cuboids as an image shows them: `sight.Sight`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swath.kernels import boxes as box_kernel
from swath.kernels.sight import Project, Sight

Array = NDArray[np.float64]

ALIKE: Final = 0.35  # of the logarithm of width and height, within which box and projection may be one object
EDGE: Final = 2.0  # px from the image's edge: what is cut there has another middle
GATE: Final = 0.03  # of the image's width: how far single objects may stray from what all do
LEAST: Final = 0.0025  # of the image's width: what is off by less is not told from drawing
ALIKE_OFF: Final = 1.5  # times the distance that remains: what is off by less is no common cause
FEWEST: Final = 15  # objects that must agree
SCENES: Final = 3  # scenes that they are spread over
MANY: Final = 40  # objects from which more than one common shift is fitted
MOST: Final = 4000  # candidates that vote
PRIOR: Final = (0.02, 0.02, 0.3, 0.3, 0.3, 0.3, 0.5, 0.5, 0.3)
"""Standard deviations of what may be wrong, before any box is seen: the image's middle (shares of its width), turns to the side, up
and about the axis (rad), the focal length (share), the camera's place (m). Objects that are far away say little about the near, and a
narrow strip of the image little about what bends there: without this a fit to one goes astray in the other."""
NOISE: Final = 1e-3  # of the image's width: boxes are not drawn more exactly than that


@dataclass(frozen=True, eq=False)
class Shot:
    """What one scene says: candidates, pairs of a box and a cuboid that may be one object. `cuboid` (k,): which of the scene's;
    `place` (k, 3): its projected middle, shares of the image from its centre, and 1 / depth in 1 / m; `off` (k, 2): middle of
    the box less that, shares of the image's width; `cuboids`: how many could have had a partner."""

    cuboid: NDArray[np.int64]
    place: Array
    off: Array
    cuboids: int


@dataclass(frozen=True, eq=False)
class Aim:
    """How far boxes lie beside their cuboids. `warp` (9,): what is wrong with the camera, in the order and units of `PRIOR`; `size`,
    `focal`: of the image and the camera, px; `shift` (2,): the median of what follows over the objects, px right and down; `left`: the
    median distance that remains, px; `objects`, `scenes`: that agree."""

    warp: Array
    size: tuple[float, float]
    focal: float
    shift: Array
    left: float
    objects: int
    scenes: int

    def corrected(self, project: Project) -> Project:
        """`project`, brought to where the boxes are."""

        def onto(points: Array) -> tuple[Array, Array]:
            pixels, depth = project(points)
            with np.errstate(divide="ignore", invalid="ignore"):
                terms = _terms(_place(pixels, depth, *self.size), self.focal / self.size[0])
                return pixels + terms @ self.warp * self.size[0], depth

        return onto

    def said(self, image: str) -> str:
        """In words."""
        right, down = self.shift
        return (
            f"boxes of {image!r} lie {abs(right):.1f} px {'right' if right > 0 else 'left'} and {abs(down):.1f} px "
            f"{'below' if down > 0 else 'above'} (median) of where the calibration puts their cuboids, in the same way for "
            f"{self.objects} objects of {self.scenes} scenes (within {self.left:.1f} px): the calibration is wrong, or all were "
            "drawn so; the other rules allow for it"
        )


def shot(
    boxes: ArrayLike,
    box_names: Sequence[str],
    seen: Sight,
    cuboid_names: Sequence[str],
    width: float,
    height: float,
) -> Shot:
    """The candidates of one image: same class, about the same size, whole in the image."""
    flat = box_kernel.as_boxes(boxes)
    inner = (np.minimum(flat[:, :2], [width, height] - flat[:, 2:]) > EDGE).all(axis=1)
    solid = np.isfinite(flat).all(axis=1) & (flat[:, 2:] > flat[:, :2]).all(axis=1)
    rows, columns = np.flatnonzero(inner & solid), np.flatnonzero(seen.whole)
    ours, theirs = np.array(box_names, np.str_)[rows], np.array(cuboid_names, np.str_)[columns]
    one, two = np.nonzero(ours[:, None] == theirs[None, :])
    box, shown = flat[rows[one]], seen.full[columns[two]]
    ratio = np.abs(np.log((box[:, 2:] - box[:, :2]) / (shown[:, 2:] - shown[:, :2])))
    like = (ratio < ALIKE).all(axis=1)
    box, shown, column = box[like], shown[like], columns[two][like]
    middle = (shown[:, :2] + shown[:, 2:]) / 2
    off = ((box[:, :2] + box[:, 2:]) / 2 - middle) / width
    return Shot(column, _place(middle, seen.depth[column], width, height), off, len(columns))


def aim(shots: Sequence[Shot], width: float, height: float, focal: float) -> Aim | None:
    """What the shots of one camera (focal length in px) have in common; None where that is nothing, or too little is known.

    Candidates vote for a common shift; each cuboid then keeps the candidate that is nearest to it. With 40 objects and more it is a
    camera that is turned, elsewhere, or has another focal length, to first order (`_terms`). It
    counts from 0.25 % of the image's width and one and a half times what it leaves unexplained, where 15 objects of 3 scenes, and
    half of those that are whole, agree.
    """
    of = np.repeat(np.arange(len(shots)), [len(one.cuboid) for one in shots])
    if len(of) < FEWEST:
        return None
    place = np.concatenate([one.place for one in shots])
    off = np.concatenate([one.off for one in shots])
    owner = of * (1 + max(int(one.cuboid.max(initial=0)) for one in shots))
    owner = owner + np.concatenate([one.cuboid for one in shots])
    terms = _terms(place, focal / width)
    warp = np.zeros(len(PRIOR))
    warp[:2] = _vote(off, owner)
    chosen = np.zeros(0, np.int64)
    for gate in (1.5 * GATE, GATE, GATE, 0.5 * GATE, 0.5 * GATE):
        chosen = _nearest(off - terms @ warp, owner, gate)
        if len(chosen) < FEWEST:
            return None
        warp = _fit(terms[chosen], off[chosen])
    after = np.hypot(*(off[chosen] - terms[chosen] @ warp).T)
    common = terms[chosen] @ warp
    enough = len(chosen) >= max(FEWEST, 0.5 * sum(one.cuboids for one in shots))
    spread = len(np.unique(of[chosen])) >= SCENES
    least = max(LEAST, ALIKE_OFF * float(np.median(after)))
    if not enough or not spread or np.median(np.hypot(*common.T)) < least:
        return None
    return Aim(
        warp=warp,
        size=(width, height),
        focal=focal,
        shift=np.median(common, axis=0) * width,
        left=float(np.median(after) * width),
        objects=len(chosen),
        scenes=len(np.unique(of[chosen])),
    )


def _place(pixels: Array, depth: Array, width: float, height: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.column_stack(
            [pixels[:, 0] / width - 0.5, pixels[:, 1] / width - height / width / 2, 1 / depth]
        )


def _terms(place: Array, focal: float) -> Array:
    """(k, 2, 9) how u and v move (shares of the image's width) per unit of what may be wrong with a camera: the derivatives of a
    projection by its shift, turns, focal length (a share of the width) and place."""
    u, v, near = place.T
    one, none = np.ones(len(place)), np.zeros(len(place))
    right = [one, none, focal + u * u / focal, u * v / focal, -v, u, focal * near, none, u * near]
    down = [none, one, u * v / focal, focal + v * v / focal, u, v, none, focal * near, v * near]
    return np.stack([np.column_stack(right), np.column_stack(down)], axis=1)


def _vote(off: Array, owner: NDArray[np.int64]) -> Array:
    """(2,) the shift that the most cuboids have a candidate for."""
    some = np.unique(np.linspace(0, len(off) - 1, MOST).astype(np.int64))
    voters, whose = off[some], owner[some]
    first = np.unique(whose, return_index=True)[1]  # `owner` ascends
    best, most = np.zeros(2), -1
    for tried in np.vstack([np.zeros((1, 2)), voters[:: max(1, len(voters) // 400)]]):
        near = (np.abs(voters - tried) < GATE).all(axis=1)
        count = int(np.logical_or.reduceat(near, first).sum())
        if count > most:
            best, most = np.median(voters[near], axis=0) if count else tried, count
    return np.asarray(best)


def _nearest(left: Array, owner: NDArray[np.int64], gate: float) -> NDArray[np.int64]:
    """The candidate of each cuboid that has the least `left` (k, 2), if it is within the gate."""
    away = np.hypot(*left.T)
    order = np.lexsort((away, owner))
    first = order[np.unique(owner[order], return_index=True)[1]]
    return np.sort(first[away[first] < gate])


def _fit(terms: Array, off: Array) -> Array:
    """(9,) what is wrong, by least squares without those that stray; what little is said of is drawn towards nothing (`PRIOR`)."""
    used = terms if len(terms) >= MANY else terms * (np.arange(len(PRIOR)) < 2)
    kept = np.ones(len(used), bool)
    warp, noise = np.zeros(len(PRIOR)), NOISE
    for _ in range(4):
        rows, values = used[kept].reshape(-1, len(PRIOR)), off[kept].ravel()
        known = np.vstack([rows, np.diag(noise / np.array(PRIOR))])
        warp = np.linalg.lstsq(known, np.concatenate([values, np.zeros(len(PRIOR))]), rcond=None)[0]
        away = np.hypot(*(off - used @ warp).T)
        middle = max(float(np.median(away)), 1e-6)
        kept, noise = away <= 3 * middle, max(NOISE, middle)
    return np.asarray(warp)
