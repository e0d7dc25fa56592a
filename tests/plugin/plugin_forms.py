"""Reading the forms that operators resolve to."""

from __future__ import annotations

from typing import Any


def properties(form: dict[str, Any]) -> dict[str, Any]:
    """Field -> how it is drawn."""
    return dict(form["type"]["properties"])


def refusal(form: dict[str, Any]) -> str | None:
    """Why a form cannot be sent; None where it can."""
    found = properties(form).get("cannot")
    return str(found["error_message"]) if found else None
