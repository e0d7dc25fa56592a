"""Arms: who chooses. Each is a pure function from what is known to the candidates in the order in which it would label them.

    random                      a seeded order; always there
    coverage                    the loop's own choice, all of it for coverage (`coverage coverage_method=kcenter`, ...)
    targeted                    the loop's own choice, all of it like the failures
    hybrid                      the loop's own choice, as configured
    guide                       the guide's rule: 30 % ZCore, the rest by looks alone, near those that miss most objects
    least  entropy  flips       uncertainty: least confident; entropy of the detections; disagreement with the mirrored image
    oracle                      most objects of the failing kinds, from hidden truth: no labeller can have it
    module:function             your own

The loop's own choice is `policies.selection.answer`, which `swath select` calls. The first batch of coverage, targeted, hybrid
and guide is the loop's (coverage), that of the others is random's: there is no model yet. Settings of `select` can stand behind
an arm: `hybrid coverage_share=0.5 class_evidence=0`.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from swath import __version__
from swath.changes import assignment
from swath.config import LoopConfig, digest, merged
from swath.crops import encoder_of
from swath.errors import ConfigError, UnknownNameError
from swath.kernels.boxes import iou
from swath.kernels.detection import Predictions
from swath.kernels.detection3d import Predictions3D
from swath.policies import selection
from swath.policies.failures import ordered
from swath.records.batch import Failure
from swath.records.manifest import Manifest, Question, RoundWorth, Window, Wrong
from swath.suggest import meant

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]
Found = Predictions | Predictions3D
FLOOR: Final = 0.1  # score from which a detection counts as uncertain: below, detectors report noise
AGAIN: Final = "random again"  # another draw of random: the pilot, and the test of no difference
SAME: Final = 0.5  # IoU from which two detections are of one object


@dataclass(frozen=True, eq=False)
class Mined:
    """What the last model gets wrong on the drives that are mined: failures, worst first; how many objects of each class there are;
    vectors (F, D) of the failures."""

    failures: tuple[Failure, ...]
    references: dict[str, int]
    vectors: Vectors


class Looks(Protocol):
    """What the last model says, when it is asked: predictions cost time."""

    def mined(self) -> Mined: ...

    def worths(self) -> tuple[RoundWorth, ...]:
        """What the streams of the rounds so far were worth, each to the model before it."""
        ...

    def objects(self, most: int) -> tuple[Wrong, ...]:
        """The worst objects that it gets wrong on the drives that are mined."""
        ...

    def windows(self, asked: Sequence[Wrong]) -> tuple[dict[str, tuple[Window, ...]], ...]:
        """Per candidate, channel -> where such objects may be."""
        ...

    def cut(self, places: Sequence[selection.Place]) -> Vectors:
        """Vectors of these parts of images."""
        ...

    def found(self) -> Sequence[Sequence[Found]]:
        """Per candidate, per channel: its detections."""
        ...

    def mirrored(self) -> Sequence[Sequence[Predictions]]:
        """The same of the images mirrored left to right, mirrored back."""
        ...


@dataclass(frozen=True, eq=False)
class Given:
    """What an arm may go by. Candidates are sorted by key; each column has one entry (or row) per candidate.

    round: 0 for the first batch; budget: scenes to choose, at least as many must come back; labelled,
    labelled_drives, labelled_vectors: scenes with labels; model: None in round 0; rng: for what is drawn; truth (C, K): objects by class, for the oracle alone.
    """

    dataset: str
    config: LoopConfig
    round: int
    budget: int
    keys: tuple[str, ...]
    drives: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...]
    vectors: Vectors
    labelled: tuple[str, ...]
    labelled_drives: tuple[str, ...]
    labelled_vectors: Vectors
    model: Looks | None
    rng: np.random.Generator
    truth: Ints | None = None


Choose = Callable[[Given], Sequence[int] | Manifest]


@dataclass(frozen=True)
class Arm:
    """`name` as it was asked for; `choose` gives positions of candidates, best first, or the manifest of a batch; `mark`: what its
    choices depend on; `draw`: which draw of chance it sees."""

    name: str
    choose: Choose
    mark: str
    draw: int = 0
    knows: bool = False  # hidden truth


# ---------------------------------------------------------------------- naming


def arm(name: str, config: LoopConfig) -> Arm:
    """The arm of a name; `UnknownNameError`, `ConfigError` where there is none such."""
    if name == AGAIN:
        return Arm(name, random, digest(name), draw=1)
    first, *settings = name.split()
    if ":" in first:
        if settings:
            raise ConfigError(f"backtest: an arm of your own takes no settings, got {name!r}")
        return _own(first)
    if first not in NAMED:
        there = ", ".join((*NAMED, "module:function"))
        raise UnknownNameError(f"backtest: no arm {first!r}{meant(first, NAMED)}; there are: {there}")
    if settings and first not in LOOPS:
        raise ConfigError(f"backtest: settings go with {', '.join(LOOPS)}, got {name!r}")
    changes = {**LOOPS.get(first, {}), **_settings(name, settings)}
    choose = NAMED[first]
    if first in LOOPS:
        changed = merged(config, {"select": changes}, f"arm {name!r}").select.model_dump(mode="json")
        return Arm(
            name,
            lambda given: choose(_with(given, changed)),
            digest([first, changed, *_beside(config, changed)]),
        )
    return Arm(name, choose, digest(first), knows=first == "oracle")


def _beside(config: LoopConfig, select: dict[str, Any]) -> list[Any]:
    """What choices depend on besides the settings of `select`: prices, where the ratio adapts; who looks at objects, where those are
    searched for."""
    prices = [config.cost.model_dump(mode="json")] if select["ratio"] == "adaptive" else []
    if select["queries"] == "scenes":
        return prices
    encoder = encoder_of(config.embed.encoder)
    return [*prices, encoder.name, encoder.version]


def _settings(name: str, words: Sequence[str]) -> dict[str, Any]:
    if any("=" not in word for word in words):
        raise ConfigError(f"backtest: expected SETTING=VALUE behind an arm, got {name!r}")
    given = [assignment(word.removeprefix("select.")) for word in words]
    return {at[0]: value for at, value in given}


def _with(given: Given, select: dict[str, Any]) -> Given:
    config = merged(given.config, {"select": select}, "an arm")
    return replace(given, config=config)


def _own(name: str) -> Arm:
    """A function of somebody's own, found from the folder one is in as well; known by its file's content."""
    module, _, function = name.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), function)
        source = Path(inspect.getfile(found)).read_bytes()
    except (ImportError, AttributeError, TypeError, OSError) as error:
        raise UnknownNameError(
            f"backtest: arm {name!r} cannot be imported ({error}); expected module:function, found from {Path.cwd()}"
        ) from None
    return Arm(name, found, hashlib.sha256(source).hexdigest())


# ---------------------------------------------------------------------- the loop's own choice


def _by_loop(given: Given, by_misses: bool = False) -> Manifest:
    """What `swath select` would choose: the same question, answered by the same function."""
    config, mined = given.config, None
    if given.model is not None and Fraction(config.select.coverage_share) < 1:
        mined = given.model.mined()
    question, failures = _question(given, mined, by_misses)
    known = selection.Known(
        vectors=given.vectors,
        failures=failures,
        labelled=given.labelled_vectors,
        ids=given.keys,
        **_cut(given, question),
    )
    return selection.answer(question, known, given.dataset).manifest


def _question(given: Given, mined: Mined | None, by_misses: bool) -> tuple[Question, Vectors]:
    """The question of a round, and the vectors of the failures that it asks about."""
    config = given.config
    listed: list[Failure] = []
    if mined is not None:
        listed = list(ordered(mined.failures, config.select.failure_by))
        if by_misses:
            listed.sort(key=lambda one: (-one.fn, one.key))
    queries = config.select.queries
    wrong: tuple[Wrong, ...] = ()
    objects: tuple[Wrong, ...] = ()
    if queries != "objects":
        wrong = selection.wrong(listed, mined.references if mined else {}, config.select.failures)
    if queries != "scenes" and given.model is not None and mined is not None:
        objects = given.model.objects(config.select.failures)
    evidence: tuple[tuple[int, ...], ...] = ()
    if (wrong or objects) and config.select.class_evidence > 0 and given.model is not None:
        evidence = selection.thousandths(best_scores(given.model.found(), len(config.classes)))
    adaptive = config.select.ratio == "adaptive"
    question = Question(
        number=given.round,
        candidates=given.keys,
        channels=given.channels,
        evidence=evidence,
        windows=given.model.windows(objects) if objects and given.model else (),
        failures=(*wrong, *objects),
        answers=f"v{given.round - 1}" if given.round else None,
        labelled=given.labelled,
        worths=given.model.worths() if adaptive and given.model else (),
        budget=given.budget,
        config=config.model_dump(mode="json"),
        config_hash=config.hash(),
        versions={"swath": __version__},
    )
    if mined is None:
        return question, given.vectors[:0]
    row = {one.key: i for i, one in enumerate(mined.failures)}
    return question, mined.vectors[[row[one.key] for one in wrong]]


def _cut(given: Given, question: Question) -> dict[str, Vectors]:
    """Vectors of the objects and windows that a question is about; none where it is about scenes."""
    asked, shown = selection.cut(question)
    if not asked or given.model is None:
        return {}
    return {"objects": given.model.cut(asked), "windows": given.model.cut(shown)}


def best_scores(found: Sequence[Sequence[Found]], classes: int) -> Floats:
    """(C, K) the highest score of each class in each candidate, 0 where it was not seen."""
    best = np.zeros((len(found), classes))
    for row, channels in enumerate(found):
        for one in channels:
            np.maximum.at(best[row], one.labels, one.scores)
    return best


def guide(given: Given) -> Manifest:
    return _by_loop(given, by_misses=True)


# ---------------------------------------------------------------------- the others


def random(given: Given) -> list[int]:
    return [int(row) for row in given.rng.permutation(len(given.keys))]


def _ranked(given: Given, score: Callable[[Looks], Sequence[float] | Floats]) -> list[int]:
    """Highest score first, equals by chance; random before there is a model."""
    if given.model is None:
        return random(given)
    chance = given.rng.permutation(len(given.keys))
    return [int(row) for row in np.lexsort((chance, -np.asarray(score(given.model), dtype=np.float64)))]


def least(given: Given) -> list[int]:
    """Least confident: 1 - the mean score of the detections; a scene without any comes last."""
    return _ranked(given, lambda model: [_mean_doubt(one) for one in model.found()])


def _mean_doubt(channels: Sequence[Found]) -> float:
    scores = _scores(channels)
    return float(1 - scores.mean()) if len(scores) else 0.0


def entropy(given: Given) -> list[int]:
    """The sum of the binary entropies of the detections."""
    return _ranked(given, lambda model: [_entropy(_scores(one)) for one in model.found()])


def _scores(channels: Sequence[Found]) -> Floats:
    scores = np.concatenate([np.zeros(0), *(one.scores for one in channels)])
    return scores[scores >= FLOOR]


def _entropy(scores: Floats) -> float:
    p = np.clip(scores, 1e-9, 1 - 1e-9)
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).sum())


def flips(given: Given) -> list[int]:
    """1 - the share of the scores that the image and its mirror image agree on."""
    return _ranked(
        given,
        lambda model: [
            _disagreement(one, other) for one, other in zip(model.found(), model.mirrored(), strict=True)
        ],
    )


def _disagreement(one: Sequence[Found], other: Sequence[Predictions]) -> float:
    shared = total = 0.0
    for here, there in zip(one, other, strict=True):
        if isinstance(here, Predictions):
            agreed, scores = _agreed(here, there)
            shared, total = shared + agreed, total + scores
    return 1 - 2 * shared / total if total else 0.0


def _agreed(here: Predictions, there: Predictions) -> tuple[float, float]:
    """The lower scores of detections that both have (class, IoU), best first, and the sum of all scores."""
    a, b = np.flatnonzero(here.scores >= FLOOR), np.flatnonzero(there.scores >= FLOOR)
    total = float(here.scores[a].sum() + there.scores[b].sum())
    overlap = iou(here.boxes[a], there.boxes[b]) * (here.labels[a][:, None] == there.labels[b][None, :])
    shared, free = 0.0, np.ones(len(b), bool)
    for row in np.argsort(-here.scores[a], kind="stable"):
        near = np.where(free, overlap[row], 0.0) if len(b) else np.zeros(0)
        if len(near) and near.max() >= SAME:
            at = int(near.argmax())
            free[at] = False
            shared += float(min(here.scores[a][row], there.scores[b][at]))
    return shared, total


def oracle(given: Given) -> list[int]:
    """Hidden truth: objects, weighted by the share of their class that the model misses where it is mined."""
    truth, classes = given.truth, given.config.classes
    if truth is None:
        raise ValueError("the oracle needs hidden truth")

    def score(model: Looks) -> Floats:
        mined = model.mined()
        missed = np.zeros(len(classes))
        for one in mined.failures:
            for name, n in one.missed.items():
                missed[classes.index(name)] += n
        of = np.array([mined.references.get(name, 0) for name in classes], dtype=np.float64)
        weights = np.divide(missed, of, out=np.ones(len(classes)), where=of > 0)  # none to mine: never seen
        return np.asarray(truth @ weights, dtype=np.float64)

    return _ranked(given, score)


NAMED: Final[dict[str, Choose]] = {
    "random": random,
    "coverage": _by_loop,
    "targeted": _by_loop,
    "hybrid": _by_loop,
    "guide": guide,
    "least": least,
    "entropy": entropy,
    "flips": flips,
    "oracle": oracle,
}
LOOPS: Final[dict[str, dict[str, Any]]] = {
    "coverage": {"ratio": "fixed", "coverage_share": "1"},
    "targeted": {"ratio": "fixed", "coverage_share": "0"},
    "hybrid": {},
    "guide": {
        "coverage_method": "zcore",
        "queries": "scenes",
        "ratio": "fixed",
        "coverage_share": "0.30",
        "class_evidence": 0.0,
        "failure_by": "count",
    },
}
"""Arms that are the loop's own choice, and the settings of `select` that make them so."""
