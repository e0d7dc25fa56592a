"""What goes to annotators, what comes back, and the protocol that all of them keep.

`send` hands an annotator a `Work`: scenes to label under opaque ids, golden and pool mixed, in an order that tells nothing,
without keys. It gives back a `Receipt`: what it needs to find the work again (a folder, a project id), kept in the journal;
secrets never: those come from the environment, at each call. `fetch` brings `Answer`s, one per task and channel, as many as
there are: what is not answered is not looked at yet. Four states are never confused:

    unreviewed       nobody has looked (or all that came back was bad: somebody has to look again)
    reviewed_empty   somebody looked, and there is nothing to label
    labeled          somebody looked, and here are the labels
    skipped          somebody looked and would not label it
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from swath.labels.channels import Channel
from swath.labels.clean import Rejected
from swath.labels.shapes import Labels

State = Literal["unreviewed", "reviewed_empty", "labeled", "skipped"]
STATES: tuple[State, ...] = ("unreviewed", "reviewed_empty", "labeled", "skipped")

Receipt = Mapping[str, Any]
"""Plain data that JSON can hold."""


@dataclass(frozen=True)
class Task:
    """One scene to label, as an annotator sees it. Nothing in it says what the labels are for, or which scene it is.

    `task`: an opaque id, new in every batch. `media`: channel name -> path of its file; that path may carry the scene's name:
    an annotator that shows files to people copies them under names of the task. `sizes`: image channel -> width, height in
    pixels. `channels`: those to be labelled. `calibration`: as stored (`labels.calibration`). `slot` counts the independent
    labellings of one scene (0 is the first).
    """

    task: str
    media: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    channels: tuple[Channel, ...]
    calibration: Mapping[str, Any] | None = None
    slot: int = 0


@dataclass(frozen=True)
class Work:
    """What is sent at once: `batch` ("v0", "reference"), the frozen `classes`, tasks in the order of their ids.

    `primary`: the channel that is shown. `sent`: how often the batch was reopened: what is older than the last time is stale.
    """

    batch: str
    classes: tuple[str, ...]
    tasks: tuple[Task, ...]
    primary: str
    sent: int = 0


@dataclass(frozen=True)
class Answer:
    """What came back for one task and channel. `labels` is set where `state` is labeled or reviewed_empty, None elsewhere;
    `rejected` are the bad labels that were left out of it; `annotator`: who drew them, where that is known."""

    task: str
    channel: str
    state: State
    labels: Labels | None = None
    annotator: str = ""
    rejected: tuple[Rejected, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """`answers`, one per task and channel at most; `notes`: what a user should know that no answer can say."""

    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = field(default=())


@runtime_checkable
class Annotator(Protocol):
    """People, a tool or a program that labels scenes.

    `name` is recorded with each label; `opinions` is how many independent labellings of one scene it can give: a batch that
    asks for more goes to several annotators, each with slots of its own.
    """

    name: str
    opinions: int

    def send(self, work: Work) -> Receipt:
        """Hand the work over. Sending the same work again changes nothing, and gives the same receipt."""

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        """The answers that are there. Fetching again gives equal answers, and those that came since."""


def answered(
    task: Task, channel: Channel, labels: Labels, rejected: Iterable[Rejected], annotator: str
) -> Answer:
    """The answer for a scene that was looked at: `labels` are the good ones, `rejected` the bad ones.

    Labels -> labeled; none at all -> reviewed_empty; only bad ones -> unreviewed, since a scene whose labels
    were all refused is not an empty scene.
    """
    rejected = tuple(rejected)
    if not len(labels) and rejected:
        return Answer(task.task, channel.name, "unreviewed", annotator=annotator, rejected=rejected)
    state: State = "labeled" if len(labels) else "reviewed_empty"
    return Answer(task.task, channel.name, state, labels, annotator, rejected)
