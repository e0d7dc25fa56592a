"""How far several labellings of the same scenes agree."""

from __future__ import annotations

from swath.records.base import Estimate, Record


class ClassAgreement(Record):
    """`objects`: that somebody gave this class; `ambiguous`: those that the labellings differ on; `alpha`: this class against all
    others and *nothing*, beyond chance, by scene."""

    objects: int
    ambiguous: int
    alpha: Estimate


class Agreement(Record):
    """Of one modality. `scenes` with two labellings or more; `objects` that any of them saw; `ambiguous`: those that they differ
    on; `scenes_ambiguous`: scene -> share of its objects that are ambiguous, where there are any."""

    scenes: int
    objects: int
    ambiguous: int
    alpha: Estimate
    classes: dict[str, ClassAgreement] = {}
    scenes_ambiguous: dict[str, float] = {}

    @property
    def share(self) -> float | None:
        """The share of ambiguous objects."""
        return self.ambiguous / self.objects if self.objects else None
