"""The notebook: the guide's seven steps with swath's Python API."""

from __future__ import annotations

import ast
import os
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from support import remove
from swath.loop import Loop
from swath.records.base import Estimate, Record
from swath.records.html import ROWS, cell, table

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "full_loop.ipynb"
DOORS = {"swath", "swath.worlds", "swath.database"}  # modules that the notebook may use
NAME = "full-loop"


@pytest.fixture(scope="module")
def notebook() -> Any:
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook: Any) -> list[str]:
    return [one.source for one in notebook.cells if one.cell_type == "code"]


def test_cells_use_what_is_public(notebook: Any) -> None:
    """Every cell compiles; what it takes from swath exists and has no underscore; what it asks of a loop are public methods."""
    used = set()
    for source in code(notebook):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("swath"):
                assert node.module in DOORS
                for alias in node.names:
                    assert not alias.name.startswith("_")
                    assert f"swath.{alias.name}" in DOORS or hasattr(import_module(node.module), alias.name)
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in ("loop", "Loop")
            ):
                assert not node.attr.startswith("_")
                assert hasattr(Loop, node.attr), node.attr
                used.add(node.attr)
    assert {
        "split",
        "embed",
        "reference",
        "select",
        "send",
        "fetch",
        "check",
        "golden",
        "train",
        "evaluate",
        "stop",
        "run",
    } <= used


def test_it_is_kept_without_output(notebook: Any) -> None:
    """No cell holds a result, a picture or a count: what is shown is what somebody's run gave."""
    for one in notebook.cells:
        if one.cell_type == "code":
            assert one.outputs == []
            assert one.execution_count is None


@pytest.mark.slow
@pytest.mark.database
def test_from_top_to_bottom(notebook: Any, mongod: str, tmp_path: Path) -> None:
    """Every cell runs, results come as tables and sections of the report, and two rounds are closed."""
    from nbclient import NotebookClient

    remove(NAME)
    os.environ["TMPDIR"] = str(tmp_path)  # the kernel's, which inherits it
    try:
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
        ).execute()
        shown = [
            out.data["text/html"]
            for one in notebook.cells
            if one.cell_type == "code"
            for out in one.outputs
            if out.output_type == "execute_result" and "text/html" in out.data
        ]
        assert sum("<caption" in one for one in shown) > 12
        assert sum(one.startswith("<iframe") for one in shown) == 3
        assert not [
            out
            for one in notebook.cells
            if one.cell_type == "code"
            for out in one.outputs
            if out.output_type == "error"
        ]
        assert [one.state for one in Loop.open(NAME).status().rounds] == ["closed", "closed"]
    finally:
        del os.environ["TMPDIR"]
        remove(NAME)


# ---------------------------------------------------------------------- results as tables


class Thing(Record):
    """Something of every kind that a record may have."""

    name: str
    figure: Estimate = Estimate(value=0.25, low=0.1, high=0.4)
    counts: dict[str, int] = Field(default_factory=dict)
    lines: tuple[str, ...] = ()
    parts: tuple[Estimate, ...] = ()
    pairs: tuple[tuple[str, int], ...] = ()
    none: float | None = None


TEXT = st.text(alphabet=st.characters(codec="utf-8") | st.sampled_from("<>&\"'"), max_size=20)


@settings(max_examples=40)
@given(TEXT, TEXT, st.lists(TEXT, max_size=30))
def test_what_a_record_holds_is_escaped(name: str, other: str, lines: list[str]) -> None:
    """The table of a record has the same tags whatever its texts are, and says all of the first lines of a list, and how many
    more there are."""
    plain = Thing(name="a", counts={"a": 1}, lines=("a",) * len(lines), pairs=(("a", 1),))
    made = Thing(name=name, counts={other: 1}, lines=tuple(lines), pairs=((name, 1),))._repr_html_()
    tags = re.compile(r"<[a-z/][^>]*>")
    assert tags.findall(made) == tags.findall(plain._repr_html_())
    assert "0.250 (0.100 to 0.400)" in made
    assert (f"and {len(lines) - ROWS} more" in made) == (len(lines) > ROWS)


def test_results_of_all_kinds() -> None:
    """Every value has a form: nothing, yes and no, figures, records in records, lists of records as one table."""
    assert cell(None) == cell(()) == cell([]) == cell({}) == "–"
    assert (cell(True), cell(0.123456), cell("<b>")) == ("yes", "0.1235", "&lt;b&gt;")
    listed = cell((Thing(name="x"), Thing(name="y")))
    assert listed.count("<table") == 1
    assert listed.count("<tr>") == 3
    assert table("T", {"a_b": 1}).count("<th") == 1
