"""The decision of a batch, whole: enough to say why a scene was chosen, and to choose the same batch again."""

from __future__ import annotations

from typing import Literal

from swath.records.base import Document, Record

Stream = Literal["coverage", "targeted"]
Window = tuple[int, int, int, int]
"""Part of an image: x1, y1, x2, y2 in whole px."""


class BatchSize(Record):
    """Scenes that were to be chosen, that were, and of which stream; golden scenes do not count."""

    budget: int
    size: int
    coverage: int = 0
    targeted: int = 0


class FailingObject(Record):
    """An object that a model got wrong: missed, or `false`: seen where there is none. `box`: x1, y1, x2, y2 in px of a channel of its scene;
    `window`: what is cut out of the image to search with."""

    channel: str
    name: str
    false: bool = False
    box: tuple[float, float, float, float]
    window: Window

    def __str__(self) -> str:
        x1, y1, x2, y2 = (round(value) for value in self.box)
        return f"{'false' if self.false else 'missed'} {self.name} at {x1}, {y1}, {x2}, {y2} px of {self.channel}"


class Chosen(Record):
    """One scene of a batch. `channels`: what is to be labelled in it. Of a pool scene: its stream, rank (from 1 in its stream),
    score and reason; `failure`: the val scene that it answers, and how similar it looks, or how similar what it shows is to an `object` of
    it; `mode`: whose place it has."""

    key: str
    channels: tuple[str, ...]
    id: str | None = None
    stream: Stream | None = None
    rank: int | None = None
    score: float | None = None
    reason: str | None = None
    failure: str | None = None
    similarity: float | None = None
    object: FailingObject | None = None
    mode: str | None = None
    split: str = ""


class Asked(Record):
    """A scene that goes along blind, and what is to be labelled in it."""

    key: str
    channels: tuple[str, ...]


class Wrong(Record):
    """A failure as selection sees it: missed and false objects, and weights by class that add up to 1; `mode`: the failure mode that it
    stands for, None where it stands for itself; `object`: the one that is searched for, None for the scene as a whole."""

    key: str
    fn: int
    fp: int
    kinds: dict[str, float]
    mode: str | None = None
    object: FailingObject | None = None


class AskedMode(Record):
    """A failure mode that has places of its own: how many of its objects were missed."""

    name: str
    objects: int
    missed: int


class ModePlaces(Record):
    """How many places a failure mode got, and how many of them were filled."""

    name: str
    places: int
    filled: int


class StreamWorth(Record):
    """One stream of a round: `scenes` that were labelled, the `seconds` they cost (`cost`), and the `errors` in them of the model
    of the round before: missed objects, plus the scores of false ones."""

    scenes: int
    seconds: float
    errors: float


class RoundWorth(Record):
    """What the streams of a round were worth; `unknown`: why nothing can be said."""

    round: str
    coverage: StreamWorth | None = None
    targeted: StreamWorth | None = None
    unknown: str | None = None


class RatioMove(Record):
    """What a round said of the ratio: errors per minute of each stream, drawn towards each other, and the share for coverage that
    followed."""

    round: str
    coverage: float
    targeted: float
    share: float


class Ratio(Record):
    """The share for coverage of a batch where the ratio adapts: where it began, how rounds moved it, and why it is what it is."""

    share: str
    start: str
    moves: tuple[RatioMove, ...] = ()
    reason: str


class Question(Record):
    """All that a choice depends on, besides the vectors.

    candidates (C,) keys, sorted; channels: what is to be labelled in each; evidence: per candidate and class what the model
    sees, in thousandths (none without a model); windows: per candidate, channel -> where it is looked at, where failures are objects; failures: worst first, then those that stand for one of the `modes`; `answers`: the round that they are of, None for the
    first batch; labelled: pool scenes with labels, where coverage looks at them; worths: what the streams of the rounds so far were
    worth, where the ratio adapts; budget: scenes that were asked for by number, None where the shares say.
    """

    number: int
    candidates: tuple[str, ...]
    channels: tuple[tuple[str, ...], ...]
    evidence: tuple[tuple[int, ...], ...] = ()
    windows: tuple[dict[str, tuple[Window, ...]], ...] = ()
    excluded: tuple[tuple[str, str], ...] = ()
    failures: tuple[Wrong, ...] = ()
    modes: tuple[AskedMode, ...] = ()
    answers: str | None = None
    labelled: tuple[str, ...] = ()
    worths: tuple[RoundWorth, ...] = ()
    golden: tuple[Asked, ...] = ()
    budget: int | None = None
    config: Document
    config_hash: str
    versions: dict[str, str]

    @property
    def seed(self) -> int | None:
        return self.config.get("seed")

    @property
    def swath(self) -> str | None:
        """The version of swath that chose."""
        return self.versions.get("swath")


class Coverage(Record):
    """How the coverage scores came about: draws, and how far two independent halves of them agree."""

    draws: int
    overlap: float | None = None
    interval: tuple[float | None, float | None] = (None, None)
    reason: str


class Fingerprints(Record):
    """SHA-256 of the vectors (of candidates, failures, labelled scenes, failing objects and windows) and of the pool."""

    embeddings: str | None = None
    failures: str | None = None
    labelled: str | None = None
    objects: str | None = None
    windows: str | None = None
    pool: str | None = None


class Manifest(Record):
    """`slots`: independent labellings of each scene of a reference batch; of a round, of the scenes in `second` (golden scenes and the
    others are labelled once). A reference batch has no question, coverage or fingerprints."""

    round: str
    number: int | None = None
    role: Literal["pool", "reference"]
    size: BatchSize
    scenes: tuple[Chosen, ...]
    slots: int = 1
    golden: tuple[Asked, ...] = ()
    second: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    modes: tuple[ModePlaces, ...] = ()
    ratio: Ratio | None = None
    question: Question | None = None
    coverage: Coverage | None = None
    fingerprints: Fingerprints = Fingerprints()
