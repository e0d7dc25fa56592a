"""Settings in words, read from their models: what each is called, what it may be, what it does, and what is wrong with one.

Of any pydantic model, so that the messages, `swath config` and docs/settings.md say the same.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from swath.suggest import nearest

NAME: Final = "NAME"  # stands for the key of a mapping, such as a channel's name
LONGEST: Final = 60  # characters of a value that a message repeats
NAMES: Final = ("extra_forbidden", "invalid_key")  # what pydantic calls a setting that does not exist
Model = type[BaseModel]


class Expected(NamedTuple):
    """In the annotation of a setting: what is expected, where its type does not say it."""

    text: str


class Knob(NamedTuple):
    """One setting: its dotted name, what is expected of it, its default, and what it does."""

    name: str
    expected: str
    default: Any
    does: str


class Problem(NamedTuple):
    """What is wrong with a setting: where it is (keys, from the outside in), and why, in words."""

    at: tuple[str | int, ...]
    why: str


def knobs(model: Model, prefix: str = "") -> Iterator[Knob]:
    """Every setting of a model, in its order; those of a mapping's values under `NAME`."""
    for name, field in model.model_fields.items():
        inner = _model(field.annotation)
        if inner is None:
            default = field.get_default(call_default_factory=True)
            yield Knob(prefix + name, expected(field), default, field.description or "")
        else:
            within = f"{NAME}." if get_origin(_wanted(field.annotation)) is dict else ""
            yield from knobs(inner, f"{prefix}{name}.{within}")


def dotted(at: Iterable[str | int]) -> str:
    """`select.budget`, `modalities[0]`."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def flat(values: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Where -> value, of all that is no mapping (or an empty one)."""
    if not isinstance(values, Mapping) or (not values and at):
        return {at: values}
    return {
        where: one for key, value in values.items() for where, one in flat(value, (*at, str(key))).items()
    }


# ---------------------------------------------------------------------- what is expected


def expected(field: FieldInfo) -> str:
    """What a setting may be: `a whole number from 1 to 256`, `one of copy, link`."""
    text = _kind(field.annotation, field.metadata)
    return f"{text}, or null" if type(None) in get_args(field.annotation) else text


def _kind(annotation: Any, metadata: Sequence[Any]) -> str:
    for one in metadata:
        if isinstance(one, Expected):
            return one.text
    kind = _wanted(annotation)
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return ("a whole number" if kind is int else "a number") + _range(metadata)
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"a list of {_kind(get_args(kind)[0], ())}".replace("a list of one of", "a list of some of")
    if kind is Path:
        return "a path"
    return "a mapping of settings" if _model(kind) is not None else "text"


def _range(metadata: Sequence[Any]) -> str:
    limits = {
        name: getattr(one, name) for one in metadata for name in ("ge", "le", "gt") if hasattr(one, name)
    }
    text = ""
    if "ge" in limits and "le" in limits:
        text = f" from {limits['ge']:,} to {limits['le']:,}"
    elif "ge" in limits:
        text = f", at least {limits['ge']}"
    elif "gt" in limits:
        text = f" above {limits['gt']}" + (f", at most {limits['le']:,}" if "le" in limits else "")
    steps = [one.multiple_of for one in metadata if hasattr(one, "multiple_of")]
    return text + (f", a multiple of {steps[0]}" if steps else "")


def _wanted(annotation: Any) -> Any:
    """The type without None and without what annotates it."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [one for one in get_args(annotation) if one is not type(None)]
        return _wanted(rest[0])
    return annotation


def _model(annotation: Any) -> Model | None:
    """The model of a section, or of the values of a mapping."""
    kind = _wanted(annotation)
    if get_origin(kind) is dict:
        kind = get_args(kind)[1]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


# ---------------------------------------------------------------------- what is wrong


def problems(model: Model, error: ValidationError) -> list[Problem]:
    """What is wrong, one by one, in the order of the settings."""
    found = []
    for one in error.errors(include_url=False):
        at = tuple(part for part in one["loc"] if part != "[key]")
        why = _why(model, at, one)
        named, _, rest = why.partition(": ")
        if not at and named in model.model_fields:  # what contradicts another setting names itself
            at, why = (named,), rest
        if one["type"] in NAMES or "[key]" in one["loc"]:
            at = (*at[:-1], str(at[-1]))
        found.append(Problem(at, why))
    return found


def _why(model: Model, at: tuple[str | int, ...], error: Mapping[str, Any]) -> str:
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] in NAMES:
        return _no_such(model, at)
    if "[key]" in error["loc"]:
        return f"expected text as a name, got {shortly(error['input'])}"
    return f"expected {_expected_at(model, at)}, got {shortly(error['input'])}"


def shortly(value: Any) -> str:
    """A value as it is spelled, its middle left out where it is long."""
    try:
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    except (ValueError, RecursionError):  # a number of too many digits
        return f"a {type(value).__name__}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}...{text[-LONGEST // 4 :]}"


def _no_such(model: Model, at: tuple[str | int, ...]) -> str:
    there = _section(model, at[:-1])
    names = list(there.model_fields) if there is not None else []
    close = nearest(str(at[-1]), names)
    elsewhere = [one.name for one in knobs(model) if one.name.rpartition(".")[2] == str(at[-1])]
    if close:
        return f"there is no such setting; did you mean {dotted((*at[:-1], close))}?"
    if elsewhere:
        return f"there is no such setting; did you mean {' or '.join(elsewhere)}?"
    return f"there is no such setting; there are: {', '.join(names)}"


def _section(model: Model, at: Sequence[str | int]) -> Model | None:
    """The model of the section at a place."""
    here: Model | None = model
    rest = list(at)
    while rest and here is not None:
        field = here.model_fields.get(str(rest.pop(0)))
        here = _model(field.annotation) if field is not None else None
        if here is not None and field is not None and get_origin(_wanted(field.annotation)) is dict and rest:
            rest.pop(0)
    return here


def _expected_at(model: Model, at: Sequence[str | int]) -> str:
    if at and isinstance(at[-1], int):  # an entry of a list
        whole = _expected_at(model, at[:-1])
        return whole.removeprefix("a list of ").replace("some of", "one of", 1)
    there = _section(model, at[:-1])
    field = there.model_fields.get(str(at[-1])) if there is not None and at else None
    return "a mapping of settings" if field is None else expected(field)
