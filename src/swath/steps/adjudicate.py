"""What two labellings of the reference see differently, and what somebody decides of it.

Once everything is decided the reference counts as one of two labellings with adjudication: its own error rates are then lower, and
the golden check sees smaller deviations. It can be decided, and decided otherwise, until something is compared with the reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swath import adjudication, life
from swath.adjudication import Both
from swath.errors import ConfigError, StateError, UnknownNameError, some
from swath.policies.differences import WORDS, Choice, Difference
from swath.records.batch import Adjudicated, Batch, Decision
from swath.records.results import AdjudicateResult, Differs
from swath.settings import shortly
from swath.suggest import command, meant
from swath.workspace import Workspace

EVERY = "*"
Named = Sequence[tuple[str, Both, Difference]]


def adjudicate(workspace: Workspace, given: Mapping[str, str]) -> AdjudicateResult:
    """Lists every difference, after recording and applying `given`: name (`KEY:N`, or `*` for all that are open) -> choice."""
    with workspace.writer("adjudicate") as writer:
        batch = _batch(workspace, bool(given))
        places = adjudication.both(workspace, batch)
        named = list(adjudication.named(places))
        record = _decided(batch, named, given)
        may = life.compared(workspace.journal.batches.all()) is None
        if may and record != batch.steps.adjudicate:
            batch = workspace.journal.batches.advance(
                writer, batch.round, "adjudicate", {"adjudicate": record}
            )
        edited = adjudication.apply(workspace, writer, batch, places) if may else ()
        workspace.scenes.refresh()
    return _result(workspace, batch, record, named, len({one.key for one in places}), edited)


def _batch(workspace: Workspace, deciding: bool) -> Batch:
    """The reference of two labellings; an error that says why there is nothing to decide, or no more."""
    batches = workspace.journal.batches.all()
    there = [one for one in life.references(batches) if not one.cancelled]
    if not there or there[-1].state != "closed":
        what = f"is {there[-1].state}: its labels must be there first" if there else "is not there yet"
        raise StateError(f"the reference {what}; `{command('next', workspace.name)}` says what is next")
    batch = there[-1]
    if batch.slots != 2:
        how = (
            "one labelling, which differs from nothing; for two, say golden: {reference: adjudicated} before it is made"
            if batch.slots == 1
            else f"{batch.slots} labellings, of which the majority counts"
        )
        raise StateError(f"only a reference of two labellings is decided; this one is of {how}")
    used = life.compared(batches)
    if deciding and used is not None:
        raise StateError(f"{used} was compared with the reference, and it stays; nothing was decided")
    return batch


def _decided(batch: Batch, named: Named, given: Mapping[str, str]) -> Adjudicated:
    """What is recorded: earlier decisions of differences that are still there, and the given ones."""
    choices = adjudication.choices_of(batch)
    names = {name: difference for name, _, difference in named}
    for name, said in given.items():
        if name == EVERY:
            still = [one for one in names.values() if one.id not in choices]
            choices |= {
                one.id: _choice(name, said, one) for one in still if said in one.choices or said not in WORDS
            }
        elif name not in names:
            listed = some(sorted(names)) if names else "none"
            raise UnknownNameError(f"no difference {shortly(name)}{meant(name, names)}; there are: {listed}")
        else:
            choices[names[name].id] = _choice(name, said, names[name])
    decisions = tuple(
        Decision(scene=one.key, channel=one.channel.name, id=difference.id, choice=choices[difference.id])
        for _, one, difference in named
        if difference.id in choices
    )
    return Adjudicated(differences=len(named), open=len(named) - len(decisions), decisions=decisions)


def _choice(name: str, said: str, difference: Difference) -> Choice:
    for one in difference.choices:
        if one == said:
            return one
    listed = ", ".join(f"{one} ({WORDS[one]})" for one in difference.choices)
    raise ConfigError(f"{name}: expected one of {listed}, got {shortly(said)}")


def _result(
    workspace: Workspace, batch: Batch, record: Adjudicated, named: Named, scenes: int, edited: Sequence[str]
) -> AdjudicateResult:
    choices = {one.id: one.choice for one in record.decisions}
    notes = []
    if edited:
        notes.append(
            f"labels of {len(edited)} scenes were edited by hand since, and are kept as they are: {some(edited)}"
        )
    if not named:
        notes.append("the labellings agree on everything: nothing is to be decided")
    return AdjudicateResult(
        dataset=workspace.name,
        batch=batch.round,
        scenes=scenes,
        open=record.open,
        differences=tuple(
            Differs(
                name=name,
                scene=one.key,
                channel=one.channel.name,
                what=difference.what,
                choices=difference.choices,
                choice=choices.get(difference.id),
            )
            for name, one, difference in named
        ),
        way=command("reference --adjudicate", workspace.name, "--decide", "KEY:N=a"),
        notes=tuple(notes),
    )
