"""Do the quick tests notice when a decision is wrong? Plants bugs one at a time and runs the tests of the module they are in.

    make mutants                                     all of them, and what is kept in benchmarks/results/mutants.md
    python tests/mutants.py --only plateau           those with a name that contains this, or of a file (`life.py`)
    python tests/mutants.py --auto 200 --seed 1      another sample of the automatic ones

Planted by hand: `MUTANTS`, each a way in which a decision could go wrong (the first five went unnoticed in 0.1.0). A mutant
whose old text does not stand exactly once in its file is stale: it is mended here, or it goes. Drawn by chance: operators of
the decision modules (comparisons, plus and minus, and and or, 0 and 1, min and max, sorted, not), `--auto` of them.

For each, `src/swath` is copied to a folder of its own, changed there, and the tests of `TESTS` run on the copy until the first
one fails. Nothing else is killed: a copy that was not the one imported, or tests that fail without a mutant, end this program.
Exit 1 if a bug that was planted by hand survives or is stale. Of those drawn by chance some change nothing that anybody could
see; `EQUAL` says of which that is known, and why.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
SOURCE: Final = ROOT / "src" / "swath"
RESULTS: Final = ROOT / "benchmarks" / "results" / "mutants.md"
SECONDS: Final = 300  # a mutant that takes longer never ends: that is noticed too
MEMORY: Final = 4 * 2**30  # bytes: so is one that takes more

TESTS: Final = {
    "life.py": ("test_life.py",),
    "projection.py": ("test_projection.py",),
    "policies/selection.py": ("policies/test_selection.py",),
    "policies/failures.py": ("policies/test_failures.py", "policies/test_edges.py"),
    "policies/golden.py": ("policies/test_golden.py", "policies/test_edges.py"),
    "policies/golden_verdict.py": ("policies/test_golden_verdict.py",),
    "policies/golden_reference.py": ("policies/test_golden_verdict.py",),
    "policies/golden_plan.py": ("policies/test_golden_verdict.py",),
    "policies/ratio.py": ("policies/test_ratio.py",),
    "policies/objects.py": ("policies/test_objects.py",),
    "policies/chance.py": ("policies/test_chance.py",),
    "policies/gain.py": ("policies/test_gain.py",),
    "policies/stopping.py": ("policies/test_stopping.py", "policies/test_edges.py"),
    "kernels/curves.py": ("kernels/test_curves.py", "policies/test_stopping.py"),
    "kernels/drift.py": ("kernels/test_drift.py", "policies/test_golden_verdict.py"),
    "kernels/clustered.py": ("kernels/test_clustered.py",),
    "kernels/deviations.py": ("kernels/test_deviations.py",),
    "kernels/allocate.py": ("policies/test_selection.py", "kernels/test_allocate.py"),
    "kernels/zcore.py": ("policies/test_selection.py",),
    "records/batch.py": ("test_life.py", "records/test_records.py"),
    "records/migrate.py": ("records/test_migrate.py",),
    "store/journal/codec.py": ("records/test_migrate.py", "records/test_records.py"),
    "store/table.py": ("store/test_table.py",),
    "labels/channels.py": ("labels/test_channels.py",),
    "steps/init.py": ("test_splits.py",),
    "steps/splits.py": ("test_splits.py",),
    "media.py": ("test_media.py",),
}
"""File -> the quick tests that must notice what goes wrong in it: no database, no FiftyOne."""
AUTOMATIC: Final = (
    "life.py",
    "projection.py",
    "policies/failures.py",
    "policies/golden.py",
    "policies/selection.py",
    "policies/stopping.py",
)


class Mutant(NamedTuple):
    """A change of one file: `old`, which stands there once, becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS: Final = (
    # ------------------------------------------------------------------ what 0.1.0's tests did not notice
    Mutant(
        "failure:high_* pile up over rounds",
        "projection.py",
        "more = failure.kinds if batch is evaluated[-1] else ()",
        "more = failure.kinds",
    ),
    Mutant(
        "plateau ignores the predicted gain",
        "policies/stopping.py",
        "else flat and worthless,",
        "else flat,",
    ),
    Mutant(
        "blocked and cancelled rounds are a baseline for golden",
        "policies/golden.py",
        """    for batch in life.standing(batches):
        done = batch.steps.golden
        if done is None or done.verdict == "block" or (""",
        """    for batch in life.rounds(batches):
        done = batch.steps.golden
        if done is None or (""",
    ),
    Mutant(
        "evidence weights are not divided by class frequency",
        "policies/selection.py",
        "missed = {name: n / references[name] for",
        "missed = {name: float(n) for",
    ),
    Mutant(
        "false alarms are not weighted by their score",
        "policies/failures.py",
        "sum(float(one.scores[row]) for row",
        "sum(1.0 for row",
    ),
    # ------------------------------------------------------------------ life
    Mutant(
        "labels are checked before they came", "life.py", '"check", ("labeled",)', '"check", ("annotating",)'
    ),
    Mutant(
        "a trained round can be cancelled",
        "life.py",
        '("planned", "committed", "annotating", "labeled", "checked"), "cancelled"',
        '("planned", "committed", "annotating", "labeled", "checked", "trained"), "cancelled"',
    ),
    Mutant(
        "a reference batch goes on after its labels",
        "life.py",
        'Move("fetch", ("annotating",), "labeled", "closed")',
        'Move("fetch", ("annotating",), "labeled")',
    ),
    Mutant(
        "cancelled rounds stand",
        "life.py",
        "return [batch for batch in rounds(batches) if not batch.cancelled]",
        "return rounds(batches)",
    ),
    Mutant(
        "numbers of cancelled rounds are given again",
        "life.py",
        "(batch.number for batch in rounds(batches) if",
        "(batch.number for batch in standing(batches) if",
    ),
    Mutant(
        "a batch is chosen while one is open",
        "life.py",
        'if last.state != "closed":\n        raise WaitingError',
        'if last.state in ("planned", "committed"):\n        raise WaitingError',
    ),
    Mutant(
        "a decision to stop is passed over",
        "life.py",
        'decision == "stop" and not anyway',
        'decision == "stop" and anyway',
    ),
    Mutant(
        "the reference of test counts for val",
        "life.py",
        "name = FINAL_REFERENCE if final else REFERENCE",
        "name = REFERENCE if final else FINAL_REFERENCE",
    ),
    Mutant(
        "scenes that came in later are not embedded",
        "life.py",
        "if embedded.membership_sha256 != loop.membership.sha256:",
        "if False:",
    ),
    Mutant("a reopened batch is fetched", "life.py", "    if batch.unsent:\n", "    if False:\n"),
    Mutant(
        "a blocking check waits for nobody",
        "life.py",
        'return Next("golden", why, True)',
        'return Next("golden", why)',
    ),
    # ------------------------------------------------------------------ records
    Mutant(
        "an override does not let a round go on",
        "records/batch.py",
        'self.verdict == "block" and self.override is None',
        'self.verdict == "block"',
    ),
    Mutant(
        "one annotator who has it again is enough",
        "records/batch.py",
        "return any(one.reopened < len(self.steps.reopen)",
        "return all(one.reopened < len(self.steps.reopen)",
    ),
    # ------------------------------------------------------------------ projection
    Mutant("golden scenes show their batches", "projection.py", ' and asked.role != "golden"', ""),
    Mutant(
        "labels of a cancelled batch vanish",
        "projection.py",
        "    if asked.whole:\n        tags.add(",
        "    if asked.whole and not batch.cancelled:\n        tags.add(",
    ),
    Mutant(
        "cancelled batches keep their tags",
        "projection.py",
        "if not batch.cancelled and not asked.returned:",
        "if not asked.returned:",
    ),
    Mutant(
        "scenes that were given back stay in their batch",
        "projection.py",
        "if not batch.cancelled and not asked.returned:",
        "if not batch.cancelled:",
    ),
    Mutant(
        "one labelled channel is a modality",
        "projection.py",
        "if names <= set(asked.finished):",
        "if names & set(asked.finished):",
    ),
    Mutant(
        "one slot is all",
        "projection.py",
        "and all(row.state in DONE for row in rows)",
        "and any(row.state in DONE for row in rows)",
    ),
    Mutant(
        "a skipped channel holds up the scene",
        "projection.py",
        "len(self.finished) + skipped == len(self.answers)",
        "len(self.finished) == len(self.answers)",
    ),
    Mutant(
        "scenes skipped in all channels are annotated",
        "projection.py",
        "return bool(self.finished) and ",
        "return ",
    ),
    Mutant(
        "a later batch takes the status away",
        "projection.py",
        'elif asked.waits and status[key] != "annotated":',
        "elif asked.waits:",
    ),
    Mutant(
        "to_annotate after the labels came",
        "projection.py",
        "if batch.state in life.OPEN and asked.waits:",
        "if asked.waits:",
    ),
    Mutant(
        "views of cancelled rounds",
        "projection.py",
        "    for batch in life.standing(batches):\n        names.append",
        "    for batch in life.rounds(batches):\n        names.append",
    ),
    Mutant(
        "cancelled rounds in golden_qa_history",
        "projection.py",
        "    for batch in life.standing(batches):\n        evaluated, golden",
        "    for batch in life.rounds(batches):\n        evaluated, golden",
    ),
    Mutant(
        "a batch view with what was given back",
        "projection.py",
        "sorted({row.key for row in pool} - returned)",
        "sorted({row.key for row in pool})",
    ),
    # ------------------------------------------------------------------ selection
    Mutant(
        "what is labelled is asked for again",
        "policies/selection.py",
        "if name not in done.get(key, ()))",
        "if name)",
    ),
    Mutant(
        "skipped scenes are chosen again", "policies/selection.py", 'if row.state == "skipped":', "if False:"
    ),
    Mutant(
        "--exclude is not heard", "policies/selection.py", "    why |= dict.fromkeys(exclude, BY_HAND)\n", ""
    ),
    Mutant(
        "false alarms outweigh misses",
        "policies/selection.py",
        "_weights(missed or {name: float(n) for name, n in failure.false.items()})",
        "_weights({name: float(n) for name, n in failure.false.items()} or missed)",
    ),
    Mutant(
        "the share wins over what was asked for",
        "policies/selection.py",
        "wanted = asked if asked is not None else settings.budget",
        "wanted = settings.budget",
    ),
    Mutant(
        "shares round up by floats alone",
        "policies/selection.py",
        "int(share * left + 1e-9)",
        "int(share * left)",
    ),
    Mutant("a minimum is a maximum", "policies/selection.py", "wanted = max(int(", "wanted = min(int("),
    Mutant(
        "excluded scenes do not count for the share",
        "policies/selection.py",
        "left = len(question.candidates) + len(question.excluded)",
        "left = len(question.candidates)",
    ),
    Mutant(
        "the first batch is one like the others",
        "policies/selection.py",
        "first = question.answers is None",
        "first = False",
    ),
    Mutant(
        "evidence of the wrong class",
        "policies/selection.py",
        "weights[i, config.classes.index(name)] = weight",
        "weights[i, sorted(config.classes, reverse=True).index(name)] = weight",
    ),
    Mutant(
        "failures that were left out are answered",
        "policies/selection.py",
        "    return [one for one, fine in pairs if fine], vectors[good], [",
        "    return [one for one, _ in pairs], vectors, [",
    ),
    Mutant(
        "labelled scenes without a vector count",
        "policies/selection.py",
        "labelled[usable(labelled)] if labelled.size",
        "np.nan_to_num(labelled) if labelled.size",
    ),
    Mutant(
        "ids break ties",
        "policies/selection.py",
        "        keys=question.candidates,\n        share",
        "        keys=known.ids,\n        share",
    ),
    Mutant(
        "vectors that went unnoticed",
        "policies/selection.py",
        "    if lost:\n        raise",
        "    if False:\n        raise",
    ),
    Mutant(
        "a batch has the ratio of the settings where it learns",
        "policies/selection.py",
        "    return learned.share, learned",
        "    return config.select.coverage_share, learned",
    ),
    Mutant(
        "objects get no places beside scenes",
        "policies/selection.py",
        "return [(scenes, (places_ + 1) // 2)] if",
        "return [(scenes, places_)] if",
    ),
    Mutant(
        "windows that cannot be read are looked at",
        "policies/selection.py",
        "    return rows[seen], known.windows[seen]",
        "    return rows, known.windows",
    ),
    Mutant(
        "only the first window of a candidate counts",
        "policies/selection.py",
        "return max(cosine(one, window) for window in",
        "return next(cosine(one, window) for window in",
    ),
    # ------------------------------------------------------------------ a ratio that learns
    Mutant(
        "the ratio moves away from what was worth more",
        "policies/ratio.py",
        "(coverage - targeted) / total)",
        "(targeted - coverage) / total)",
    ),
    Mutant(
        "the ratio leaves its bounds",
        "policies/ratio.py",
        "share = min(max(moved(share, *pair), low), high)",
        "share = moved(share, *pair)",
    ),
    Mutant(
        "few scenes move the ratio as far as many",
        "policies/ratio.py",
        "(stream.errors + errors) / (stream.seconds / 60 + minutes)",
        "stream.errors / (stream.seconds / 60)",
    ),
    Mutant(
        "a round that says nothing moves the ratio",
        "policies/ratio.py",
        "if not coverage.errors + targeted.errors:",
        "if False:",
    ),
    Mutant(
        "dear scenes are worth what cheap ones are",
        "policies/ratio.py",
        "seconds=round(sum(seconds[key] for key in keys), 6),",
        "seconds=60.0 * len(keys),",
    ),
    # ------------------------------------------------------------------ failing objects
    Mutant(
        "what was found is asked for as missed",
        "policies/objects.py",
        'if fate != "found":',
        "if True:",
    ),
    Mutant(
        "one scene's objects take all turns",
        "policies/objects.py",
        "placed.append((turn[one.image.key], nth, one))",
        "placed.append((0, nth, one))",
    ),
    Mutant(
        "the smallest missed object first",
        "policies/objects.py",
        "key=lambda one: (-one.worth, one.image.key",
        "key=lambda one: (one.worth, one.image.key",
    ),
    Mutant(
        "the class with most failing objects first, not with the largest share",
        "policies/objects.py",
        "share = {name: len(lost) / references[name] for",
        "share = {name: float(len(lost)) for",
    ),
    Mutant(
        "blank windows where something is seen",
        "policies/objects.py",
        "return not bool(inside.any())",
        "return True",
    ),
    # ------------------------------------------------------------------ two kinds of chance
    Mutant(
        "the variance of one seed for that of their mean",
        "policies/chance.py",
        "of_seeds = float(values[:, 0].var(ddof=1)) / seeds if seeds > 1 else None",
        "of_seeds = float(values[:, 0].var(ddof=1)) if seeds > 1 else None",
    ),
    Mutant(
        "drives of a few for drives of all",
        "policies/chance.py",
        "float(drawn.var(ddof=1)) * drives / (drives - 1) if",
        "float(drawn.var(ddof=1)) if",
    ),
    Mutant(
        "one normal quantile for any number",
        "policies/chance.py",
        "_t(chance, n - 1) ** 2 * of for",
        "1.96**2 * of for",
    ),
    Mutant(
        "drives of each seed's own count twice",
        "policies/chance.py",
        "max(together - _own(values, drives), 0.0)",
        "together",
    ),
    Mutant(
        "the gain of two rounds is of scenes with other references too",
        "policies/gain.py",
        "{(*one[:2], one[3]): row for",
        "{one[:2]: row for",
    ),
    Mutant(
        "the gain has the wrong sign",
        "policies/gain.py",
        "difference = float(now[:, 0].mean() - was[:, 0].mean())",
        "difference = float(was[:, 0].mean() - now[:, 0].mean())",
    ),
    # ------------------------------------------------------------------ failures, golden, stopping
    Mutant(
        "the best first",
        "policies/failures.py",
        "(-failure.evidence, failure.key)",
        "(failure.evidence, failure.key)",
    ),
    Mutant(
        "what people disagree about is evidence",
        "policies/failures.py",
        "self.evidence += len(lost) - len(one.unclear.missed)",
        "self.evidence += len(lost)",
    ),
    Mutant(
        "the share of unclear errors need not be sure",
        "policies/stopping.py",
        "share.low is not None and share.low > MOSTLY",
        "share.value is not None and share.value > MOSTLY",
    ),
    Mutant(
        "what was placed badly is not missed",
        "policies/failures.py",
        'if fate != "found"]',
        'if fate == "missed"]',
    ),
    Mutant(
        "cancelled rounds are a baseline for golden",
        "policies/golden.py",
        "for batch in life.standing(batches):\n        done",
        "for batch in life.rounds(batches):\n        done",
    ),
    Mutant("overridden rounds are a baseline", "policies/golden.py", 'done.verdict == "block"', "done.holds"),
    Mutant(
        "a round is its own baseline",
        "policies/golden.py",
        "(batch.number or 0) >= (now.number or 0)",
        "(batch.number or 0) > (now.number or 0)",
    ),
    Mutant(
        "misses are measured by what was labelled",
        "policies/golden.py",
        'Wrong("miss", len(found.free_careful), len(careful)',
        'Wrong("miss", len(found.free_careful), len(blind)',
    ),
    Mutant(
        "a turn of 350 degrees",
        "policies/golden.py",
        "np.abs((yaw + np.pi) % (2 * np.pi) - np.pi)",
        "np.abs(yaw)",
    ),
    Mutant(
        "height counts for matching",
        "policies/golden.py",
        "one[:, None, :2] - two[None, :, :2]",
        "one[:, None, :3] - two[None, :, :3]",
    ),
    Mutant(
        "the target is reached by the value",
        "policies/stopping.py",
        "stop=now.low is not None and now.low >= target",
        "stop=now.value is not None and now.value >= target",
    ),
    Mutant(
        "a round without new labels is a plateau",
        "policies/stopping.py",
        " if not _same(one, points[row + 1 : row + 2])]",
        "]",
    ),
    Mutant(
        "all criteria must say stop",
        "policies/stopping.py",
        'decision="stop" if stops else "continue"',
        'decision="stop" if len(stops) == len(found) else "continue"',
    ),
    # ------------------------------------------------------------------ kernels
    Mutant(
        "noise is a plateau",
        "policies/stopping.py",
        "per_100(gain.below, new)\n",
        "per_100(gain.value, new)\n",
    ),
    Mutant(
        "the first gains count, not the last",
        "policies/stopping.py",
        "first, now = grown[-1 - patience], grown[-1]",
        "first, now = grown[0], grown[patience]",
    ),
    Mutant(
        "half widths are added",
        "policies/stopping.py",
        "half = float(np.hypot(widths[0], widths[1]))",
        "half = float(sum(widths))",
    ),
    Mutant(
        "the gain is from the smallest size",
        "kernels/curves.py",
        "return b * (float(now) ** -c - float",
        "return b * (float(n[0]) ** -c - float",
    ),
    Mutant(
        "no correction for many axes",
        "kernels/drift.py",
        "min(1.0, total)",
        "min(1.0, p)",
    ),
    Mutant(
        "one error more for a p-value",
        "kernels/drift.py",
        "float(can[clustered.total_score(errors, trials, accepted, icc)])",
        "float(np.append(can, 0.0)[clustered.total_score(errors, trials, accepted, icc) + 1])",
    ),
    Mutant(
        "few objects excuse a block",
        "policies/golden_verdict.py",
        'verdict = "block" if judged.blocking else',
        'verdict = "block" if judged.blocking and not gaps else',
    ),
    Mutant(
        "a rise since earlier rounds blocks",
        "kernels/drift.py",
        "blocking = _found(tests, BLOCK, block_alpha)",
        "blocking = _found(tests, WARN, block_alpha)",
    ),
    Mutant(
        "a window counts though this round is fine",
        "kernels/drift.py",
        "(p if one.errors.sum() > one.accepted * one.trials.sum() else 1.0), can",
        "p, can",
    ),
    Mutant(
        "the second error of a scene weighs as much",
        "kernels/clustered.py",
        "np.cumsum(gains, axis=1)], axis=1)",
        "np.cumsum(gains[:, :1] + 0 * gains, axis=1)], axis=1)",
    ),
    Mutant(
        "objects count, not scenes",
        "kernels/clustered.py",
        "sums = np.bincount(s, weights=x - value)",
        "sums = x - value",
    ),
    Mutant(
        "the reference's misses are taken for the annotators'",
        "policies/golden_reference.py",
        "reference.rates.get(PARTNER.get(kind, kind), 0.0)",
        "reference.rates.get(kind, 0.0)",
    ),
    Mutant(
        "objects are paired by place",
        "policies/golden_verdict.py",
        "for at, key in enumerate(old.keys) if key in place]",
        "for at, key in enumerate(objects.keys[: len(old.keys)])]",
    ),
    Mutant(
        "a pass needs no power",
        "policies/golden_verdict.py",
        "sees <= TIMES * axis.accepted",
        "sees <= 1",
    ),
    Mutant(
        "length and width are not each other's",
        "kernels/deviations.py",
        "log_b[:, [1, 0]]",
        "log_b[:, [0, 1]]",
    ),
    Mutant(
        "the next round has other golden scenes altogether",
        "policies/golden.py",
        "start = number * max(per_round - per_round // 2, 1)",
        "start = number * per_round",
    ),
    Mutant(
        "coverage gets the floor of its share",
        "kernels/allocate.py",
        "wanted = math.ceil(portion * budget)",
        "wanted = math.floor(portion * budget)",
    ),
    Mutant("one failure takes all places", "kernels/allocate.py", "            served += 1\n", ""),
    Mutant(
        "a scene is chosen twice",
        "kernels/allocate.py",
        "        if row not in taken:\n",
        "        if True:\n",
    ),
    Mutant(
        "the spread of the data reorders the data",
        "kernels/zcore.py",
        "block = data[:, part].T.copy()",
        "block = np.ascontiguousarray(data[:, part].T)",
    ),
    # ------------------------------------------------------------------ journal, scenes, splits, media
    Mutant(
        "a manifest of 0.1.0 with another hash",
        "store/journal/codec.py",
        '!= document["manifest_sha256"]',
        '== "nothing"',
    ),
    Mutant("a later schema is read", "store/journal/codec.py", "if schema > SCHEMA:", "if False:"),
    Mutant(
        "failures of 0.1.0 beyond the first hundred are lost",
        "records/migrate.py",
        'failures = list(old["failures"])',
        'failures = list(old["failures"])[:WORST]',
    ),
    Mutant(
        "excluded scenes of 0.1.0 are lost",
        "records/migrate.py",
        'for name in ("evidence", "excluded", "failures", "golden")',
        'for name in ("evidence", "failures", "golden")',
    ),
    Mutant("opinions of 0.1.0 are one", "records/migrate.py", '"slots": old.get("slots", 1)', '"slots": 1'),
    Mutant(
        "clouds of 0.1.0 are images",
        "records/migrate.py",
        '"3d": names.get("cloud", "pcd")',
        '"3d": names.get("image", "left")',
    ),
    Mutant(
        "reopened rounds of 0.1.0 wait for ever", "records/migrate.py", '"reopened": times}', '"reopened": 0}'
    ),
    Mutant(
        "rows in the order of the table",
        "store/table.py",
        "[self.row_of[key] for key in keys], dtype",
        "sorted(self.row_of[key] for key in keys), dtype",
    ),
    Mutant("names that are taken", "store/table.py", " and not taken & {given[one] for one in new}", ""),
    Mutant(
        "scenes without a drive share one",
        "store/table.py",
        "return str(self.sequence[self.row_of[key]]) or key",
        "return str(self.sequence[self.row_of[key]])",
    ),
    Mutant(
        "new frames of test drives are used",
        "steps/init.py",
        'if "test" in splits:',
        'if "test" in splits and False:',
    ),
    Mutant(
        "golden scenes are audited for leaks",
        "steps/splits.py",
        '(("test", "pool"), ("val", "pool"), ("test", "val"))',
        '(("test", "golden"), ("val", "pool"), ("test", "val"))',
    ),
    Mutant(
        "one camera stands for all",
        "labels/channels.py",
        "one.calibration or name",
        'one.calibration or "P2"',
    ),
    Mutant(
        "a file of the same size has not changed",
        "media.py",
        "known[path][0] != stamps[path]]",
        "known[path][0][0] != (stamps[path] or (0, 0))[0]]",
    ),
    Mutant("unreadable for ever", "media.py", "if fresh[path] != UNREADABLE)", "if True)"),
)

