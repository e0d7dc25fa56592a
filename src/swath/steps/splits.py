"""Splits scenes into test, val, golden and pool, and audits them for leaks.

Test, val and pool are drawn by unit: all scenes of a drive stay together (near-duplicates too, where that is asked for);
scenes without a drive are units of their own. Where no drive is known at all, scenes that look alike are taken for one. Golden measures annotators, not the model: it is drawn scene by scene from
the drives of the pool, one frame per drive until drives run out. Test is frozen from here on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from swath import __version__, commit
from swath.config import Splits, digest
from swath.encoders import make
from swath.errors import StateError, some
from swath.formats.files import write_atomic
from swath.formats.readable import is_whole, opens
from swath.kernels.neighbors import top_k
from swath.kernels.subsets import choose, spread
from swath.labels.channels import Channel
from swath.projection import SPLITS
from swath.records.loop import Pair, SplitDone
from swath.records.results import SplitResult
from swath.store.journal.lease import Writer
from swath.suggest import command, init
from swath.workspace import Workspace

Unit = tuple[str, ...]  # keys that stay together, sorted
ALIKE = "alike:"  # begins the names of drives that were found by their looks
DRIVES = 10  # units that test and val should have: intervals by drive need them
Vectors = npt.NDArray[np.float32]


def split(workspace: Workspace) -> SplitResult:
    """Commits the split of a dataset. A dataset that is split already keeps its split: the record is returned."""
    if workspace.is_split():
        return _result(workspace)
    with workspace.writer("split") as writer:
        if workspace.is_split():
            return _result(workspace)
        table, config = workspace.scenes.table, workspace.config.splits
        named = ["" if one.startswith(ALIKE) else one for one in table.sequence.tolist()]  # a killed split's
        units = units_of(table.keys.tolist(), named if config.by == "sequence" else [""] * len(table))
        notes: list[str] = []
        if config.by == "sequence" and not any(named):
            found, said = _alike(workspace, units)
            notes.append(
                f"no drives are known (field {workspace.config.fields.sequence!r} is empty): {said}; where scenes were recorded in a "
                "row, neighbours are near-duplicates, test and val leak into the pool, and intervals are too narrow: give their drives "
                "where they are known; see the closest pairs"
            )
            units = found
            _write_drives(workspace, writer, units)
        elif config.by == "sequence" and config.join_duplicates is None and not all(named):
            alone = [key for key, drive in zip(table.keys.tolist(), named, strict=True) if not drive]
            notes.append(
                f"{len(alone)} of {len(named)} scenes have no drive ({some(alone)}), and each stands alone: where they were recorded in a "
                "row, near-duplicates leak from test and val into the pool; give their drives, in another dataset, or keep together what "
                "looks alike there (splits: {join_duplicates: 0.95})"
            )
        if config.join_duplicates is not None:
            units, joined = _join(looks(workspace), units, config.join_duplicates)
            notes.append(f"{joined} scenes joined to units by near-duplicates")
        if config.audit_pairs:
            _media_are_there(workspace)
        look = _readable(workspace) if config.audit_pairs else _any
        membership, more = assign(units, config, workspace.config.seed, look)
        closest: tuple[Pair, ...] = ()
        if config.audit_pairs:
            keys, vectors = looks(workspace)
            closest = leaks(keys, vectors, membership, config.audit_pairs)
            if unseen := sorted(set(membership) - set(keys)):
                more.append(
                    f"{len(unseen)} scenes have no readable image and were not audited for leaks: {some(unseen)}"
                )
        record = SplitDone(
            seed=workspace.config.seed,
            units=len(units),
            notes=(*notes, *more),
            closest=closest,
            config_hash=workspace.config.hash(),
            swath=__version__,
        )
        frozen = workspace.journal.frozen(membership)
        workspace.journal.record(writer, {"split": record}, membership=frozen)
        commit.project_all(workspace, writer)
    return _result(workspace)


def _alike(workspace: Workspace, units: Sequence[Unit]) -> tuple[list[Unit], str]:
    """Units of scenes that look alike, and how they came about in words; the units as they are where that is not asked for, or where
    so much looks alike that neither val nor test could hold it."""
    config = workspace.config.splits
    if config.find_drives is None or not config.audit_pairs:
        return list(units), "split by scene"
    _media_are_there(workspace)
    found, _ = _join(looks(workspace), units, config.find_drives)
    several = [len(unit) for unit in found if len(unit) > 1]
    wanted = sizes(sum(map(len, units)), config)
    said = f"look alike (cosine similarity from {config.find_drives:g}; splits: find_drives)"
    if not several:
        return found, f"no two scenes {said}: split by scene"
    if max(several) > max(wanted["val"], wanted["test"]):
        return list(units), f"{max(several)} scenes {said}, too many for one drive: split by scene"
    return (
        found,
        f"{sum(several)} scenes that {said} are taken for {len(several)} drives, up to {max(several)} for one",
    )


def _write_drives(workspace: Workspace, writer: Writer, units: Sequence[Unit]) -> None:
    """Gives the scenes of each unit of several a drive, named by its first scene, on all of their slices; a field that holds no text
    is somebody's own, and left alone."""
    import fiftyone as fo

    field, table = workspace.config.fields.sequence, workspace.scenes.table
    stale = [
        key for key, drive in zip(table.keys.tolist(), table.sequence, strict=True) if drive.startswith(ALIKE)
    ]
    of: dict[str, str | None] = dict.fromkeys(stale)
    of |= {key: f"{ALIKE}{unit[0]}" for unit in units if len(unit) > 1 for key in unit}
    if not of or not isinstance(workspace.scenes.dataset.get_field_schema().get(field), fo.StringField):
        return
    for name in table.paths:
        values = {key: {field: drive} for key, drive in of.items() if table.has(name, key)}
        workspace.scenes.write(name, values, writer)
    workspace.scenes.refresh()


