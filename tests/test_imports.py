"""Imports point downwards only, and heavy libraries are imported where they are used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from swath.records.base import Document, Record

ROOT = Path(__file__).parents[1] / "src" / "swath"
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "errors changes config settings suggest",
        "kernels",
        "labels",
        "records",
        "life words",
        "projection policies",
        "database formats media",
        "worlds",
        "store annotators crops encoders exports models sources trainers",
        "workspace commit evaluations adjudication aspects appearance opinions prelabels tracking",
        "fields_there",
        "steps report opening",
        "backtest",
        "loop",
        "show measure demo",
        "commands plugin",
        "cli settings_page",
    )
)
"""From the ground up. A room imports rooms below it, and itself; of rooms on one line none imports another, but for those
of `TOGETHER`."""
TOGETHER = (
    {
        "workspace",
        "commit",
        "evaluations",
        "adjudication",
        "aspects",
        "appearance",
        "opinions",
        "prelabels",
        "tracking",
    },  # one protocol: guards, commit, what is shown of an evaluation
    {"show", "measure", "demo"},  # the demo shows what the others make
    {"formats", "media", "database"},
    {"errors", "changes", "config", "settings", "suggest"},
    {"crops", "encoders", "exports", "models", "sources", "trainers"},
)
STORE = ("blobs", "codec", "lease", "batches", "assignments", "journal")
"""Inside `store/journal`, from the ground up; `journal` is the door that puts them together."""
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


def allowed(here: str, there: str) -> bool:
    """Whether a room may import another."""
    if here == there or LEVEL[there] < LEVEL[here]:
        return True
    return LEVEL[there] == LEVEL[here] and any({here, there} <= group for group in TOGETHER)


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_imports_point_downwards(path: Path) -> None:
    """A module imports its own room and those below, types included; every part of swath has its place in the layers."""
    here = part(path)
    assert here in LEVEL, f"{here} has no layer: say where it belongs"
    for line, module in imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "swath" and len(parts) > 1 and parts[1] in LEVEL:
            assert allowed(here, parts[1]), f"{path.name}:{line} imports {module}, which does not lie below"


@pytest.mark.parametrize("path", sorted((ROOT / "steps").glob("*.py")), ids=lambda path: path.stem)
def test_no_step_imports_a_step(path: Path) -> None:
    """What two steps need lies below both."""
    for line, module in imports(ast.parse(path.read_text())):
        other = module.startswith("swath.steps.") and module.split(".")[2] != path.stem
        assert not other, f"{path.name}:{line} imports {module}"


def test_the_journal_is_built_from_the_ground_up() -> None:
    """Inside `store/journal` a module imports those before it alone; only the door (`__init__`) knows all."""
    folder = ROOT / "store" / "journal"
    assert {path.stem for path in folder.glob("*.py")} == {*STORE[:-1], "__init__"}
    for path in folder.glob("*.py"):
        here = STORE.index("journal" if path.stem == "__init__" else path.stem)
        for line, module in imports(ast.parse(path.read_text())):
            names = module.split(".")
            if module.startswith("swath.store"):
                assert names[:3] == ["swath", "store", "journal"], f"{path.name}:{line} imports {module}"
                if len(names) > 3 and names[3] in STORE:
                    assert STORE.index(names[3]) < here, f"{path.name}:{line} imports {module}"


PURE = ("life", "projection", "policies", "records", "kernels")


@pytest.mark.parametrize("path", [path for path in MODULES if part(path) in PURE], ids=str)
def test_decisions_know_no_database(path: Path) -> None:
    """What decides imports neither a database, nor files, nor a clock, nor the workspace."""
    banned = {
        "fiftyone",
        "pymongo",
        "bson",
        "os",
        "pathlib",
        "time",
        "datetime",
        "random",
        "socket",
        "subprocess",
    }
    found = {module.split(".")[0] for _, module in imports(ast.parse(path.read_text()))}
    assert not found & banned, f"{path.name} imports {found & banned}"


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


def test_nobody_draws_from_the_global_generator() -> None:
    """`np.random` is used for generators and their types alone, `random` not at all, in all of swath."""
    for path in MODULES:
        tree = ast.parse(path.read_text())
        assert not {module for _, module in imports(tree) if module.split(".")[0] == "random"}, path
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
                allowed = ("default_rng", "Generator", "SeedSequence", "PCG64", "Philox", "BitGenerator")
                assert node.attr in allowed, f"{path.name}:{node.lineno}: np.random.{node.attr}"


TESTS = Path(__file__).parent
OF_0_1_0 = TESTS / "fixtures" / "loop_0_1_0" / "make_fixture.py"  # runs in the tests of 0.1.0


@pytest.mark.parametrize(
    ("root", "door"),
    [(ROOT, ROOT / "store" / "dataset.py"), (TESTS, TESTS / "support.py")],
    ids=("swath", "tests"),
)
def test_stored_samples_are_reached_through_one_door(root: Path, door: Path) -> None:
    """FiftyOne's collection of samples is private: `Stored.samples` alone knows its name, and `support.samples_of`."""
    for path in {*root.rglob("*.py")} - {door, Path(__file__), OF_0_1_0}:
        assert "_sample_collection" not in path.read_text(), path


