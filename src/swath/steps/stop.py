"""Go on, or stop? A decision with the number of every criterion, recorded; it closes the round.

target     the lower bound of mAP has reached the target
plateau    the last gains are below what a round is worth, and no more is expected of the next batch
pool       nothing is left to label
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swath.kernels.curves import next_gain, plateau
from swath.steps.check import latest
from swath.steps.workspace import Workspace, settle


@dataclass(frozen=True)
class StopResult:
    """`criteria`: name -> stop (True, False, or None where it cannot say yet), why, and its numbers."""

    round: str
    decision: str
    why: str
    criteria: Mapping[str, Mapping[str, Any]]


def stop(workspace: Workspace) -> StopResult:
    """Decides after the last evaluation, and closes the round."""
    with workspace.writer("stop") as writer:
        batch = latest(workspace, "evaluated")
        name, config = batch["round"], workspace.config
        rounds = [
            one
            for one in workspace.journal.rounds()
            if "evaluate" in one["steps"] and one["state"] != "cancelled"
        ]
        figures = [one["steps"]["evaluate"]["map"] for one in rounds]
        values = [figure["value"] or 0.0 for figure in figures]
        sizes = [one["steps"]["train"]["images"] for one in rounds]
        now = figures[-1]
        states = workspace.states()
        skipped = {row["key"] for row in workspace.journal.assignments(role="pool", state="skipped")}
        left = sum(
            states[key].status == "unlabeled" and key not in skipped for key in workspace.members("pool")
        )
        flat = plateau(
            values,
            [f["low"] for f in figures],
            [f["high"] for f in figures],
            config.stop.min_gain,
            config.stop.patience,
        )
        budget = min(max(int(config.select.share * left), config.select.min), left)
        expected = next_gain(sizes, values, sizes[-1] + budget)
        worthless = expected.gain is not None and expected.gain < config.stop.min_gain
        criteria: dict[str, dict[str, Any]] = {
            "target": {
                "stop": None
                if config.stop.target is None
                else bool(now["low"] is not None and now["low"] >= config.stop.target),
                "target": config.stop.target,
                "map": now["value"],
                "low": now["low"],
                "why": "no target is set"
                if config.stop.target is None
                else f"lower bound of mAP {_number(now['low'])}, target {config.stop.target:.3f}",
            },
            "plateau": {
                "stop": None if flat.flat is None else flat.flat and worthless,
                "gains": list(flat.gains),
                "gain_low": flat.gain_low,
                "gain_high": flat.gain_high,
                "next_gain": expected.gain,
                "min_gain": config.stop.min_gain,
                "why": f"{flat.reason}; next batch: {_number(expected.gain)} expected ({expected.reason})",
            },
            "pool": {"stop": left == 0, "left": left, "why": f"{left} pool scenes are left"},
        }
        stops = [criterion for criterion, values in criteria.items() if values["stop"]]
        decision = "stop" if stops else "continue"
        why = "; ".join(f"{one}: {criteria[one]['why']}" for one in stops) or "no criterion says stop"
        record = {"decision": decision, "why": why, "criteria": criteria}
        workspace.journal.advance(writer, name, "evaluated", "closed", {"stop": record})
        settle(workspace, writer)
    return StopResult(name, decision, why, criteria)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
