"""What the commands that look say of loops; run as a program: in a process that has not loaded FiftyOne, and must not.

python looking.py NAME [KEY ...]     prints one JSON object: what was said, and which heavy libraries came in
"""

from __future__ import annotations

import json
import sys
from typing import Any

from swath.errors import StateError
from swath.loop import Loop

HEAVY = (
    "fiftyone",
    "torch",
    "pandas",
    "scipy",
    "PIL",
    "cv2",
    "matplotlib",
    "plotly",
    "sklearn",
    "eta",
    "mongoengine",
)


def said(name: str, keys: list[str]) -> dict[str, Any]:
    """`--json` of every looking command on the loop of a dataset, each in a loop of its own."""
    out: dict[str, Any] = {
        "where": Loop.where(name).as_json(),
        "status": Loop.open(name).status().as_json(),
        "plan": Loop.open(name).standing().as_json(),
        "explain": [Loop.open(name).explain(key).as_json() for key in keys],
        "rounds": [Loop.open(name).batch(one.round).as_json() for one in Loop.open(name).status().rounds],
    }
    loop = Loop.open(name)
    for what, again in (
        ("golden", loop.last_golden),
        ("stop", loop.last_stopped),
        ("evaluate", loop.last_evaluated),
        ("final", lambda: loop.last_evaluated(final=True)),
    ):
        try:
            out[what] = again().as_json()
        except StateError as error:
            out[what] = str(error)
    return json.loads(json.dumps(out, default=str))  # type: ignore[no-any-return]


if __name__ == "__main__":
    told = {one: said(one, keys.split(",")) for one, keys in (pair.split("=") for pair in sys.argv[1:])}
    print(json.dumps({"said": told, "heavy": [one for one in HEAVY if one in sys.modules]}))
