"""Made worlds, in which everything is known: for the demo, tests and benchmarks."""

from swath.worlds.make import World, make_world

__all__ = ["World", "make_world"]
