"""The screen of a backtest."""

from __future__ import annotations

from swath.records.backtest import Against, BacktestResult, Part
from swath.show.given import result
from swath.show.lines import cell, line, notes, table
from swath.words import UNKNOWN, number, signed


@result.register
def backtest(value: BacktestResult) -> None:
    score, mine, pool = (value.parts[name] for name in ("score", "mine", "pool"))
    line(f"backtest of {value.dataset}: {value.seeds} seeds, {value.rounds} rounds, trainer {value.trainer}")
    line(f"  scored on {_part(score)}, held out from every arm; failures are mined on {_part(mine)}")
    line(f"  chosen from {_part(pool)}")
    if value.pilot is not None and value.pilot.detectable is not None:
        line(f"  the pilot said: a difference of about {value.pilot.detectable:.3f} mAP50 would be seen")
    drawn = "boxes" if value.modality == "2d" else "cuboids"
    if value.curves:
        columns = {"  arm": "left", **{f"round {one.round}": "right" for one in value.curves[0].points}}
        table(
            {**columns, drawn: "right", "minutes": "right"},
            [
                (
                    f"  {cell(one.arm)}",
                    *(number(point.figures["map50"].value) for point in one.points),
                    f"{one.points[-1].boxes:.0f}",
                    f"{one.points[-1].minutes:.0f}",
                )
                for one in value.curves
            ],
        )
        words = dict.fromkeys(("mAP50", "rare classes", f"{drawn} to target", "would see"), "right")
        rows = [_row(one) for one in value.against if one.cost == "boxes"]
        table({f"  against random, over {drawn}": "left", **words}, rows)
    notes(value.notes)
    for sentence in value.sentences:
        line(sentence)
    if value.page:
        line(f"{value.page}")


def _part(part: Part) -> str:
    """`51 scenes of 11 to 12 drives`."""
    scenes, drives = (
        str(low) if low == high else f"{low} to {high}" for low, high in (part.scenes, part.drives)
    )
    return f"{scenes} scenes of {drives} drives"


def _row(one: Against) -> tuple[str, ...]:
    ratio = one.ratio
    share = number(ratio.value, 2)
    if ratio.low is not None and ratio.high is not None:
        share += f" ({ratio.low:.2f} to {ratio.high:.2f})"
    rare = one.figures.get("rare")
    return (
        f"  {cell(one.arm)}",
        signed(one.figures["map50"]),
        signed(rare) if rare else UNKNOWN,
        share,
        number(one.detectable),
    )
