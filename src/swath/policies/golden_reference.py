"""How good the reference itself is, and what its errors add to those of the annotators.

An object that the reference lacks makes a right label an extra one; one that it invented makes a right labelling miss it. So the
rate at which annotators seem to err is the accepted one together with the reference's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal

from swath import life
from swath.config import Golden
from swath.policies.golden_axes import KINDS
from swath.records.batch import Batch, ReferenceQuality

Made = Literal["single", "adjudicated", "majority"]
PARTNER: Final = {"miss": "extra", "extra": "miss"}
"""Which error of the reference looks like which error of a label; others look like themselves."""
WORTH: Final = 50.0  # objects that the settings' rates are worth beside those that opinions were compared on


def made(batches: Iterable[Batch], settings: Golden) -> Made:
    """As the settings say, else as they said when the reference was made; else a majority where three were asked. Of two labellings it
    is adjudicated once all that they see differently is decided, and single before."""
    there = [one for one in life.references(list(batches), final=False) if not one.cancelled]
    last = there[-1] if there else None
    if last is not None and last.slots == 2 and settings.reference in (None, "adjudicated"):
        return "adjudicated" if last.decided else "single"
    if settings.reference is not None:
        return settings.reference
    if last is not None and last.steps.fetch is not None and last.steps.fetch.made is not None:
        return last.steps.fetch.made
    return "majority" if last is not None and last.slots >= 3 else "single"


def quality(
    how: Made, settings: Golden, opinions: Mapping[str, tuple[int, int]] | None = None
) -> ReferenceQuality:
    """The reference's own error rates. opinions: kind (`miss`, ...) -> (errors, trials) of single labellings against the reference,
    where there are some; else the settings' share of the accepted rates, which they are also drawn towards."""
    heard = opinions or {}
    rates = {}
    for kind in KINDS:
        prior = min(settings.reference_errors * float(getattr(settings, kind)), 0.9)
        errors, trials = heard.get(kind, (0, 0))
        one = (prior * WORTH + errors) / (WORTH + trials)
        rates[kind] = round(_left(how, kind, one, settings.icc), 6)
    told = max((trials for _, trials in heard.values()), default=0)
    return ReferenceQuality(made=how, rates=rates, source="opinions" if told else "settings", labellings=told)


def _left(how: Made, kind: str, rate: float, icc: float) -> float:
    """What is left of one labelling's error rate. Two labellings of a hard scene err together more often than by chance: their
    scene has one rate, from a beta distribution around `rate`. Objects that nobody has are invented each for itself."""
    if how == "single":
        return rate
    shared = 0.0 if kind == "extra" else icc
    two = rate * (rate + shared * (1 - rate))  # E[p^2]
    if how == "adjudicated":
        return min(two + 2 * (rate - two) * rate, rate)  # who decides errs as often
    three = two * (rate * (1 - shared) + 2 * shared) / (1 + shared)  # E[p^3]
    return min(3 * two - 2 * three, rate)


def expected(settings: Golden, reference: ReferenceQuality, kind: str) -> float:
    """The rate at which annotators who err at the accepted one seem to, against this reference."""
    own = reference.rates.get(PARTNER.get(kind, kind), 0.0)
    return 1 - (1 - float(getattr(settings, kind))) * (1 - own)


def cost(reference: ReferenceQuality) -> str:
    """How it was made and what that costs, in words."""
    share = f"{100 * reference.rates['miss']:.1f} % of its objects missing"
    told = (
        f"from {reference.labellings} labels of opinions"
        if reference.source == "opinions"
        else "by the settings"
    )
    how = {
        "single": "one labelling: its own errors count as the annotators', so that only larger deviations can be seen",
        "adjudicated": "two labellings whose differences were decided",
        "majority": "a majority of three",
    }[reference.made]
    return f"the reference is {how}; it is taken to have {share} ({told})"
