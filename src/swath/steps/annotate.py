"""Sends a batch to annotators, and fetches what they answered.

Annotators get a work set: scenes under opaque ids that are new in every batch, pool and golden mixed in an order that tells
nothing, without keys, splits, tags or references. `fetch` takes the answers that are there, puts bad labels in quarantine with
a reason, writes pool labels to `human_*`, golden ones to `golden_*` and several opinions of a reference to `opinions_*` and
their majority to `human_*`. Labels are on disk before the journal says that they are; fetching twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from swath import commit, life, opinions, prelabels
from swath.annotators.app import App
from swath.annotators.base import Annotator, Answer, Fetched, Task, Work
from swath.annotators.marks import MARKS
from swath.annotators.simulated import Known, Truth
from swath.annotators.work_set import SUGGESTION
from swath.errors import ConfigError, IntegrityError, StateError, some
from swath.labels import stored
from swath.labels.channels import Channel
from swath.labels.shapes import Labels, empty
from swath.opinions import Place
from swath.records.assignment import DONE, LABELLED, AnswerState, Assignment, Quarantined, Said
from swath.records.base import Document
from swath.records.batch import Batch, Left, Sent
from swath.records.batch import Fetched as FetchedRecord
from swath.records.results import FetchResult, SendResult
from swath.store.journal.lease import Writer
from swath.store.label_tags import with_tags
from swath.suggest import command
from swath.workspace import Workspace


def hidden_truth(workspace: Workspace) -> Truth:
    """What the simulated annotators look at: a function of a task's id. Read by them alone."""
    field, dataset = workspace.config.fields.truth, workspace.scenes.dataset
    if field not in dataset.get_field_schema():
        raise ConfigError(
            f"the simulated annotator needs the field {field!r}, which {dataset.name!r} lacks; fields with labels: "
            f"{some(workspace.scenes.label_fields(), 20)}; name one: "
            f"`{command('config', workspace.name, '--set', 'fields.truth=FIELD')}`"
        )
    known: dict[str, Known] = {}

    def look() -> None:
        """Reads the truth of all scenes of which labels may come in."""
        journal = workspace.journal
        secret = journal.loop().secret
        for batch in journal.batches.all():
            if batch.state not in life.FETCHED:
                continue
            rows = journal.assignments.find(round=batch.round, active=True)
            task_of: dict[str, set[str]] = {}
            for row in rows:
                task_of.setdefault(row.key, set()).add(task_id(secret, batch.round, row.key, row.slot))
            for key, labels in _truth(workspace, sorted(task_of)).items():
                known.update((task, Known(key, labels)) for task in task_of[key])

    def truth(task: str) -> Known:
        if task not in known:
            look()
        return known[task]

    return truth


def _truth(workspace: Workspace, keys: Sequence[str]) -> dict[str, dict[str, Labels | None]]:
    """key -> channel -> the true labels, None where there are none."""
    field, table = workspace.config.fields.truth, workspace.scenes.of(keys)
    out: dict[str, dict[str, Labels | None]] = {key: {} for key in keys}
    for channel in workspace.rig.labelled:
        for key, doc in zip(keys, workspace.scenes.values(channel.name, keys, [field]), strict=True):
            value = doc.get(field)
            size = table.size(channel.name, key) if key in table.row_of else (0, 0)
            out[key][channel.name] = None if value is None else stored.read(channel.modality, value, size)
    return out


# ---------------------------------------------------------------------- send