EQUAL: Final = (
    ("True -> False", "frozen=True", "nobody writes to it: `frozen` says so"),
    ("False -> True", "eq=False", "nobody compares it"),
    ("True -> False", "strict=True", "both are of one length by their making: `strict` says so"),
    ("yaw + np.pi -> yaw - np.pi", "% (2 * np.pi)", "a whole turn apart"),
    ("1 -> 0", "known.vectors.shape[1]", "no rows: the kernel does not look at their width"),
    ("0 -> 1", "np.zeros((0, 0)", "empty in either direction: no failure, or one without candidates"),
)
"""Automatic mutants that change nothing that can be seen: what was changed, what stands in that line, and why."""


# ---------------------------------------------------------------------- drawn by chance


@dataclass(frozen=True)
class Site:
    """A place where an operator can be another one: the mutant's text of the file, and what was changed."""

    file: str
    line: int
    old: str
    new: str
    around: str
    text: str

    @property
    def what(self) -> str:
        return f"{self.file}:{self.line}: {self.old} -> {self.new} in `{self.around}`"

    @property
    def equal(self) -> str | None:
        """Why it changes nothing, where that is known."""
        change = f"{self.old} -> {self.new}"
        return next((why for one, there, why in EQUAL if one == change and there in self.around), None)


COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.GtE, ast.LtE),
    ast.LtE: (ast.Gt, ast.Lt),
    ast.Gt: (ast.LtE, ast.GtE),
    ast.GtE: (ast.Lt, ast.Gt),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
