"""Where the tests find the Python that has ultralytics: SWATH_ULTRALYTICS_PYTHON, else what `make ultralytics` makes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

PYTHON = Path(
    os.environ.get("SWATH_ULTRALYTICS_PYTHON")
    or Path(__file__).parents[1] / ".venv-ultralytics" / "bin" / "python"
)
SETTINGS: dict[str, Any] = {"python": PYTHON, "model": "yolov8n.yaml", "seconds": 500}

needed = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"no {PYTHON}: `make ultralytics` makes it, or SWATH_ULTRALYTICS_PYTHON names another",
)