def send(workspace: Workspace, annotator: Annotator) -> SendResult:
    """Hands the open batch to `annotator`; doing it again hands over the same work.

    A batch that asks for more labellings of a scene than one annotator can give goes to several, each with slots of its own.
    """
    with workspace.writer("send") as writer:
        batch = life.open_batch(workspace.journal.batches.all(), workspace.name)
        name, sends = batch.round, batch.steps.send
        before = next((one for one in sends if one.annotator == annotator.name), None)
        slots = before.slots if before else _free_slots(batch, annotator)
        work = work_of(workspace, batch, slots)
        receipt = dict(annotator.send(work))
        now = Sent(
            annotator=annotator.name,
            tasks=len(work.tasks),
            slots=slots,
            receipt=receipt,
            reopened=len(batch.steps.reopen),
        )
        if now != before:
            others = [one for one in sends if one.annotator != annotator.name]
            step = "send" if batch.state == "committed" else "send more"
            workspace.journal.batches.advance(writer, name, step, {"send": [*others, now]})
        return SendResult(
            dataset=workspace.name,
            batch=name,
            annotator=annotator.name,
            tasks=len(work.tasks),
            sent_before=before is not None and before.reopened == now.reopened,
            receipt=receipt,
        )


def _free_slots(batch: Batch, annotator: Annotator) -> tuple[int, ...]:
    """The slots of a batch that nobody has, as many as the annotator can fill; `StateError` when there is none."""
    taken = {slot for one in batch.steps.send for slot in one.slots}
    free = [slot for slot in range(batch.slots) if slot not in taken]
    if not free:
        holders = ", ".join(repr(one.annotator) for one in batch.steps.send)
        raise StateError(f"{batch.round} is with {holders}; it cannot be sent to {annotator.name!r} as well")
    return tuple(free[: annotator.opinions])


def work_of(workspace: Workspace, batch: Batch, slots: Collection[int], *, ended: bool = False) -> Work:
    """What annotators get to see of a batch (got, where it has `ended`): from its assignments, in the order of opaque ids."""
    secret = workspace.journal.loop().secret
    wanted: dict[tuple[str, int], set[str]] = {}
    for row in workspace.journal.assignments.find(round=batch.round, active=None if ended else True):
        if row.slot in slots:
            wanted.setdefault((row.key, row.slot), set()).add(row.channel)
    keys = sorted({key for key, _ in wanted})
    table = workspace.scenes.of(keys)
    calibrations = workspace.scenes.calibrations(keys)
    rig = workspace.rig
    tasks = []
    for (key, slot), channels in wanted.items():
        if key not in table.row_of:  # deleted by hand since
            continue
        tasks.append(
            Task(
                task_id(secret, batch.round, key, slot),
                {name: table.path(name, key) for name in rig.names if table.has(name, key)},
                {one.name: table.size(one.name, key) for one in rig.images if table.has(one.name, key)},
                tuple(channel for channel in rig.channels if channel.name in channels),
                calibrations.get(key),
                slot,
            )
        )
    tasks.sort(key=lambda task: task.task)
    return Work(
        batch.round, workspace.config.classes, tuple(tasks), rig.primary, sent=len(batch.steps.reopen)
    )


def suggest(workspace: Workspace, work: Work) -> dict[str, dict[str, Labels]]:
    """What a model suggests for a share of the pool scenes of a batch: task -> channel -> labels. Nothing for golden scenes and
    references."""
    share, journal = workspace.config.annotate.prelabel, workspace.journal
    rows = journal.assignments.find(round=work.batch, active=True) if share else []
    pool = {row.key for row in rows if row.role == "pool"}
    if not pool:
        return {}
    secret, golden = journal.loop().secret, {row.key for row in rows if row.role == "golden"}
    found = prelabels.predicted(workspace, prelabels.chosen(sorted(pool), share, secret))
    if workspace.held is not None:
        workspace.held(prelabels.given_away(len(found), len(pool), len(golden)))
    return {task_id(secret, work.batch, key, 0): labels for key, labels in found.items()}


def task_id(secret: str, batch: str, key: str, slot: int) -> str:
    """An id that says nothing about the scene, and is another one in every batch, for whoever lacks the loop's secret."""
    named = f"{batch}\x1f{key}\x1f{slot}".encode()
    return hashlib.blake2b(named, key=secret.encode(), digest_size=8).hexdigest()


# ---------------------------------------------------------------------- fetch