def _media_are_there(workspace: Workspace) -> None:
    """`StateError` where most files of the channel that is shown are gone: a split is for good, and test could never be read."""
    primary = workspace.rig.primary
    paths = [path for path in workspace.scenes.table.paths[primary].tolist() if path]
    gone = [path for path in paths if not Path(path).exists()]
    if 2 * len(gone) > len(paths):
        raise StateError(
            f"split: {len(gone)} of {len(paths)} files of {primary!r} are not where they were ({some(gone, 2)}); bring them back, or run "
            f"init again with the folder's new place: `{init(workspace.name, '--kitti', 'DIR')}`"
        )


def _readable(workspace: Workspace) -> Callable[[str], bool]:
    """Whether all that annotators label of a scene can be shown to them: images decode, clouds are there."""
    table = workspace.scenes.table

    def shows(channel: Channel, key: str) -> bool:
        path = table.path(channel.name, key)
        return is_whole(path, "image") if channel.kind == "image" else opens(path)

    def whole(key: str) -> bool:
        channels = workspace.channels_of(table, key)
        return bool(channels) and all(shows(one, key) for one in channels)

    return whole


def _any(key: str) -> bool:
    return True


def _result(workspace: Workspace) -> SplitResult:
    loop, membership = workspace.journal.loop(), workspace.membership()
    record, told = loop.steps.split, loop.membership
    if record is None or told is None:
        raise StateError(
            f"{workspace.name}: the split has no record; run `{command('repair', workspace.name)}`"
        )
    found = list(membership.values())
    return SplitResult(
        splits={name: found.count(name) for name in SPLITS},
        units=record.units,
        seed=record.seed,
        test_sha256=told.test_sha256,
        closest=record.closest,
        notes=record.notes,
    )


def units_of(keys: Sequence[str], drives: Sequence[str]) -> list[Unit]:
    """Units in the order of their first key: one per drive, and one per scene that has none ("")."""
    groups: dict[str, list[str]] = {}
    for key, drive in sorted(zip(keys, drives, strict=True)):
        groups.setdefault(f"drive {drive}" if drive else f"scene {key}", []).append(key)
    return sorted(tuple(group) for group in groups.values())


def sizes(n: int, config: Splits) -> dict[str, int]:
    """How many of `n` scenes each split gets: largest remainders, ties in the order test, val, golden, pool."""
    shares = {"test": config.test, "val": config.val, "golden": config.golden}
    shares["pool"] = 1 - sum(shares.values())
    exact = {name: share * n for name, share in shares.items()}
    out = {name: int(value + 1e-9) for name, value in exact.items()}
    left = n - sum(out.values())
    for name in sorted(SPLITS, key=lambda one: -(round(exact[one] - out[one], 9)))[:left]:
        out[name] += 1
    return out


