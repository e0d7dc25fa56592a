"""A short walk of the fuzzer, always the same one; `make fuzz` goes on for minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fuzz

PROGRAM = Path(fuzz.__file__)


def test_a_short_walk_breaks_nothing(mongod: str) -> None:
    """A few scenarios of a fixed seed: every command ends as documented, and says so; the walk tells its seed and counts."""
    asked = [
        "--minutes",
        "3",
        "--seed",
        "11",
        "--scenarios",
        "2",
        "--uri",
        mongod,
        "--database",
        "swath-fuzz",
    ]
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *asked], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.startswith("seed 11\n")
    assert " runs, 0 broken" in done.stdout.splitlines()[-1]


def broken(code: int, err: str = "", out: str = "", *more: str) -> list[str]:
    return fuzz.broken(fuzz.Run(("status", *more), "child", code, out, err))


def test_the_fuzzer_notices() -> None:
    """What must not be is told from what may: codes, tracebacks, escapes, silence, words of libraries, JSON that is none."""
    assert broken(0, "", "fine\n") == []
    assert broken(1, "swath: no dataset\n") == []
    assert broken(0, "", '{"a": 1}\n', "--json") == []
    assert broken(4, "swath: x\n") == ["exit code 4"]
    assert broken(-9) == ["exit code -9"]
    assert broken(0, "Traceback (most recent call last)") == ["a traceback"]
    assert broken(130, "swath: interrupted\n") == ["interrupted by nobody"]
    assert broken(1) == ["no line that says why"]
    assert broken(1, "swath: a\nswath: b\n") == ["more than one line for a mistake"]
    assert broken(0, "", "\x1b[31m") == ["what a terminal obeys: '\\x1b'"]
    assert broken(1, "swath: Input should be 3\n") == ["says 'Input should'"]
    assert broken(0, "", "{}\n{}\n", "--json") == ["stdout is no JSON"]
    assert broken(0, "", "[]\n", "--json") == ["not one object on stdout"]