Choice = Literal["mine", "theirs"]


def fetch(
    workspace: Workspace,
    annotator: Annotator,
    *,
    accept_partial: bool = False,
    edits: Choice | None = None,
) -> FetchResult:
    """Takes in what annotators answered so far. When nobody is waited for, the batch is `labeled`; until its model is trained it
    may be fetched again, and is checked again where labels changed.

    A scene of which labels went to quarantine waits until they are mended, or `accept_partial` takes it without them. Labels
    that were edited by hand since they were fetched are kept; where the annotators changed theirs too, `edits` says whose hold.
    "theirs" where nothing is disputed takes the annotators' again.
    """
    with workspace.writer("fetch") as writer:
        journal = workspace.journal
        batch = life.to_fetch(journal.batches.all(), workspace.name)
        name = batch.round
        sent = _sent(workspace, batch, annotator)
        work = work_of(workspace, batch, sent.slots)
        rows = journal.assignments.find(round=name, active=True)
        place_of = _places(workspace, batch, rows)
        answers = _checked(work, annotator.fetch(work, sent.receipt))
        heard = [_Heard(one, place_of[one.task, one.channel], accept_partial) for one in answers.answers]
        _spell(workspace, heard)
        merged = _merge(workspace, batch, rows, heard)
        hands = _hands(workspace, batch, heard, merged)
        tick = workspace.progress(f"take in labels of {name}")
        for channel in workspace.rig.labelled:
            new = [one for one in heard if one.row.channel == channel.name]
            _write(
                workspace, writer, batch, channel, [one for one in new if hands.may_write(one, edits)], merged
            )
        tick(1, 1)
        journal.lease.barrier(writer)
        news = [
            one
            for one in heard
            if (one.is_new or _remade(one, merged)) and not (hands.is_disputed(one) and edits is None)
        ]
        journal.assignments.answer(writer, name, _told(news, merged))
        result = _result(workspace, batch, annotator, answers.notes, hands, edits)
        result = _moved(
            workspace, writer, batch, result, changed=bool(news) or bool(edits == "theirs" and hands.edited)
        )
        commit.project(workspace, writer, sorted({row.key for row in rows}))
    return result


def _moved(
    workspace: Workspace, writer: Writer, batch: Batch, result: FetchResult, *, changed: bool
) -> FetchResult:
    """Moves the batch on, where nobody is waited for; back to `labeled`, where labels changed after it was checked."""
    batches = workspace.journal.batches
    if result.waiting or not _all_sent(batch):
        return result
    entry = FetchedRecord(
        states=result.states,
        labels=result.labels,
        notes=result.notes,
        rejected=len(result.rejected),
        made=None if batch.is_round else workspace.config.golden.reference,
    )
    if batch.state == "annotating":
        after = batches.advance(writer, batch.round, "fetch", {"fetch": entry})
        commit.settle(workspace, writer)
        return result.with_(state=after.state)
    if changed:
        after = batches.advance(
            writer, batch.round, "fetch again", {"fetch": entry}, drop=("check", "golden")
        )
        return result.with_(state=after.state)
    return result


class _Heard:
    """One answer, the assignment that it is for, and what the journal will say of it."""

    def __init__(self, answer: Answer, row: Assignment, accept_partial: bool) -> None:
        self.answer, self.row = answer, row
        self.rejected = tuple(Quarantined(where=bad.where, reason=bad.reason) for bad in answer.rejected)
        taken = accept_partial or (row.state in LABELLED and row.rejected == self.rejected)  # then or before
        partial = bool(answer.rejected) and answer.state in LABELLED and not taken
        self.state: AnswerState = "unreviewed" if partial else answer.state
        self.digest: str | None = None

    @property
    def place(self) -> Place:
        return self.row.key, self.row.channel

    @property
    def seen(self) -> bool:
        """Whether somebody looked, and said what is there."""
        return self.answer.state in LABELLED

    @property
    def is_new(self) -> bool:
        """Whether it says anything that the journal does not know. Labels that came stay, also where their file is gone since."""
        row = self.row
        if row.state in LABELLED and self.answer.state == "unreviewed" and not self.rejected:
            return False
        known = (row.state, row.digest, row.annotator or "", len(row.rejected))
        return known != (self.state, self.digest, self.answer.annotator, len(self.answer.rejected))

    def labels(self, modality: str) -> Labels:
        found = self.answer.labels
        return empty(modality) if found is None else found

    def said(self) -> Said:
        """What the journal keeps of it."""
        return Said(
            key=self.row.key,
            role=self.row.role,
            channel=self.row.channel,
            slot=self.row.slot,
            state=self.state,
            annotator=self.answer.annotator,
            count=0 if self.answer.labels is None else len(self.answer.labels),
            digest=self.digest,
            rejected=self.rejected,
        )


