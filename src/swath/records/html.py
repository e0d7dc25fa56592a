"""Records as small tables, for notebooks: the one place where a result becomes HTML. All that is shown is escaped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from html import escape
from typing import Any, Final

ROWS: Final = 20  # of a list that are shown
CELL = "text-align:left;vertical-align:top;padding:3px 12px 3px 0"
TABLE = "border-collapse:collapse;font-size:13px"


def table(title: str, fields: Mapping[str, Any]) -> str:
    """A value with named `fields`: one row each, under its `title`."""
    rows = "".join(
        f'<tr><th style="{CELL}">{escape(name.replace("_", " "))}</th><td style="{CELL}">{cell(value)}</td></tr>'
        for name, value in fields.items()
    )
    head = f'<caption style="{CELL};font-weight:bold">{escape(title)}</caption>'
    return f'<div style="overflow-x:auto"><table style="{TABLE}">{head}{rows}</table></div>'


def cell(value: Any) -> str:
    """Any value that a record may have, as HTML."""
    if value is None or (isinstance(value, Collection) and not isinstance(value, str) and not value):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return escape(f"{value:.4g}")
    if fields := _fields(value):
        return _estimate(fields) if set(fields) == {"value", "low", "high"} else _rows([fields])
    if isinstance(value, Mapping):
        plain = all(isinstance(one, str | int | float | None) for one in value.values())
        if plain:
            return escape(", ".join(f"{name}: {_short(one)}" for name, one in value.items()))
        return _rows([{"": name, **(_fields(one) or {"value": one})} for name, one in value.items()])
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _listed(value)
    return escape(str(value))


def _listed(values: Sequence[Any]) -> str:
    """A list: a table where its entries have the same fields or are tuples, else a line each."""
    shown = values[:ROWS]
    fields = [_fields(one) for one in shown]
    if all(isinstance(one, tuple) and one for one in shown):
        inner = _rows([dict(enumerate(one)) for one in shown], head=False)
    elif all(fields) and len({tuple(one) for one in fields}) == 1:
        inner = _rows(fields)
    else:
        inner = "<br>".join(cell(one) for one in shown)
    more = len(values) - len(shown)
    return inner + (f"<br>and {more} more" if more else "")


def _rows(listed: Iterable[Mapping[Any, Any]], *, head: bool = True) -> str:
    """A table with a column for each field."""
    rows = list(listed)
    names = "".join(f'<th style="{CELL}">{escape(str(name).replace("_", " "))}</th>' for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{cell(one)}</td>' for one in row.values()) + "</tr>"
        for row in rows
    )
    return f'<table style="{TABLE}">{f"<tr>{names}</tr>" if head else ""}{body}</table>'


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a record or a dataclass, none of anything else."""
    if hasattr(type(value), "model_fields"):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else {}


def _estimate(fields: Mapping[str, Any]) -> str:
    """`0.310 (0.220 to 0.400)`."""
    value, low, high = fields["value"], fields["low"], fields["high"]
    inside = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    return "–" if value is None else f"{value:.3f}{inside}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
