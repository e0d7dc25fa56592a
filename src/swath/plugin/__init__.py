"""swath in FiftyOne's App: a panel that says where the loop stands, and an operator for every step that a person triggers.

    contents    what the panel says: read from a loop, or from a work set
    plots       its charts, as plotly draws them
    jobs        a step in a process of its own (the command line), and what came of it
    install     links this folder into FiftyOne's plugins folder: FiftyOne finds plugins no other way
    _panel, _steps, _marks, _forms      FiftyOne's classes: imported by `register` alone

FiftyOne loads this file under a name of its own and calls `register`. A step is `python -m swath ...`: the App runs nothing that
the command line does not.
"""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Called by FiftyOne: gives it the panel and the operators that `fiftyone.yml` names."""
    from swath.plugin import _marks, _panel, _steps

    for one in (*_panel.ALL, *_steps.ALL, *_marks.ALL):
        plugin.register(one)
