"""What a golden check measured, scene by scene and object by object: kept apart from the batch, for later rounds to compare with."""

from __future__ import annotations

from swath.records.base import Record


class Objects(Record):
    """Reference objects of one modality, one place in each tuple per object. `keys`: what an object is known by in every round;
    `scenes`: places in `Measured.scenes`; `wrong`: what is wrong with it (`miss`, `swap`, ...); `values`: how its label differs, in
    the order of `policies.golden_axes` (none of a missed one)."""

    keys: tuple[str, ...] = ()
    scenes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    wrong: tuple[tuple[str, ...], ...] = ()
    values: tuple[tuple[float | None, ...], ...] = ()


class Measured(Record):
    """`errors`, `trials`: axis (`2d miss`) -> a number per scene; `annotators`: modality -> who labelled each scene ("" where several
    did); `objects`: by modality; `extra`: by modality the classes of labels without a reference object."""

    scenes: tuple[str, ...]
    errors: dict[str, tuple[int, ...]]
    trials: dict[str, tuple[int, ...]]
    annotators: dict[str, tuple[str, ...]] = {}
    objects: dict[str, Objects] = {}
    extra: dict[str, tuple[str, ...]] = {}
