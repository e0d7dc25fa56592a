"""Imports point downwards only, and heavy libraries are imported where they are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "src" / "swath"
LAYERS = (
    {"errors", "config"},
    {"kernels"},
    {"scenes", "views", "journal", "projection", "database"},
    {"annotators", "trainers", "encoders", "formats", "worlds", "labels"},
    {"steps"},
    {"loop"},
    {"cli", "show", "demo", "report", "app", "plugin"},
)
HEAVY = {"fiftyone", "torch", "onnxruntime", "pycocotools", "eta", "plotly"}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if path.name not in ("__main__.py",) and path != ROOT / "__init__.py"
)


def part(path: Path) -> str:
    """`steps` for `steps/select.py`, `journal` for `journal.py`."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, wherever it stands; `from swath import x` counts as `swath.x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            yield node.lineno, str(node.module)
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def only_for_types(tree: ast.Module) -> set[int]:
    """Lines under `if TYPE_CHECKING:`: they import nothing when the program runs."""
    return {
        inner.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
        if hasattr(inner, "lineno")
    }


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_imports_point_downwards(path: Path) -> None:
    """A module imports its own layer and those below, types included; every part of swath has its place in the layers."""
    here = part(path)
    assert here in LEVEL, f"{here} has no layer: say where it belongs"
    for line, module in imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "swath" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= LEVEL[here], f"{path.name}:{line} imports {module}, which lies above"


# An underscore says: imported where it is used, by the module that it belongs to.
OUTER = [path for path in MODULES if not path.name.startswith("_")]


@pytest.mark.parametrize("path", OUTER, ids=[str(path.relative_to(ROOT)) for path in OUTER])
def test_heavy_libraries_load_where_they_are_used(path: Path) -> None:
    """None is imported at the top of a module, but in the inner modules whose work they are."""
    tree = ast.parse(path.read_text())
    types = only_for_types(tree)
    for node in tree.body:
        for line, module in imports(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            assert line in types or module.split(".")[0] not in HEAVY, f"{path.name}:{line} imports {module}"


def test_kernels_know_neither_files_nor_clocks() -> None:
    """Kernels import no database, no files, no clock, no global chance: numpy in, numpy out."""
    banned = {
        "fiftyone",
        "pymongo",
        "os",
        "pathlib",
        "time",
        "datetime",
        "random",
        "socket",
        "subprocess",
    }
    for path in (ROOT / "kernels").glob("*.py"):
        found = {module.split(".")[0] for _, module in imports(ast.parse(path.read_text()))}
        assert not found & banned, f"{path.name} imports {found & banned}"


def test_nobody_draws_from_the_global_generator() -> None:
    """`np.random` is used for generators and their types alone, `random` not at all, in all of swath."""
    for path in MODULES:
        tree = ast.parse(path.read_text())
        assert not {module for _, module in imports(tree) if module.split(".")[0] == "random"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
                allowed = ("default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator")
                assert node.attr in allowed, f"{path.name}:{node.lineno}: np.random.{node.attr}"
