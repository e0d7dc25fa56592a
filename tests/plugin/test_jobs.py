"""A step in a process of its own: begun once, followed, told from its end; alone."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from swath.errors import ConflictError, SwathError
from swath.plugin.jobs import ERR, JOB, Jobs, Outcome, Progress, dry_run, told

QUICK = (
    "config",
    "--set",
    "seed",
)  # refused before anything heavy is imported: a usage error of the real command line


def test_a_job_ends_as_its_command_does(tmp_path: Path) -> None:
    """What the command line says of a mistake is what the outcome says, with its exit code; the job is known to the next App."""
    jobs = Jobs(tmp_path)
    assert jobs.last() is None
    assert jobs.outcome() is None
    job = jobs.start("nothing", *QUICK)
    ended = jobs.wait(job, 60)
    assert ended is not None
    assert ended.code == 1
    assert "NAME=VALUE" in ended.error
    again = Jobs(tmp_path)
    assert again.last() == job
    assert again.outcome() == ended
    assert job.line == "swath config --set seed --dataset nothing"
    again.forget()
    assert jobs.last() is None


def test_one_at_a_time(tmp_path: Path) -> None:
    """Of many who press at once one begins, the others are told what runs and since when; whoever holds the dataset is named."""
    jobs, began, refused = Jobs(tmp_path), [], []

    def press() -> None:
        try:
            began.append(jobs.start("nothing", *QUICK))
        except ConflictError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=press) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(began) == 1
    assert all(f"`config` runs since {began[0].begun} (process {began[0].pid})" in line for line in refused)
    assert jobs.wait(began[0], 60) is not None
    with pytest.raises(ConflictError, match=r"held by process 7 on there \(train\); nothing was begun"):
        jobs.start("nothing", "next", holder="process 7 on there (train)")
    assert jobs.last() == began[0]


def test_a_job_that_was_killed_is_no_success(tmp_path: Path) -> None:
    """Killed with its shell it leaves no exit code: the outcome says so, and the next job begins."""
    jobs = Jobs(tmp_path)
    job = jobs.start("nothing", *QUICK)
    with_children = [*psutil.Process(job.pid).children(recursive=True), psutil.Process(job.pid)]
    for one in reversed(with_children):
        one.kill()
    deadline = time.monotonic() + 30
    while jobs.running() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    outcome = jobs.outcome()
    assert outcome is not None
    if outcome.code is None:  # else it was quicker than we
        assert outcome.failed
        assert "was killed before it ended" in outcome.error
    assert jobs.wait(jobs.start("nothing", *QUICK), 60) is not None


def test_a_job_outlives_who_began_it(tmp_path: Path) -> None:
    """A job has a session of its own: a signal to the App's group does not reach it."""
    job = Jobs(tmp_path).start("nothing", *QUICK)
    assert os.getpgid(job.pid) != os.getpgid(0)
    assert Jobs(tmp_path).wait(job, 60) is not None


@pytest.mark.parametrize(
    ("err", "error", "more", "ways"),
    [
        ("", "", (), ()),
        ("embed: 30 of 400\nswath: waiting for process 4 on here (fetch), up to 30 s\n", "", (), ()),
        ("train: 1 of 2\nswath: no batch is open\n", "no batch is open", (), ()),
        (
            "swath: blocks\n  two misses\n    swath report --dataset a\n    swath golden --override REASON --dataset a\n",
            "blocks",
            ("two misses",),
            ("swath report --dataset a", "swath golden --override REASON --dataset a"),
        ),
        (
            "Traceback (most recent call last):\n  File\nKeyError: 1\nswath: KeyError: 1\n  this is a defect\n",
            "KeyError: 1",
            ("this is a defect",),
            (),
        ),
    ],
)
def test_what_was_said_on_standard_error(
    err: str, error: str, more: tuple[str, ...], ways: tuple[str, ...]
) -> None:
    """The error is the command line's last line of its own, whatever was said of progress before; ways on are told from the rest."""
    assert told(err) == (error, more, ways)


def test_errors_are_written_as_they_are_read(capfd: pytest.CaptureFixture[str]) -> None:
    """`told` takes apart what the command line puts together."""
    from swath.cli import Out

    error = SwathError("v1 blocks", ways=("swath report --dataset a", "swath round reopen v1 --dataset a"))
    Out(False).error(str(error), 3, *error.lines, ways=error.ways)
    assert told(capfd.readouterr().err) == ("v1 blocks", (), error.ways)


def test_how_far_it_is(tmp_path: Path) -> None:
    """The last line that counts is the progress, thousands with commas too."""
    jobs = Jobs(tmp_path)
    jobs.folder.mkdir()
    assert jobs.progress() == Progress()
    (jobs.folder / ERR).write_text("embed: 3 of 9\ntrain images: 1,200 of 4,000, 12 s left\n")
    assert jobs.progress() == Progress("train images: 1,200 of 4,000, 12 s left", 1200, 4000)


def test_progress_is_written_as_it_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line's own bars, where they go to a file, are what `progress` understands."""
    from swath import show

    jobs = Jobs(tmp_path)
    jobs.folder.mkdir()
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    with show.progress() as bars:
        tick = bars("draw")
        tick(1, 4)
        tick(3, 4)
    (jobs.folder / ERR).write_text(capfd.readouterr().err)
    assert (jobs.progress().done, jobs.progress().of) == (3, 4)


def test_damaged_notes_are_no_job(tmp_path: Path) -> None:
    """A job file that is cut off counts as none."""
    jobs = Jobs(tmp_path)
    jobs.folder.mkdir()
    (jobs.folder / JOB).write_text('{"key": "a", "dat')
    assert jobs.last() is None
    assert dry_run(jobs) is None
    assert Outcome(0).failed is False
