"""Operators, run as FiftyOne's server runs them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Returned = TypeVar("Returned")


def to_its_end(call: Callable[[], Returned]) -> Returned:
    """What `call` gives back, in a thread without an event loop, as FiftyOne's server runs operators: where one runs (a browser of
    another test leaves its own in this thread), FiftyOne gives back a task that nobody finishes."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()
