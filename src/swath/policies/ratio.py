"""How much of a batch goes to coverage, where the ratio adapts (`select.ratio`): by what each stream was worth so far. Pure.

A stream's worth in a round is the errors that the model of the round before makes on its scenes, before a model learns from them,
per minute of labelling. The share follows by Hedge (Freund and Schapire, JCSS 1997) over two experts. Reasons, and when it
misleads: docs/methods/allocation.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from math import exp, log, sqrt
from typing import Final

from swath.config import ADAPTIVE, Cost
from swath.records.batch import Failure
from swath.records.manifest import Ratio, RatioMove, RoundWorth, Stream, StreamWorth

ROUNDS: Final = 10  # that a loop is thought to have: with more, the rate would be smaller
RATE: Final = sqrt(8 * log(2) / ROUNDS)  # Cesa-Bianchi and Lugosi 2006, theorem 2.2, for two experts
PRIOR: Final = 20  # scenes like the round's average that each stream has besides: few scenes say little
TOLD: Final = 3  # rounds that a reason names


def price(cost: Cost, boxes: int, cuboids: int) -> float:
    """Seconds that a scene with so many objects costs to label."""
    return cost.scene + cost.box * boxes + cost.cuboid * cuboids


def worth(
    name: str, streams: Mapping[str, Stream], seconds: Mapping[str, float], failures: Iterable[Failure]
) -> RoundWorth:
    """What the streams of round `name` were worth. `streams`: labelled scene -> its stream; `seconds`: what each cost; `failures`:
    those of them that the model of the round before gets wrong (`policies.failures.rank`)."""
    errors = {one.key: one.evidence for one in failures}

    def of(stream: Stream) -> StreamWorth:
        keys = sorted(key for key, one in streams.items() if one == stream)
        return StreamWorth(
            scenes=len(keys),
            seconds=round(sum(seconds[key] for key in keys), 6),
            errors=round(sum(errors.get(key, 0.0) for key in keys), 6),
        )

    coverage, targeted = of("coverage"), of("targeted")
    return RoundWorth(
        round=name, coverage=coverage, targeted=targeted, unknown=_says_nothing(coverage, targeted)
    )


def _says_nothing(coverage: StreamWorth, targeted: StreamWorth) -> str | None:
    """Why these two cannot be compared; None where they can."""
    if not coverage.scenes or not targeted.scenes:
        return f"no {'targeted' if coverage.scenes else 'coverage'} scene of it was labelled"
    if not coverage.seconds + targeted.seconds:
        return "its labels cost nothing (`cost`)"
    if not coverage.errors + targeted.errors:
        return "the model before had no error in it"
    return None


def learned(start: str, rounds: Sequence[RoundWorth], number: int) -> Ratio:
    """The ratio of round `number`: begins at `start`, and moves with each round that says something, never out of `ADAPTIVE`."""
    low, high = (float(bound) for bound in ADAPTIVE)
    share, moves = float(Fraction(start)), []
    for one in rounds:
        pair = per_minute(one)
        if pair is None:
            continue
        share = min(max(moved(share, *pair), low), high)
        coverage, targeted = (round(worth, 4) for worth in pair)
        moves.append(RatioMove(round=one.round, coverage=coverage, targeted=targeted, share=round(share, 4)))
    spelled = f"{share:.2f}" if moves else start
    return Ratio(
        share=spelled, start=start, moves=tuple(moves), reason=_reason(start, spelled, rounds, moves, number)
    )


def per_minute(one: RoundWorth) -> tuple[float, float] | None:
    """Errors per minute of labelling of (coverage, targeted), each as if `PRIOR` more scenes like the round's average had been in
    its stream; None where nothing can be said."""
    if one.coverage is None or one.targeted is None or _says_nothing(one.coverage, one.targeted):
        return None
    scenes = one.coverage.scenes + one.targeted.scenes
    errors = PRIOR * (one.coverage.errors + one.targeted.errors) / scenes
    minutes = PRIOR * (one.coverage.seconds + one.targeted.seconds) / scenes / 60

    def drawn(stream: StreamWorth) -> float:
        return (stream.errors + errors) / (stream.seconds / 60 + minutes)

    return drawn(one.coverage), drawn(one.targeted)


def moved(share: float, coverage: float, targeted: float) -> float:
    """The share for coverage after a round in which the streams were worth so much: Hedge, rewards as shares of both."""
    total = coverage + targeted
    odds = share / (1 - share) * exp(RATE * (coverage - targeted) / total)
    return odds / (1 + odds)


# ---------------------------------------------------------------------- in words


def _reason(
    start: str, share: str, rounds: Sequence[RoundWorth], moves: Sequence[RatioMove], number: int
) -> str:
    told = [_told(one, moves) for one in rounds[-TOLD:]]
    if len(rounds) > TOLD:
        told.insert(0, f"{len(rounds) - TOLD} earlier rounds: `--json` has them")
    why = "; ".join(told) or "no round with both streams is labelled yet"
    if not moves:
        return f"adaptive ratio: coverage keeps its {start} of v{number}, nothing is known of what the streams are worth ({why})"
    return f"adaptive ratio: coverage gets {share} of v{number}; it began with {start} ({why})"


def _told(one: RoundWorth, moves: Sequence[RatioMove]) -> str:
    move = next((move for move in moves if move.round == one.round), None)
    if move is None or one.coverage is None or one.targeted is None:
        return f"{one.round}: {one.unknown}"
    return (
        f"{one.round}: {move.coverage:.2f} errors per minute of labelling in {one.coverage.scenes} scenes for coverage, "
        f"{move.targeted:.2f} in {one.targeted.scenes} targeted ones: {move.share:.2f}"
    )
