"""The rounds, one by one: what was asked for, what came, and why each ended as it did."""

from __future__ import annotations

from dataclasses import dataclass

from swath.records.batch import Batch, Evaluated, Figures
from swath.records.manifest import BatchSize
from swath.records.results import Status
from swath.report.known import Known
from swath.suggest import command


@dataclass(frozen=True)
class Row:
    """One round. `figures`: of the model whose failures are mined; `reasons`: (what, why), for how it ended."""

    round: str
    state: str
    batch: BatchSize
    annotated: int | None
    figures: Figures | None
    golden: str | None
    decision: str | None
    why: str | None
    reasons: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Rounds:
    """`scenes` and `drives`: of val, that figures are of; `modality`: of the figures. `final`: evaluations on test."""

    rows: tuple[Row, ...]
    scenes: int
    drives: int
    modality: str
    final: tuple[tuple[str, Evaluated, Figures], ...]
    finally_: str


def data(known: Known) -> Rounds:
    record = known.record
    return Rounds(
        rows=tuple(_row(one, known.status) for one in known.rounds),
        scenes=record.scenes if record else 0,
        drives=known.drives_of_val if record else 0,
        modality=record.modality if record else "2d",
        final=tuple((name, one, one.main) for name, one in sorted(known.loop.steps.final.items())),
        finally_=command("evaluate", known.workspace.name, "--final"),
    )


def _row(batch: Batch, status: Status) -> Row:
    steps = batch.steps
    reasons: list[tuple[str, str]] = []
    for name, ended in (("cancel", steps.cancel), ("close", steps.close)):
        if ended is not None:
            back = f"{ended.returned} scenes went back to the pool"
            reasons.append((name, "; ".join(filter(None, (ended.reason, back)))))
    if steps.golden is not None and steps.golden.override:
        reasons.append(("golden check overridden", steps.golden.override))
    if steps.stop is not None:
        reasons += [(name, one.why) for name, one in steps.stop.criteria.items()]
    return Row(
        round=batch.round,
        state=batch.state,
        batch=batch.size,
        annotated=next((one.annotated for one in status.rounds if one.round == batch.round), None),
        figures=steps.evaluate.main if steps.evaluate else None,
        golden=steps.golden.verdict if steps.golden else None,
        decision=steps.stop.decision if steps.stop else None,
        why=steps.stop.why if steps.stop else None,
        reasons=tuple(reasons),
    )