CALLS: Final = {"min": "max", "max": "min", "any": "all", "all": "any"}


def sites(file: str) -> Iterator[Site]:
    """All places of a file, in their order; annotations and docstrings have none."""
    source = (SOURCE / file).read_text()
    for number in range(len(list(_changes(ast.parse(source))))):
        tree = ast.parse(source)  # a fresh one: each mutant differs in one place
        node, change = list(_changes(tree))[number]
        old = ast.unparse(node)
        new = ast.unparse(change())
        around = source.splitlines()[node.lineno - 1].strip()
        text = ast.unparse(ast.fix_missing_locations(tree))
        yield Site(file, node.lineno, _short(old), _short(new), around, text)


Change = tuple[Any, Callable[[], ast.AST]]


def _changes(tree: ast.Module) -> Iterator[Change]:
    """(node, what changes it in place and returns what stands there then)."""
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    for node in _outside_annotations(tree):
        if isinstance(node, ast.Compare):
            for i, op in enumerate(node.ops):
                for other in COMPARISONS.get(type(op), ()):
                    yield node, lambda node=node, i=i, other=other: _set(node, ops=_put(node.ops, i, other()))
        elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
            yield node, lambda node=node: _set(node, op=ARITHMETIC[type(node.op)]())
        elif isinstance(node, ast.BoolOp):
            other_ = ast.Or if isinstance(node.op, ast.And) else ast.And
            yield node, lambda node=node, other=other_: _set(node, op=other())
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield node, lambda node=node: _replace(parents[node], node, node.operand)
        elif isinstance(node, ast.Constant) and type(node.value) in (int, bool):
            value = (
                not node.value
                if isinstance(node.value, bool)
                else {0: 1, 1: 0}.get(node.value, node.value + 1)
            )
            yield node, lambda node=node, value=value: _set(node, value=value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in CALLS:
                yield node, lambda node=node: _set(node, func=ast.Name(CALLS[node.func.id], ast.Load()))
            elif node.func.id == "sorted":
                bare = ast.Call(ast.Name("list", ast.Load()), node.args, [])
                yield node, lambda node=node, bare=bare: _replace(parents[node], node, bare)


def _outside_annotations(node: ast.AST) -> Iterator[Any]:
    yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _outside_annotations(child)


def _set(node: Any, **fields: Any) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    changed: ast.AST = node
    return changed


def _put(values: Sequence[Any], at: int, value: Any) -> list[Any]:
    return [value if i == at else one for i, one in enumerate(values)]


def _replace(parent: ast.AST, node: ast.AST, by: ast.AST) -> ast.AST:
    for name, value in ast.iter_fields(parent):
        if value is node:
            setattr(parent, name, by)
        elif isinstance(value, list) and any(one is node for one in value):
            setattr(parent, name, [by if one is node else one for one in value])
    return by


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 90 else flat[:87] + "..."


# ---------------------------------------------------------------------- running

FORKS: Final = multiprocessing.get_context("forkserver")
BEFORE: Final = (
    "pytest",
    "_pytest.assertion.rewrite",
    "hypothesis",
    "numpy",
    "scipy.stats",
    "pydantic",
    "numba",
    "yaml",
)
"""What every run imports and no mutant is in: once, in the process that all runs are forked from."""


class Told(NamedTuple):
    """What became of a mutant: the test that found it (None: it survives), and how long that took."""

    found: str | None
    seconds: float


class Broken(Exception):
    """Nothing can be said: the wrong copy was imported, or the tests fail by themselves."""


class Seen:
    """A plugin of pytest's that keeps the first failure."""

    first: str | None = None

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.first is None:
            self.first = f"{report.nodeid} (it cannot be imported)"


def child(home: Path, module: str, tests: Sequence[str]) -> None:
    """Runs tests on the copy of the source in `home`; leaves `told.json` and `output` there."""
    output = os.open(home / "output", os.O_WRONLY | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(ROOT)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    assert not any(name.split(".")[0] == "swath" for name in sys.modules), (
        "swath is loaded before its copy is there"
    )
    sys.path.insert(0, str(home / "src"))
    import pytest

    seen = Seen()
    how = ["-x", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-m", "not slow"]
    how += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is there already
    code = pytest.main([*tests, *how], plugins=[seen])
    loaded = [getattr(sys.modules.get(name), "__file__", None) for name in ("swath", module)]
    (home / "told.json").write_text(json.dumps({"code": int(code), "first": seen.first, "loaded": loaded}))


def run(file: str, text: str | None) -> Told:
    """Runs the tests of `file` on a copy of the source in which it is `text` (None: as it is)."""
    began = time.monotonic()
    module = "swath." + file.removesuffix(".py").replace("/", ".")
    with tempfile.TemporaryDirectory(prefix="swath-mutant-") as made:
        home = Path(made).resolve()
        copy = home / "src" / "swath"
        shutil.copytree(SOURCE, copy)
        if text is not None:
            (copy / file).write_text(text)
            for stale in (copy / file).parent.glob(f"__pycache__/{Path(file).stem}.*"):
                stale.unlink()
        process = FORKS.Process(target=child, args=(home, module, [f"tests/{one}" for one in TESTS[file]]))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            return Told("it never ends", time.monotonic() - began)
        said = (home / "output").read_text(errors="replace")[-3000:] if (home / "output").exists() else ""
        if not (home / "told.json").exists():
            raise Broken(f"{file}: the tests did not run\n{said}")
        told = json.loads((home / "told.json").read_text())
        if told["code"] not in (0, 1, 2):
            raise Broken(f"{file}: pytest ended with {told['code']}\n{said}")
        if text is None and told["first"]:
            raise Broken(f"{file}: {told['first']} fails without a mutant\n{said}")
        for one in told["loaded"]:
            importable = told["first"] is None or "cannot be imported" not in told["first"]
            if (one or importable) and not Path(one or "/").is_relative_to(copy):
                raise Broken(f"{file}: {one} was imported, not the copy in {copy}")
        return Told(told["first"], time.monotonic() - began)


def mutated(mutant: Mutant) -> str | None:
    """The file with the mutant in it; None when it is stale."""
    text = (SOURCE / mutant.file).read_text()
    if text.count(mutant.old) != 1 or mutant.old == mutant.new:
        return None
    return text.replace(mutant.old, mutant.new)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="those with this in their name or file")
    parser.add_argument("--auto", type=int, default=60, help="how many are drawn by chance (default 60)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default 0)")
    parser.add_argument("--jobs", type=int, default=2, help="at the same time (default 2)")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULTS.relative_to(ROOT)}")
    arguments = parser.parse_args()
    began = time.monotonic()
    os.environ["OMP_NUM_THREADS"] = "1"
    FORKS.set_forkserver_preload(list(BEFORE))

    by_hand = [one for one in MUTANTS if arguments.only in one.name or arguments.only in one.file]
    texts = {one: mutated(one) for one in by_hand}
    stale = [one for one, text in texts.items() if text is None]
    every = [site for file in AUTOMATIC for site in sites(file) if arguments.only in site.what]
    drawn = random.Random(arguments.seed).sample(every, min(arguments.auto, len(every)))
    drawn.sort(key=lambda one: (AUTOMATIC.index(one.file), one.line, one.new))

    with ThreadPoolExecutor(arguments.jobs) as pool:
        files = sorted({one.file for one in (*by_hand, *drawn)})
        list(
            pool.map(lambda file: run(file, None), files)
        )  # each ends without a failure, or this program does
        print(f"{len(files)} modules: their tests pass without a mutant", flush=True)

        def plant(one: Mutant | Site) -> tuple[Mutant | Site, Told]:
            text = texts[one] if isinstance(one, Mutant) else one.text
            told = run(one.file, text)
            name = f"{one.file}: {one.name}" if isinstance(one, Mutant) else one.what
            what = f"killed by {told.found}" if told.found else "SURVIVED"
            print(f"[{told.seconds:5.1f} s] {name}: {what}", flush=True)
            return one, told

        told = list(pool.map(plant, [one for one in by_hand if texts[one] is not None]))
        chance = list(pool.map(plant, drawn))
    for one in stale:
        print(f"STALE: {one.file}: {one.name}: its old text stands there {_count(one)} times, not once")
    alive = [one for one, what in told if what.found is None]
    killed = sum(what.found is not None for _, what in chance)
    equal = sum(what.found is None and one.equal is not None for one, what in chance)
    minutes = (time.monotonic() - began) / 60
    score = [
        f"planted by hand: {len(told) - len(alive)} of {len(by_hand)} found, {len(stale)} stale",
        f"drawn by chance: {killed} of {len(chance)} found, {equal} of the others change nothing that can be seen "
        f"(seed {arguments.seed}, of {len(every)} places)",
        f"{minutes:.1f} minutes, {arguments.jobs} at a time",
    ]
    print("\n".join(score))
    if arguments.keep:
        keep(score, told, chance)
    return 1 if alive or stale else 0


def _count(mutant: Mutant) -> int:
    return (SOURCE / mutant.file).read_text().count(mutant.old)


def keep(score: Sequence[str], told: Sequence[tuple[Any, Told]], chance: Sequence[tuple[Any, Told]]) -> None:
    """The score, with date and machine, and what found each."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.common import machine

    here = ", ".join(f"{key} {value}" for key, value in machine().items())
    text = [
        "# mutants",
        "",
        "`make mutants`: bugs planted in the decision modules, and the test that found each.",
        "",
    ]
    text += [here, "", *(f"- {line}" for line in score), ""]
    text += ["## Planted by hand", "", "| file | bug | found by |", "|---|---|---|"]
    text += [f"| {one.file} | {_cell(one.name)} | {_by(what)} |" for one, what in told]
    text += ["", "## Drawn by chance", "", "| file | line | change | found by |", "|---|---|---|---|"]
    for one, what in chance:
        by = f"nobody: {one.equal}" if what.found is None and one.equal else _by(what)
        where = f"`{_cell(one.old)}` to `{_cell(one.new)}`"
        where += f" in `{_cell(_short(one.around))}`" if len(one.old) < 6 else ""
        text.append(f"| {one.file} | {one.line} | {where} | {by} |")
    RESULTS.write_text("\n".join(text) + "\n")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _by(what: Told) -> str:
    if what.found is None:
        return "**survives**"
    return _cell(what.found.removeprefix("tests/").split("[")[0])


if __name__ == "__main__":
    sys.exit(main())