def _spell(workspace: Workspace, heard: Sequence[_Heard]) -> None:
    """Gives each answer the digest of its labels, as they are stored; where nobody looked, of those that came before and stay."""
    rig, table = workspace.rig, workspace.scenes.of({one.row.key for one in heard})
    for one in heard:
        if not one.seen:
            one.digest = one.row.digest
            continue
        size = table.size(one.row.channel, one.row.key)
        drawn = one.labels(rig[one.row.channel].modality)
        one.digest = stored.digest_of(stored.documents_of(drawn, size, []))


@dataclass(frozen=True)
class _Hands:
    """Labels that are not the ones that were fetched last: (scene, channel) that somebody edited, and those of them where the
    annotators changed theirs as well."""

    edited: frozenset[tuple[str, str]]
    disputed: frozenset[tuple[str, str]]

    def is_disputed(self, one: _Heard) -> bool:
        return one.place in self.disputed

    def replaced(self, choice: Choice | None) -> frozenset[tuple[str, str]]:
        """The edited ones that the annotators' labels replace: those that both changed; all of them, where there are none such."""
        return (self.disputed or self.edited) if choice == "theirs" else frozenset()

    def may_write(self, one: _Heard, choice: Choice | None) -> bool:
        return one.place not in self.edited or one.place in self.replaced(choice)


def _hands(
    workspace: Workspace, batch: Batch, heard: Sequence[_Heard], merged: Mapping[Place, _Merged]
) -> _Hands:
    """Looks at the labels that are there, against those that came last; where several labellings were made into one, against that."""
    nothing = stored.digest_of(())
    edited, disputed = set(), set()
    for channel in workspace.rig.labelled:
        mine = [one for one in heard if one.row.channel == channel.name and one.seen]
        keys = [one.row.key for one in mine]
        docs = workspace.scenes.values(channel.name, keys, [channel.human, channel.golden])
        for one, doc in zip(mine, docs, strict=True):
            golden = one.row.role == "golden"
            labels = stored.detections(doc.get(channel.golden if golden else channel.human))
            there = stored.digest_of(
                [label for label in labels if not golden or label.get("round") == batch.round]
            )
            both = merged.get(one.place)
            fetched = (both.first.merged if both else one.row.digest) or nothing
            comes = both.digest if both else one.digest
            if both and both.first.merged is None and both.first.digest:
                continue  # fetched when nobody noted what several labellings came to
            if there not in (fetched, comes):
                edited.add(one.place)
                if comes != fetched:
                    disputed.add(one.place)
    return _Hands(frozenset(edited), frozenset(disputed))


def _sent(workspace: Workspace, batch: Batch, annotator: Annotator) -> Sent:
    if batch.state == "committed":
        raise StateError(f"{batch.round} was not sent yet; run `{command('send', workspace.name)}`")
    for one in batch.steps.send:
        if one.annotator == annotator.name and one.reopened < len(batch.steps.reopen):
            raise StateError(
                f"{batch.round} was reopened and not sent again; run `{command('send', workspace.name)}`"
            )
        if one.annotator == annotator.name:
            return one
    holders = ", ".join(repr(one.annotator) for one in batch.steps.send)
    raise StateError(f"{batch.round} was sent to {holders}, not to {annotator.name!r}")


