"""People who label in FiftyOne's App: `send` makes work sets, `fetch` reads what they drew and said there.

    NAME-work-v0              the work set of a batch: a FiftyOne dataset of its own (see `work_set`)
    NAME-work-reference-2     that of the second labelling of each scene, where several are asked for
    HOME/work/v0/             its media

Labels come with the ids that the App gave them. Whose they are nobody can see: FiftyOne's App knows no users; so the names of
`annotate: {people: [...]}` count, one for each labelling of a scene. Which scenes count as looked at is said in `marks`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from swath.annotators import marks, work_set
from swath.annotators.base import Answer, Fetched, Receipt, Task, Work, answered
from swath.annotators.marks import DONE, EMPTY, SKIPPED, Scene
from swath.errors import SwathError, some
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.clean import Rejected, clean
from swath.labels.shapes import Boxes, Labels
from swath.suggest import command

LONGEST: Final = 100  # characters of a dataset's name in FiftyOne


Suggest = Callable[[Work], Mapping[str, Mapping[str, Labels]]]
"""What a model suggests for some tasks of a work: task -> channel -> labels."""


class App:
    """Work sets of the loop `loop`, with media below `home`; `people`: who labels, one for each labelling of a scene;
    `suggest`: labels to begin with."""

    name = "app"

    def __init__(
        self, loop: str, home: Path | str, people: Sequence[str] = (), suggest: Suggest = lambda work: {}
    ) -> None:
        self.loop, self.people = loop, tuple(people)
        self.opinions = max(1, len(self.people))
        self._home, self._suggest = Path(home), suggest

    def send(self, work: Work) -> Receipt:
        """Make the work sets, one for each labelling; doing it again changes nothing that was drawn.

        The receipt: their names, `work_sets`, and how often the batch was `sent`.
        """
        slots = _slots(work)
        for slot, part in slots.items():
            name, folder = self.work_set(work.batch, slot), self._folder(work.batch, slot)
            work_set.bring(name, folder, self.loop, part, self._suggest)
        return {"work_sets": [self.work_set(work.batch, slot) for slot in slots], "sent": work.sent}

    def fetch(self, work: Work, receipt: Receipt) -> Fetched:
        """What is drawn and said in the work sets: an answer for each task and channel. SwathError where one is gone."""
        answers: list[Answer] = []
        notes: list[str] = []
        for slot, part in _slots(work).items():
            name = self.work_set(work.batch, slot)
            there = self._scenes(name, work.batch)
            who = self._who(slot, len(_slots(work)))
            for task in part.tasks:
                answers += _answers(task, there.get(task.task), work.classes, who)
            notes += _notes(name, [task.task for task in part.tasks], there)
        return Fetched(tuple(answers), tuple(notes))

    def undelivered(self, work: Work) -> list[str]:
        """Tasks with labels that somebody drew and `fetch` does not take, or would if it were run: nobody said that they are done."""
        left = []
        for slot, part in _slots(work).items():
            there = self._scenes(self.work_set(work.batch, slot), work.batch)
            for task in part.tasks:
                scene = there.get(task.task)
                if scene and scene.waits and any(one.own and not one.drawn for one in scene.asked):
                    left.append(task.task)
        return left

    def has(self, batch: str, slot: int) -> bool:
        """Whether the work set of a batch is there."""
        return work_set.is_of(self.work_set(batch, slot), self.loop)

    def remove(self, batch: str, slot: int) -> None:
        """Removes the work set of a batch and its media."""
        work_set.remove(self.work_set(batch, slot), self._folder(batch, slot))

    def work_set(self, batch: str, slot: int = 0) -> str:
        """Name of a work set."""
        rest = f"-work-{batch}{_number(slot)}"
        if len(self.loop) + len(rest) <= LONGEST:
            return self.loop + rest
        digest = hashlib.blake2b(self.loop.encode(), digest_size=4).hexdigest()
        return f"{self.loop[: LONGEST - len(rest) - 9]}-{digest}{rest}"

    def _folder(self, batch: str, slot: int) -> Path:
        return self._home.absolute() / "work" / f"{batch}{_number(slot)}"

    def _who(self, slot: int, slots: int) -> str:
        """Who labels: everybody together, where each scene is labelled once."""
        if slots == 1 and slot == 0:
            return ", ".join(self.people) or self.name
        return self.people[slot] if slot < len(self.people) else f"{self.name}{_number(slot)}"

    def _scenes(self, name: str, batch: str) -> dict[str, Scene]:
        dataset = work_set.there(name)
        if dataset is None:
            how = command("send", self.loop, "--annotator", self.name)
            raise SwathError(
                f"the work set {name!r} of {batch} is gone (deleted by hand?): labels that were fetched before are safe, others are "
                f"lost with it; make it again, empty: `{how}`"
            )
        return {scene.task: scene for scene in marks.scenes(dataset)}


def _number(slot: int) -> str:
    return f"-{slot + 1}" if slot else ""


def _slots(work: Work) -> dict[int, Work]:
    """The work of each labelling, first to last."""
    slots = sorted({task.slot for task in work.tasks})
    return {
        slot: Work(
            work.batch,
            work.classes,
            tuple(task for task in work.tasks if task.slot == slot),
            work.primary,
            work.sent,
        )
        for slot in slots
    }


# ---------------------------------------------------------------------- what a scene says


def _answers(task: Task, scene: Scene | None, classes: Sequence[str], who: str) -> list[Answer]:
    slices = {one.name: one for one in scene.slices} if scene else {}
    said = scene.said if scene else None
    answers = []
    for channel in task.channels:
        one = slices.get(channel.name) or slices.get("")
        if scene is None or one is None or scene.torn:
            answers.append(Answer(task.task, channel.name, "unreviewed", annotator=who))
        elif said == SKIPPED:
            answers.append(Answer(task.task, channel.name, "skipped", annotator=who))
        elif said is None and not one.drawn:
            answers.append(Answer(task.task, channel.name, "unreviewed", annotator=who))
        else:
            labels = one.labels if said == DONE else one.own
            good, bad = _read(task, channel, labels, classes)
            answers.append(answered(task, channel, good, bad, who))
    return answers


def _read(
    task: Task, channel: Channel, labels: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> tuple[Labels, list[Rejected]]:
    """The good labels of a slice and the bad ones, whichever field they were drawn in."""
    flat = channel.kind == "image"
    fitting = [one for one in labels if one.get("bounding_box" if flat else "location")]
    others = [one for one in labels if one not in fitting]
    reason = "a cuboid in an image: draw boxes here" if flat else "a box in a cloud: draw cuboids here"
    bad = [Rejected(_where(task, channel, one), reason) for one in others]
    where = [_where(task, channel, one) for one in fitting]
    size = task.sizes.get(channel.name, (0, 0))
    drawn = stored.read(channel.modality, stored.field_of(fitting), size)
    good: Labels
    if isinstance(drawn, Boxes):
        good, worse = clean(drawn, classes, *size, where)
    else:
        good, worse = clean(drawn, classes, *size, where)
    return good, [*bad, *worse]


def _where(task: Task, channel: Channel, label: Mapping[str, Any]) -> str:
    return f"{task.task}/{channel.name}/{label.get('_id')}"


# ---------------------------------------------------------------------- what is odd, and what helps


def _notes(name: str, tasks: Sequence[str], there: Mapping[str, Scene]) -> list[str]:
    scenes = [there[task] for task in tasks if task in there]
    how = command("app", name)
    if scenes and not any(
        one.marks or any(part.own or part.emptied for part in one.slices) for one in scenes
    ):
        return [f"nothing is drawn in {name} yet, and no scene is marked; open it: `{how}`"]
    waits = [one for one in scenes if one.waits]

    def tasks_of(which: Iterable[Scene]) -> list[str]:
        return [one.task for one in which]

    said = {
        "{n} scenes are marked skip and as something else, and wait: take one of the marks away: {tasks}": tasks_of(
            one for one in waits if one.torn
        ),
        "{n} scenes have labels on some slices and none on others, and wait: draw the rest, or mark them done: {tasks}": tasks_of(
            one for one in waits if not one.torn and _is_half(one)
        ),
        "{n} scenes have labels that were there when they were sent, and wait until those are changed, deleted, or the scene is "
        "marked done: {tasks}": tasks_of(one for one in waits if not one.torn and _is_half_given(one)),
        "{n} scenes have no labels any more, and wait: mark them empty if nothing is there: {tasks}": tasks_of(
            one for one in waits if not one.torn and _is_emptied(one)
        ),
        "{n} scenes are marked skip and have labels, which are not taken while they are: {tasks}": tasks_of(
            one for one in scenes if one.said == SKIPPED and any(part.own for part in one.asked)
        ),
        "{n} scenes are marked empty and have labels on every slice, which are taken: {tasks}": tasks_of(
            one for one in scenes if one.said == EMPTY and one.asked and all(part.own for part in one.asked)
        ),
        "{n} scenes have a mark on labels, where it says nothing: choose Sample in the tag menu, not Labels: {tasks}": tasks_of(
            one for one in waits if any(_is_misplaced(label) for part in one.slices for label in part.labels)
        ),
        "{n} tasks are not in the work set: send the batch again: {tasks}": [
            task for task in tasks if task not in there
        ],
        "{n} scenes of the work set are no tasks of this batch, and are not read: {tasks}": sorted(
            there.keys() - set(tasks)
        ),
        "{n} scenes have labels on a slice that is not to be labelled; they are not read: {tasks}": tasks_of(
            one for one in scenes if any(part.labels for part in one.slices if part.draw == marks.NOTHING)
        ),
    }
    notes = [
        f"{name}: {text.format(n=len(which), tasks=some(which))}" for text, which in said.items() if which
    ]
    if strange := marks.strange_tags(scenes):
        listed = some(f"{tag!r} on {n}" for tag, n in sorted(strange.items()))
        notes.append(f"{name}: tags that are no marks ({listed}); the marks are {', '.join(marks.MARKS)}")
    return notes


def _is_misplaced(label: Mapping[str, Any]) -> bool:
    return any(str(tag).strip().lower() in marks.MARKS for tag in label.get("tags") or ())


def _is_half(scene: Scene) -> bool:
    return any(one.drawn for one in scene.asked) and not all(one.labels for one in scene.asked)


def _is_half_given(scene: Scene) -> bool:
    return any(one.own and one.untouched for one in scene.asked)


def _is_emptied(scene: Scene) -> bool:
    return any(one.emptied for one in scene.asked) and not any(one.labels for one in scene.asked)
