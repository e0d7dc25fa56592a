"""Folders of scenes: the files by stem, `drives.txt`, and what in them is not expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from swath.errors import some
from swath.formats.damage import Damage, DamageError

LARGEST_LIST = 256 * 2**20  # bytes; no list of frames is longer


def listed(folder: Path, endings: Sequence[str]) -> tuple[dict[str, Path], list[Damage]]:
    """The files of `folder` by stem that end in one of `endings`, and one Damage for each other thing in
    it."""
    files: dict[str, Path] = {}
    damages: list[Damage] = []
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        return {}, [Damage(str(folder), None, f"can't be read: {error.strerror}")]
    for path in entries:
        if not path.is_file() or path.suffix.lower() not in endings or path.name.startswith("."):
            reason = f"unexpected: expected files that end in {' or '.join(endings)}"
        elif not path.name.isprintable():
            reason = "not used: expected a name in UTF-8 without control characters; rename it"
        elif path.stem in files:
            reason = f"unexpected: {files[path.stem].name} is there too, and is used"
        else:
            files[path.stem] = path
            continue
        damages.append(Damage(str(path), None, reason))
    return files, damages


def read_text(path: Path, largest: int = LARGEST_LIST) -> bytes:
    """The bytes of a file. DamageError where it can't be read, or is larger than `largest` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise DamageError(Damage(str(path), None, f"can't be read: {error.strerror}")) from error
    if len(data) > largest:
        raise DamageError(Damage(str(path), None, f"expected at most {largest:,} bytes, it is larger"))
    return data


class Drives:
    """`drives.txt`: which drive each frame comes from. Of several `places` the first that there is counts.

    `of`: frame -> drive. `path`: the file that counts, None where there is none.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.of: dict[str, str] = {}
        self.damages: list[Damage] = []
        self._lines: dict[str, int] = {}
        found = [path for path in dict.fromkeys(places) if path.is_file()]
        self.path = found[0] if found else None
        self.damages += [Damage(str(path), None, f"not used: {found[0]} is used") for path in found[1:]]
        if self.path is None:
            return
        try:
            text = read_text(self.path).decode("utf-8-sig", errors="replace")
        except DamageError as error:
            self.damages.append(error.damage)
            self.path = None
            return
        for number, line in enumerate(text.split("\n"), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) != 2:
                self._refuse(number, f"expected `frame drive`, got {len(words)} words")
            elif len(words[1]) > 200 or not words[1].isprintable():
                self._refuse(number, "expected a drive's name of at most 200 printable characters")
            elif words[0] in self.of:
                self._refuse(
                    number, f"frame {words[0]} comes a second time (first in line {self._lines[words[0]]})"
                )
            else:
                self.of[words[0]], self._lines[words[0]] = words[1], number

    def _refuse(self, line: int, reason: str) -> None:
        self.damages.append(Damage(str(self.path), line, reason))

    def unmatched(self, keys: Sequence[str]) -> Iterator[Damage]:
        """Lines without a frame (each), and frames without a line (together)."""
        if self.path is None:
            return
        for key in sorted(self.of.keys() - set(keys)):
            yield Damage(str(self.path), self._lines[key], f"not used: no image or cloud is named {key}")
        without = [key for key in keys if key not in self.of]
        if without:
            yield Damage(
                str(self.path),
                None,
                f"{len(without)} frames are not listed and have no drive: {some(without)}",
            )


def relative(file: str, root: Path) -> str:
    """`file` as seen from `root`, with slashes; as it is where it lies elsewhere."""
    try:
        return Path(file).relative_to(root).as_posix()
    except ValueError:
        return file