def _all_sent(batch: Batch) -> bool:
    taken = {slot for one in batch.steps.send for slot in one.slots}
    return len(taken) >= batch.slots


def _places(
    workspace: Workspace, batch: Batch, rows: Iterable[Assignment]
) -> dict[tuple[str, str], Assignment]:
    """(task, channel) -> the assignment."""
    secret = workspace.journal.loop().secret
    return {(task_id(secret, batch.round, row.key, row.slot), row.channel): row for row in rows}


def _checked(work: Work, fetched: Fetched) -> Fetched:
    """What was fetched, if every answer is of a task and channel that was sent, once; else an `IntegrityError` that names it."""
    expected = {(task.task, channel.name) for task in work.tasks for channel in task.channels}
    got = Counter((answer.task, answer.channel) for answer in fetched.answers)
    unknown, twice = sorted(got.keys() - expected), sorted(one for one, n in got.items() if n > 1)
    for what, which in (("unknown", unknown), ("given twice", twice)):
        if which:
            raise IntegrityError(
                f"{work.batch}: {len(which)} answers are {what}: {some(which)}; nothing was written"
            )
    return fetched


def _write(
    workspace: Workspace,
    writer: Writer,
    batch: Batch,
    channel: Channel,
    heard: Sequence[_Heard],
    merged: Mapping[Place, _Merged],
) -> None:
    """Labels of one channel. What nobody has looked at is not touched."""
    seen = [one for one in heard if one.seen]
    table = workspace.scenes.of({one.row.key for one in seen})
    values: dict[str, Document] = {}
    for one in seen:
        key, role = one.row.key, one.row.role
        if one.place in merged:
            continue
        documents = stored.documents_of(
            one.labels(channel.modality),
            table.size(channel.name, key),
            opinions.identity(workspace, batch, channel, key, role),
            ids=_ids(one),
            tags=_tags(one),
            round=batch.round,
            annotator=one.answer.annotator,
        )
        field = channel.golden if role == "golden" else channel.human
        labels = with_tags(field, documents, drawn=bool(_ids(one)) and all(_ids(one)))
        if role == "golden":
            values[key] = {field: opinions.kept(field, batch.round, labels)}
        else:
            values[key] = {field: {**stored.field_of(()), "detections": labels}}
    for place in {one.place for one in seen} & merged.keys():
        one_of = merged[place]
        values[place[0]] = {
            channel.opinions: opinions.kept(
                channel.opinions, batch.round, with_tags(channel.opinions, one_of.documents, drawn=False)
            ),
            channel.human: {
                **stored.field_of(()),
                "detections": with_tags(channel.human, one_of.labels, drawn=False),
            },
        }
    workspace.scenes.write(channel.name, values, writer, by_pipeline=True)


@dataclass(frozen=True)
class _Merged:
    """What several labellings of one place come to: the opinions (`documents`), the labels that count, and their digest."""

    documents: Sequence[Mapping[str, Any]]
    labels: Sequence[Mapping[str, Any]]
    digest: str
    first: Assignment