def assign(
    units: Sequence[Unit], config: Splits, seed: int, can_be_labelled: Callable[[str], bool] = _any
) -> tuple[dict[str, str], list[str]]:
    """(key -> split, notes). Units are drawn in an order that depends on the seed and the keys alone; golden scenes, which every
    batch is sent with, from those that `can_be_labelled`: the drawn ones are asked."""
    rng = np.random.default_rng([seed, 0x5711])
    order = [units[i] for i in rng.permutation(len(units))]
    wanted = sizes(sum(map(len, units)), config)
    if not wanted["val"] or not wanted["pool"]:
        short = "val" if not wanted["val"] else "the pool"
        raise StateError(
            f"{sum(map(len, units))} scenes are too few to split: {short} would be empty; take in more scenes, or give other "
            "shares (splits: {val: ...})"
        )
    membership: dict[str, str] = {}
    units_in: dict[str, int] = {}
    for name in ("test", "val"):
        taken = _draw(order, wanted[name])
        units_in[name] = len(taken)
        membership |= {key: name for i in taken for key in order[i]}
        order = [unit for i, unit in enumerate(order) if i not in taken]
    golden, passed = _golden(order, wanted["golden"], rng, can_be_labelled)
    membership |= {key: "golden" if key in golden else "pool" for unit in order for key in unit}
    found = list(membership.values())
    got = {name: found.count(name) for name in SPLITS}
    empty = [name for name in SPLITS if wanted[name] and not got[name]]
    if empty == ["golden"] and passed:
        raise StateError(
            f"no scene of the pool can be a golden one: media of all {len(passed)} are missing or unreadable ({some(sorted(passed))}); "
            "bring them back, or give golden no share (splits: {golden: 0})"
        )
    if empty:
        raise StateError(
            f"{len(units)} units (drives) of {len(membership)} scenes leave {', '.join(empty)} without scenes; "
            "give more drives, other shares, or split by scene (splits: {by: scene}) and read the leak audit"
        )
    notes = [
        f"{name} has {got[name]} scenes where {wanted[name]} were wanted: drives stay whole"
        for name in SPLITS
        if got[name] != wanted[name]
    ]
    if passed:
        notes.append(
            f"{len(passed)} scenes were not taken as golden ones, since media of theirs are missing or unreadable: {some(sorted(passed))}"
        )
    if config.golden and not got["golden"]:
        notes.append(
            f"golden has no scene ({config.golden:g} of {len(membership)}): annotators are never checked; more scenes or a larger "
            "share give it some, in another dataset (splits: {golden: ...})"
        )
    notes += [
        f"{name} has {drives} drives: {FEW if drives > 1 else ALONE}"
        for name, drives in units_in.items()
        if got[name] and drives < DRIVES
    ]
    return dict(sorted(membership.items())), notes


FEW = f"with fewer than {DRIVES} its intervals are wide, and hold less often than they say"
ALONE = "figures will have no intervals, which go by drive"


def _draw(order: Sequence[Unit], wanted: int) -> set[int]:
    """Positions of the first units that add up to `wanted`, or as near as can be. Where these are fewer than `DRIVES`, very long
    units (more than twice the median) stay out, as few lengths of them as it takes, so that there are more of the others. No
    further: a test set of nothing but short drives is no better than one of few."""
    lengths = [len(unit) for unit in order]
    best = choose(lengths, wanted)
    off = abs(sum(lengths[i] for i in best) - wanted)
    usual = 2 * float(np.median(lengths)) if lengths else 0.0
    for longest in [one for one in sorted(set(lengths), reverse=True)[1:] if one >= usual] + [int(usual)]:
        if len(best) >= DRIVES or not wanted:
            break
        short = [i for i, length in enumerate(lengths) if length <= longest]
        taken = {short[i] for i in choose([lengths[i] for i in short], wanted)}
        if abs(sum(lengths[i] for i in taken) - wanted) <= off and len(taken) > len(best):
            best = taken
    return best


