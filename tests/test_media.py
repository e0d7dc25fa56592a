"""Hashes of media: of their bytes, remembered by size and time of change."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swath import media
from swath.media import hashes


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths that were read, in sorted order of each call."""
    seen: list[str] = []
    original = media._hash

    def hash_(path: str) -> str:
        seen.append(path)
        return original(path)

    monkeypatch.setattr(media, "_hash", hash_)
    return seen


def write(folder: Path, **content: str) -> dict[str, str]:
    """name -> path of files with this content."""
    out = {}
    for name, text in content.items():
        (folder / name).write_text(text)
        out[name] = str(folder / name)
    return out


def blake(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def test_one_medium_is_hashed_as_it_is(tmp_path: Path) -> None:
    """A scene of one file has that file's hash; equal files have equal hashes, wherever they are."""
    at = write(tmp_path, a="one", b="two", c="one")
    found = hashes(tmp_path / "home", [{"left": at["a"]}, {"left": at["b"]}, {"pcd": at["c"]}], 1)
    assert found == [blake(b"one"), blake(b"two"), blake(b"one")]


def test_several_media_count_with_their_sensors(tmp_path: Path) -> None:
    """The hash of a scene depends on which sensor saw what, not on the order in which they are listed."""
    at = write(tmp_path, a="one", b="two")
    one, two = at["a"], at["b"]
    found = hashes(
        tmp_path / "home", [{"x": one, "y": two}, {"y": two, "x": one}, {"x": two, "y": one}, {"x": one}], 1
    )
    assert found[0] == found[1] == blake(f"x {blake(b'one')}\x1fy {blake(b'two')}".encode())
    assert len(set(found)) == 3


def test_a_file_that_was_read_is_not_read_again(tmp_path: Path, read: list[str]) -> None:
    """Another call reads what is new, alone; the hashes are the same. A scene's files are each read once."""
    at = write(tmp_path, a="one", b="two")
    home = tmp_path / "home"
    first = hashes(home, [{"x": at["a"], "y": at["a"]}, {"x": at["a"]}], 1)
    assert read == [at["a"]]
    assert hashes(home, [{"x": at["a"]}, {"x": at["b"]}], 1) == [first[1], blake(b"two")]
    assert read == [at["a"], at["b"]]


def test_a_file_that_changed_is_read_again(tmp_path: Path, read: list[str]) -> None:
    """Another size, or another time of change: its hash is that of its new bytes, and is remembered."""
    at = write(tmp_path, a="one")
    home = tmp_path / "home"
    hashes(home, [{"x": at["a"]}], 1)
    before = os.stat(at["a"])
    write(tmp_path, a="more")
    os.utime(at["a"], ns=(before.st_atime_ns, before.st_mtime_ns))  # only the size differs
    assert hashes(home, [{"x": at["a"]}], 1) == [blake(b"more")]
    write(tmp_path, a="same")
    os.utime(
        at["a"], ns=(before.st_atime_ns, before.st_mtime_ns + 1)
    )  # only the time differs, by a nanosecond
    assert hashes(home, [{"x": at["a"]}], 1) == [blake(b"same")]
    assert len(read) == 3
    assert hashes(home, [{"x": at["a"]}], 1) == [blake(b"same")]
    assert len(read) == 3


def test_what_cannot_be_read_is_not_remembered(tmp_path: Path, read: list[str]) -> None:
    """A file that is not there is `unreadable`; once it is, it is read. One that went away is unreadable again."""
    path = str(tmp_path / "late")
    home = tmp_path / "home"
    assert hashes(home, [{"x": path}], 1) == ["unreadable"]
    write(tmp_path, late="here")
    assert hashes(home, [{"x": path}], 1) == [blake(b"here")]
    os.unlink(path)
    assert hashes(home, [{"x": path}], 1) == ["unreadable"]
    assert len(read) == 3


def test_a_file_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size and time are known, its bytes were not: rights, or a network that failed. The next call reads it."""
    path = write(tmp_path, a="one")["a"]
    home = tmp_path / "home"
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", lambda *how: (_ for _ in ()).throw(PermissionError()))
        assert hashes(home, [{"x": path}], 1) == ["unreadable"]
    assert hashes(home, [{"x": path}], 1) == [blake(b"one")]


def test_the_cache_may_be_lost(tmp_path: Path) -> None:
    """It is a cache: without it the hashes are the same."""
    at = write(tmp_path, a="one")
    home = tmp_path / "home"
    first = hashes(home, [{"x": at["a"]}], 1)
    (home / "media.sqlite").unlink()
    assert hashes(home, [{"x": at["a"]}], 1) == first
    assert hashes(home, [], 1) == []


def test_many_files_are_remembered_part_by_part(
    tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed before an interruption stays: each part is on disk when the next begins."""
    at = write(tmp_path, **{f"f{i}": str(i) for i in range(7)})
    home = tmp_path / "home"
    monkeypatch.setattr(media, "CHUNK", 3)
    hash_ = media._hash

    def dies(path: str) -> str:
        if path == at["f4"]:
            raise KeyboardInterrupt
        return hash_(path)

    monkeypatch.setattr(media, "_hash", dies)
    with pytest.raises(KeyboardInterrupt):
        hashes(home, [{"x": path} for path in at.values()], 1)
    with sqlite3.connect(home / "media.sqlite") as cache:
        assert [row[0] for row in cache.execute("SELECT path FROM media ORDER BY path")] == sorted(
            at.values()
        )[:3]
    monkeypatch.setattr(media, "_hash", hash_)
    read.clear()
    assert hashes(home, [{"x": path} for path in at.values()], 2) == [
        blake(str(i).encode()) for i in range(7)
    ]
    assert sorted(read) == sorted(at.values())[3:]


@settings(max_examples=20)
@given(
    contents=st.lists(st.binary(max_size=40), min_size=1, max_size=6),
    scenes=st.lists(st.dictionaries(st.sampled_from("xyz"), st.integers(0, 5), min_size=1), max_size=5),
    workers=st.integers(1, 3),
)
def test_hashes_tell_contents_apart(
    tmp_path_factory: pytest.TempPathFactory,
    contents: list[bytes],
    scenes: Sequence[dict[str, int]],
    workers: int,
) -> None:
    """Two scenes have the same hash exactly where each of their sensors has the same bytes, by any number of workers; but a
    scene of one file does not say by which sensor."""
    folder = tmp_path_factory.mktemp("media")
    for i, data in enumerate(contents):
        (folder / f"{i}.bin").write_bytes(data)
    n = len(contents)
    given_ = [{sensor: str(folder / f"{i % n}.bin") for sensor, i in scene.items()} for scene in scenes]
    found = hashes(folder / "home", given_, workers)
    assert found == hashes(folder / "home", given_, 1)

    def seen(scene: dict[str, int]) -> object:
        by = {sensor: contents[i % n] for sensor, i in scene.items()}
        return by if len(by) > 1 else next(iter(by.values()))

    for one, a in zip(scenes, found, strict=True):
        for two, b in zip(scenes, found, strict=True):
            assert (a == b) == (seen(one) == seen(two))
