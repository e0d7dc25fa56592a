"""Does choosing beat chance? What the last backtest in the dataset's folder found."""

from __future__ import annotations

from dataclasses import dataclass

from swath.records.backtest import BacktestResult
from swath.report import backtest
from swath.report.known import Known
from swath.suggest import command


@dataclass(frozen=True)
class Asked:
    """`shown`: None where there is none, or it cannot be read (`why`); `ask`: the command that makes one; `page`: where its own page is,
    beside the report."""

    ask: str
    why: str | None = None
    shown: backtest.Shown | None = None
    page: str = f"{backtest.FOLDER}/{backtest.PAGE}"


def data(known: Known) -> Asked:
    ask = command("backtest", known.workspace.name, "--from", "FIELD")
    path = known.workspace.home / backtest.FOLDER / backtest.RESULT
    try:
        return Asked(ask, shown=backtest.shown(BacktestResult.model_validate_json(path.read_bytes())))
    except FileNotFoundError:
        return Asked(ask)
    except (OSError, ValueError):
        return Asked(
            ask, why=f"{backtest.FOLDER}/{backtest.RESULT} cannot be read: make it anew with `{ask}`"
        )