def _golden(
    units: Sequence[Unit], n: int, rng: np.random.Generator, can_be_labelled: Callable[[str], bool]
) -> tuple[set[str], set[str]]:
    """(golden scenes, drawn ones that cannot be labelled): drawn again without those, until all of them can."""
    passed: set[str] = set()
    begin = rng.bit_generator.state
    while True:
        rng.bit_generator.state = begin
        left = [tuple(key for key in unit if key not in passed) for unit in units]
        drawn = spread([unit for unit in left if unit], n, rng)
        bad = {key for key in sorted(drawn) if not can_be_labelled(key)}
        if not bad:
            return drawn, passed
        passed |= bad


# ---------------------------------------------------------------------- leaks


def leaks(
    keys: Sequence[str], vectors: Vectors, membership: Mapping[str, str], pairs: int
) -> tuple[Pair, ...]:
    """The pairs of scenes across test, val and pool that look most alike: scenes, splits, cosine similarity."""
    split = np.array([membership.get(key, "") for key in keys])
    found: list[Pair] = []
    for one, two in (("test", "pool"), ("val", "pool"), ("test", "val")):
        a, b = np.flatnonzero(split == one), np.flatnonzero(split == two)
        if not len(a) or not len(b) or not pairs:
            continue
        rows, similar = top_k(vectors[a], vectors[b], 1)
        best = np.argsort(-similar[:, 0], kind="stable")[: len(a)]
        for i in best.tolist():
            found.append(
                Pair(
                    scenes=(keys[a[i]], keys[b[rows[i, 0]]]),
                    splits=(one, two),
                    similarity=round(float(similar[i, 0]), 6),
                )
            )
    return tuple(sorted(found, key=lambda pair: (-pair.similarity, pair.scenes))[:pairs])


def looks(workspace: Workspace) -> tuple[list[str], Vectors]:
    """Keys and label-free descriptors (n, d) of every scene whose primary medium can be read.

    Kept in a file of its own, never in `embeddings`: this is the one place that looks at test scenes, and nothing that
    selects or trains reads it.
    """
    table, primary = workspace.scenes.table, workspace.rig.primary
    sensor = workspace.rig[primary].kind
    there = np.flatnonzero(table.paths[primary] != "")
    keys = table.keys[there].tolist()
    encoder = make(f"descriptor:{sensor}")
    fingerprint = digest([encoder.name, encoder.version, keys, table.paths[primary][there].tolist()])
    path = workspace.home / "audit.npz"
    if path.exists():
        with np.load(path) as cached:
            if str(cached["fingerprint"]) == fingerprint:
                return cached["keys"].tolist(), cached["vectors"]
    encoded = encoder.encode(
        [{sensor: one} for one in table.paths[primary][there].tolist()],
        workers=workspace.config.embed.workers,
        progress=workspace.progress("audit for leaks"),
    )
    usable = np.isfinite(encoded.vectors).all(axis=1) & (np.linalg.norm(encoded.vectors, axis=1) > 0)
    keys = [key for key, good in zip(keys, usable, strict=True) if good]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(
        content,
        fingerprint=fingerprint,
        keys=np.array(keys, dtype=np.str_),
        vectors=encoded.vectors[usable],
    )
    write_atomic(path, content.getvalue())
    return keys, encoded.vectors[usable]


def _join(
    seen: tuple[list[str], Vectors], units: Sequence[Unit], similarity: float
) -> tuple[list[Unit], int]:
    """Units with the near-duplicates of other units joined to them (union-find over pairs at least that similar)."""
    keys, vectors = seen
    unit_of = {key: i for i, unit in enumerate(units) for key in unit}
    parent = list(range(len(units)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    look, full = 20, np.arange(len(keys))
    while len(full):  # asks again, for more, where even the last neighbour was near enough
        rows, similar = top_k(vectors[full], vectors, look)
        for i, near, values in zip(full.tolist(), rows, similar, strict=True):
            for j in near[values >= similarity].tolist():
                a, b = find(unit_of[keys[i]]), find(unit_of[keys[j]])
                if a != b:
                    parent[max(a, b)] = min(a, b)
        full = full[similar[:, -1] >= similarity] if look < len(keys) else full[:0]
        look *= 4
    groups: dict[int, list[str]] = {}
    for i, unit in enumerate(units):
        groups.setdefault(find(i), []).extend(unit)
    joined = sorted(tuple(sorted(group)) for group in groups.values())
    return joined, sum(len(units[i]) for i in range(len(units)) if find(i) != i)