def _merge(
    workspace: Workspace, batch: Batch, rows: Sequence[Assignment], heard: Sequence[_Heard]
) -> dict[Place, _Merged]:
    """Places that are labelled more than once and were heard of -> their opinions, those that came before included, and what
    they come to."""
    asked = opinions.several(rows)
    out: dict[Place, _Merged] = {}
    for channel in workspace.rig.labelled:
        new: dict[str, dict[int, _Heard]] = {}
        for one in heard:
            if one.seen and one.row.channel == channel.name and one.place in asked:
                new.setdefault(one.row.key, {})[one.row.slot] = one
        before = opinions.there(
            workspace, batch.round, channel, [row for key in new for row in asked[key, channel.name]]
        )
        table = workspace.scenes.of(new)
        for key, by_slot in new.items():
            first = asked[key, channel.name][0]
            size = table.size(channel.name, key)
            named = opinions.identity(workspace, batch, channel, key, first.role)
            all_of_it = dict(before.get(key, {}))
            for slot, one in by_slot.items():
                drawn = one.labels(channel.modality)
                documents = stored.documents_of(
                    drawn,
                    size,
                    [*named[:2], *named[3:], slot],
                    ids=_ids(one),
                    tags=_tags(one),
                    round=batch.round,
                    annotator=one.answer.annotator,
                    slot=slot,
                )
                all_of_it[slot] = opinions.Opinion(documents, drawn)
            labels = stored.documents_of(
                opinions.merged(all_of_it, first.role, workspace.config.annotate.quorum),
                size,
                named,
                round=batch.round,
                annotator=next(iter(by_slot.values())).answer.annotator,
            )
            out[key, channel.name] = _Merged(
                [one for slot in sorted(all_of_it) for one in all_of_it[slot].documents],
                labels,
                stored.digest_of(labels),
                first,
            )
    return out


def _ids(one: _Heard) -> list[object]:
    """The ids that labels have where they were drawn, if they have any there."""
    labels = one.answer.labels
    return [] if labels is None else [document.get("_id") for document in labels.documents]


def _tags(one: _Heard) -> list[list[str]]:
    """The tags that people gave to labels where they drew them; not what swath writes there, nor what is said of a scene."""
    documents = () if one.answer.labels is None else one.answer.labels.documents
    given = [[str(tag) for tag in document.get("tags") or ()] for document in documents]
    own = [[tag for tag in tags if tag != SUGGESTION and tag.strip().lower() not in MARKS] for tags in given]
    return own or [[] for _ in one.labels("2d").classes]


def _remade(one: _Heard, merged: Mapping[Place, _Merged]) -> bool:
    """Whether its place comes to other labels than the journal knows."""
    return one.place in merged and merged[one.place].digest != merged[one.place].first.merged


def _told(heard: Sequence[_Heard], merged: Mapping[Place, _Merged]) -> list[Said]:
    """What the journal keeps: the answers, and beside the first labelling of a place what several come to."""
    said = {one.row.place: one.said() for one in heard}
    for (key, channel), one in merged.items():
        row = one.first
        if not any(other.place == (key, channel) for other in heard):
            continue
        known = said.get(row.place) or Said.model_validate(
            row.model_dump(
                include={
                    "key",
                    "role",
                    "channel",
                    "slot",
                    "state",
                    "annotator",
                    "count",
                    "digest",
                    "rejected",
                }
            )
        )
        said[row.place] = known.with_(merged=one.digest)
    return list(said.values())


def _result(
    workspace: Workspace,
    batch: Batch,
    annotator: Annotator,
    notes: tuple[str, ...],
    hands: _Hands,
    choice: Choice | None,
) -> FetchResult:
    """Where the batch stands, from its assignments."""
    rows = workspace.journal.assignments.find(round=batch.round, active=True)
    of = workspace.modality_of()
    labels: Counter[str] = Counter({of[row.channel]: 0 for row in rows})
    for row in rows:
        labels[of[row.channel]] += row.count or 0
    edited = tuple(sorted({key for key, _ in hands.edited}))
    replaced = sorted({key for key, _ in hands.replaced(choice)})
    disputed = tuple(sorted({key for key, _ in hands.disputed})) if choice is None else ()
    waits = {row.key for row in rows if row.state not in DONE} | set(disputed)
    waiting = workspace.scenes.of(waits).keys.tolist()  # those that were deleted by hand are not waited for
    rejected: dict[tuple[str, Quarantined], Left] = {}
    for row in rows:
        for one in row.rejected:  # a broken line of a file that holds boxes and cuboids is one
            rejected.setdefault((row.key, one), Left.of(row.key, of[row.channel], row.channel, one))
    held = {row.key for row in rows if row.rejected and row.state not in DONE}
    bare = {row.key for row in rows if row.key in held and row.rejected and not row.count}
    return FetchResult(
        dataset=workspace.name,
        batch=batch.round,
        annotator=annotator.name,
        state=batch.state,
        states=dict(sorted(Counter(row.state for row in rows).items())),
        labels=dict(sorted(labels.items())),
        waiting=len(waiting),
        waits_for=tuple(waiting),
        rejected=tuple(rejected.values()),
        edited=edited,
        disputed=disputed,
        notes=(
            *notes,
            *_advice(workspace.name, edited, disputed, replaced),
            *_quarantined(workspace.name, batch.round, sorted(held - bare), sorted(bare)),
        ),
    )


