"""The drives of KITTI's object training set, from the mapping files of its development kit.

Source: `readme.txt` of the object development kit, section "Mapping to raw data"
(http://www.cvlibs.net/datasets/kitti/eval_object.php, `devkit_object.zip`, folder `mapping`).

    train_rand.txt       numbers 1 .. n, each once, with commas: the k-th (0-based) is of the image number k
    train_mapping.txt    line i (1-based): `date drive frame` of the raw recordings

Image 000000 has the first number of train_rand.txt, 7282; line 7282 of train_mapping.txt is
`2011_09_28 2011_09_28_drive_0106_sync 0000000048`. The kit maps training images only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swath.errors import some
from swath.formats.damage import Damage, DamageError
from swath.formats.folders import read_text

PLACES = (".", "mapping", "devkit/mapping", "devkit_object/mapping", "training", "training/mapping")
MAPPING, RAND = "train_mapping.txt", "train_rand.txt"


def drives(root: Path, keys: Sequence[str]) -> tuple[dict[str, str], list[Damage]]:
    """The drive of each frame of `keys` that the mapping files below `root` know, and what is wrong with
    them.

    Nothing at all where there are none. Both files must be in one place; with bad lines their frames have no
    drive.
    """
    folders = [root / place for place in PLACES]
    there = [folder for folder in folders if (folder / MAPPING).is_file() or (folder / RAND).is_file()]
    if not there:
        return {}, []
    folder = there[0]
    damages: list[Damage] = []
    texts: dict[str, str] = {}
    for name in (MAPPING, RAND):
        try:
            texts[name] = read_text(folder / name).decode("utf-8-sig", errors="replace")
        except DamageError as error:
            damages.append(error.damage)
    if damages:
        return {}, damages
    lines = [line.split() for line in texts[MAPPING].rstrip().split("\n")]
    numbers = [word.strip() for word in texts[RAND].strip().strip(",").split(",")]
    found: dict[str, str] = {}
    bad_lines: set[int] = set()
    without: list[str] = []
    for key in keys:
        line = _line(key, numbers)
        words = lines[line - 1] if line and line <= len(lines) else None
        if words is not None and len(words) != 3 and line not in bad_lines:
            bad_lines.add(line)
            reason = f"expected `date drive frame`, got {len(words)} words; frame {key} has no drive"
            damages.append(Damage(str(folder / MAPPING), line, reason))
        elif words is not None and len(words) == 3:
            date, drive, _ = words
            found[key] = drive if drive.startswith(date) else f"{date}_{drive}"
        else:
            without.append(key)
    if without:
        reason = f"{len(without)} frames are not in the mapping and have no drive: {some(without)}"
        damages.append(Damage(str(folder / RAND), None, reason))
    return found, damages


def _line(key: str, numbers: Sequence[str]) -> int:
    """The line, 1-based, of train_mapping.txt that belongs to the frame `key`; 0 where none does."""
    if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(numbers)):
        return 0
    number = numbers[int(key)]
    return int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
