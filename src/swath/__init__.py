"""swath: decide which multi-sensor scenes to label next, and run the whole loop around their labels, on FiftyOne.

    from swath import Loop

    loop = Loop.open("drives")
    print(loop.next())

`import swath` is quick: FiftyOne and torch are loaded when a loop is opened and a model is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swath.errors import (
    ConfigError,
    ConflictError,
    DatabaseError,
    FencedError,
    FormatError,
    FrozenSplitError,
    IntegrityError,
    StateError,
    SwathError,
    UnknownNameError,
    WaitingError,
)

if TYPE_CHECKING:
    from swath.config import LoopConfig
    from swath.loop import Loop

__version__ = "0.2.0"

__all__ = [
    "ConfigError",
    "ConflictError",
    "DatabaseError",
    "FencedError",
    "FormatError",
    "FrozenSplitError",
    "IntegrityError",
    "Loop",
    "LoopConfig",
    "StateError",
    "SwathError",
    "UnknownNameError",
    "WaitingError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "Loop":
        from swath.loop import Loop

        return Loop
    if name == "LoopConfig":
        from swath.config import LoopConfig

        return LoopConfig
    raise AttributeError(f"module 'swath' has no attribute {name!r}; it has {', '.join(__all__)}")