def _advice(
    dataset: str, edited: Sequence[str], disputed: Sequence[str], replaced: Sequence[str]
) -> list[str]:
    """What to do about edits, in words, and what was done."""
    said = []
    if disputed:
        mine, theirs = command("fetch", dataset, "--mine"), command("fetch", dataset, "--theirs")
        said.append(
            f"labels of {len(disputed)} scenes were edited by hand and changed by the annotators as well ({some(disputed)}); "
            f"nothing of either is lost: `{mine}` keeps the edits, `{theirs}` takes the annotators'"
        )
    if replaced:
        said.append(
            f"edits by hand of {len(replaced)} scenes gave way to the annotators' labels: {some(replaced)}"
        )
    kept = [key for key in edited if key not in disputed and key not in replaced]
    if kept:
        said.append(
            f"labels of {len(kept)} scenes were edited by hand since they were fetched, and are kept: {some(kept)}"
        )
    return said


def _quarantined(dataset: str, name: str, partly: Sequence[str], bare: Sequence[str]) -> list[str]:
    """What to do about scenes that wait with labels in quarantine: `partly` have good ones too, `bare` have none."""
    said = []
    if partly:
        how = command("fetch", dataset, "--accept-partial")
        said.append(
            f"{len(partly)} scenes wait because labels of theirs are in quarantine ({some(partly)}): have them mended and fetch "
            f"again, or take the scenes without them: `{how}`"
        )
    if bare:
        how = command("round close", dataset, name, "--return-missing")
        said.append(
            f"{len(bare)} scenes wait because every label of theirs is in quarantine ({some(bare)}): have them mended and fetch "
            f"again, or go on without these scenes: `{how}`"
        )
    return said


# ---------------------------------------------------------------------- when a batch has ended


def clear(workspace: Workspace) -> list[str]:
    """Removes the work sets of batches that ended, where all that was drawn there has arrived; says which are kept, and why."""
    app, said = App(workspace.name, workspace.home), []
    for batch in workspace.journal.batches.all():
        for slot in range(batch.slots) if batch.state in life.ENDED else ():
            if not app.has(batch.round, slot):
                continue
            if not (left := _not_arrived(workspace, batch, slot, app)):
                app.remove(batch.round, slot)
                continue
            name = app.work_set(batch.round, slot)
            said.append(
                f"{batch.round} is {batch.state} and takes no more labels, but those of {len(left)} tasks in {name} never came "
                f"({some(left)}); nothing was removed: look at them with `{command('app', name)}`, then delete it in FiftyOne"
            )
    return said


def _not_arrived(workspace: Workspace, batch: Batch, slot: int, app: App) -> list[str]:
    """Tasks of a batch that ended with labels, or words, that were never taken in."""
    work = work_of(workspace, batch, (slot,), ended=True)
    place_of = _places(workspace, batch, workspace.journal.assignments.find(round=batch.round))
    answers = app.fetch(work, {}).answers
    heard = [_Heard(one, place_of[one.task, one.channel], True) for one in answers]
    _spell(workspace, heard)
    late = {one.answer.task for one in heard if one.seen and one.row.digest != one.digest}
    return sorted(late | set(app.undelivered(work)))
