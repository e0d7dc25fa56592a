"""Does choosing beat chance? What the last backtest in the dataset's folder found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swath.records.backtest import Against, BacktestResult
from swath.report import backtest
from swath.report.known import Known
from swath.suggest import command


@dataclass(frozen=True)
class Asked:
    """`found`: None where there is none, or it cannot be read (`why`); `ask`: the command that makes one; `page`: where its own page
    is, beside the report."""

    ask: str
    why: str | None = None
    found: BacktestResult | None = None
    page: str = f"{backtest.FOLDER}/{backtest.PAGE}"

    @property
    def charts(self) -> Sequence[backtest.Chart]:
        return backtest.charts(self.found) if self.found else ()

    @property
    def rows(self) -> Sequence[Against]:
        return backtest.rows(self.found, "boxes") if self.found else ()

    @property
    def by_minutes(self) -> Sequence[Against]:
        return backtest.rows(self.found, "minutes") if self.found else ()

    @property
    def drawn(self) -> str:
        return backtest.drawn(self.found) if self.found else ""


def data(known: Known) -> Asked:
    ask = command("backtest", known.workspace.name, "--from", "FIELD")
    path = known.workspace.home / backtest.FOLDER / backtest.RESULT
    try:
        return Asked(ask, found=BacktestResult.model_validate_json(path.read_bytes()))
    except FileNotFoundError:
        return Asked(ask)
    except (OSError, ValueError):
        return Asked(
            ask, why=f"{backtest.FOLDER}/{backtest.RESULT} cannot be read: make it anew with `{ask}`"
        )