def read_by_string(tree: ast.AST) -> Iterator[tuple[ast.expr, str, int]]:
    """(what is read, name, line) of every `x["name"]` and `x.get("name")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            of, name = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            of, name = node.func.value, node.args[0]
        else:
            continue
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield of, name.value, node.lineno


NO_RECORDS = {
    ("assignments", "n"): "how many: a reply of the server's",
    ("assignments", "writeErrors"): "what the server says of inserts that failed",
    ("assignments", "op"): "the same",
    ("assignments", "errmsg"): "the same",
    ("assignments", "code"): "the same",
    ("batches", "_id"): "MongoDB's name for a document",
    ("blobs", "data"): "bytes of a piece, which has nothing else",
    ("lease", "fsTotalSize"): "the server's disk",
    ("lease", "fsUsedSize"): "the same",
}
"""What the journal's modules read by string besides records, and why: (module, name)."""
FIFTYONES = "former.info"  # of a dataset
COLLECTIONS = {"_loops", "_rounds", "_rows", "_pieces"}
SPELLINGS = {"document", "as_json", "model_dump"}


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_records_are_not_read_by_string(path: Path) -> None:
    """Outside `records` and the journal's codec, nobody reads a record by string: not as a document of the journal, which only
    the journal's modules get to see; not as what it is spelled as; not the fields of it that are documents of any shape."""
    if part(path) == "records" or path == ROOT / "store" / "journal" / "codec.py":
        return
    tree = ast.parse(path.read_text())
    in_the_journal = path.parent.name == "journal"
    fields = {
        name for one in all_records() for name, of in one.model_fields.items() if is_free(of.annotation)
    }
    for of, name, line in read_by_string(tree):
        where = f"{path.name}:{line}: {ast.unparse(of)} is read by {name!r}"
        assert not in_the_journal or (path.stem, name) in NO_RECORDS, where
        of_a_record = isinstance(of, ast.Attribute) and of.attr in fields and ast.unparse(of) != FIFTYONES
        assert not of_a_record, where
        spelled = (
            isinstance(of, ast.Call) and isinstance(of.func, ast.Attribute) and of.func.attr in SPELLINGS
        )
        assert not spelled, where
    if not in_the_journal:
        of_others = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) != "self"
        }
        assert not of_others & COLLECTIONS, path


def all_records() -> set[type[Record]]:
    """Every kind of record there is."""
    for name in ("assignment", "backtest", "batch", "loop", "manifest", "results", "shown"):
        import_module(f"swath.records.{name}")
    found, new = set[type[Record]](), {Record}
    while new:
        new = {kind for one in new for kind in one.__subclasses__() if kind.__module__.startswith("swath.")}
        found |= new
    return found


def is_free(annotation: object) -> bool:
    """Whether it has a document of any shape in it. (In `dict[str, Figures]` the names are data.)"""
    return annotation == Document or any(is_free(one) for one in get_args(annotation))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(ROOT)) for path in MODULES])
def test_no_private_name_crosses_modules(path: Path) -> None:
    """A name with an underscore stays in its module, a module with one in its room: neither is imported from elsewhere, nor
    reached through what was imported."""
    tree = ast.parse(path.read_text())
    room = ".".join(("swath", *path.relative_to(ROOT).parts[:-1]))
    inner = {f"{room}.{one.stem}" for one in path.parent.glob("_*.py")}
    for line, module in imports(tree):
        names = module.split(".")
        ours = any(module == one or module.startswith(f"{one}.") for one in inner)
        hidden = names[-1:] if ours else names  # an inner module of this room, but none of its private names
        if names[0] == "swath" and module not in inner:
            assert not any(map(is_private, hidden)), f"{path.name}:{line} imports {module}"
    nodes = list(ast.walk(tree))
    named = [one for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for one in node.names]
    imported = {(one.asname or one.name).split(".")[0] for one in named}
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported:
            assert not is_private(node.attr), f"{path.name}:{node.lineno} reaches {ast.unparse(node)}"
