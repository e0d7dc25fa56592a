"""Hostile names, files, settings and moments: does every command end as documented, whatever it is given, wherever a loop stands?

    make fuzz                                        five minutes, another seed each time
    python tests/fuzz.py --minutes 2 --seed 7        the same scenarios again
    python tests/fuzz.py --seed 7 --only 31          one of them

A scenario takes a copy of a loop that stands somewhere (`STATES`), types a few commands with options that are partly sensible and
partly not, some interrupted at a random moment, some two at once, some in a real process of their own, and then asks `repair`
whether all is well. It holds of every command (`broken`):

    the exit code is 0, 1, 2, 3 or 130; there is no traceback and nothing that a terminal would obey
    a mistake is said in lines that begin with `swath:`; with `--json` stdout is one object
    nothing is written outside the loop's home and the folders that were given
    afterwards `repair --check` finds nothing, or says what, and `repair` puts it right

Commands run in forked children of a process that has imported everything and holds no database client.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

HERE: Final = Path(__file__).resolve().parent
CODES: Final = (0, 1, 2, 3, 130)
PATIENCE: Final = 25.0  # seconds that a command may take before it gets a Ctrl-C
SHARE: Final = {"interrupted": 0.15, "two at once": 0.08, "process": 0.03}
LONG: Final = "x" * 300
NAMES: Final = (
    "", " ", ".", "..", "../../x", "/", LONG, "\x1b[31mred", "a\nb", "日本語", "a b", "it's", "$where", "a.b", "_x", "%s",
    "{0}", "🚗", "\udcff\udcfe", "null", "nan", "-1", "<b>&", "a\tb", "\u202eabc", "v0", "v99999999999999999999", "id",
)  # fmt: skip
NUMBERS: Final = (
    "0", "1", "3", "-1", "5", "0.5", "nan", "inf", "1e400", "99999999999999999999", "", "x", "٣", "1_0",
)  # fmt: skip
VALUES: Final = (
    0, 1, -1, 2, 0.5, 1e308, 1e-308, 10**9, 10**30, float("nan"), float("inf"), "", "a", LONG, "\x1b[31m", "a\nb", [], {},
    None, True, ["a", "a"], ["<b>"], {"a": 1}, "1/0", "1/3", "../../x", "ground_truth", "given", "id", "tags", "left", "a.b",
)  # fmt: skip
YAML: Final = (
    "", "null", "3", "- 1", "a: [1, 2", "\tx: 1", "a: &a [*a, *a]", "a: " + "[" * 5000, "{" * 400, "seed: " + "9" * 5000,
    "? [1]\n: 2", "seed: 2001-99-99", "1: 2", "true: {}", "<<: {seed: 3}", "seed: 1\nseed: 2", "--- 1\n--- 2", "!!python/name:os.x",
    "\x00", "seed: .nan", "a: &x 1\nb: *x", "channels: {}", "channels: {'': {labelled: true}}\nprimary: ''", "%YAML 9.9\n---\na",
)  # fmt: skip
LABELS: Final = (
    b"", b"\n\n", b"garbage", b"car 0 0 0 1 2 3 4", b"\xff\xfe\x00", b"car " + b"9" * 4000, b"car 0 0 0 nan nan nan nan 1 1 1 1 1 1 1",
    b"car 0 0 0 20 20 10 10 1 1 1 1 1 20 0", b"\x1b[31m 0 0 0 1 2 30 40 1 1 1 1 1 20 0", b"car 0 0 0 1e308 1 1e309 4 1 1 1 1 1 20 0",
    b"car 0 0 0 10 10 40 40 1.6 1.7 4 0 1.6 20 0\n", b"DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10",
)  # fmt: skip
DEAR: Final = (
    "steps",
    "batch",
    "width",
    "resamples",
    "zcore_max_draws",
)  # settings of which a large value only takes long
URIS: Final = (
    "mongodb://127.0.0.1:9/",
    "nonsense",
    "mongodb://",
    "http://x",
    "mongodb://[::1",
    "mongodb://h:99999/",
)
STATES: Final = (
    "bare",
    "new",
    "split",
    "ready",
    "selected",
    "sent",
    "files",
    "partly",
    "closed",
    "cancelled",
)


class Run(NamedTuple):
    """What a command did: how it was run, its exit code (negative: a signal), and what it printed."""

    arguments: tuple[str, ...]
    how: str
    code: int
    out: str
    err: str


# ---------------------------------------------------------------------- children


def warm() -> None:
    """Imports everything, and compiles it, without a database client."""
    import importlib
    import pkgutil

    import fiftyone.core.odm.database as odm
    import numpy as np
    import torch

    import swath.cli
    import swath.steps
    from swath.kernels import neighbors, zcore

    torch.set_num_threads(1)
    for module in (
        "loop",
        "show",
        "demo",
        "evaluations",
        "report",
        "annotators.files",
        "annotators.simulated",
        "trainers.center",
    ):
        importlib.import_module(f"swath.{module}")
    for found in pkgutil.iter_modules(swath.steps.__path__):
        importlib.import_module(f"swath.steps.{found.name}")
    vectors = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    zcore.score(vectors, seed=0, select=0.5, target_overlap=0.5, max_draws=20, k=3, workers=1)
    neighbors.top_k(vectors, vectors, 3)
    assert odm._client is None


@dataclass
class Child:
    """A command in a forked child; its outputs in files."""

    pid: int
    arguments: tuple[str, ...]
    how: str
    files: tuple[Path, Path]
    ready: int
    started: float = field(default_factory=time.monotonic)

    def wait(self, interrupt_after: float | None = None) -> Run:
        """Its end; a Ctrl-C after so many seconds (else after `PATIENCE`), a kill after twice that."""
        os.read(self.ready, 1)
        os.close(self.ready)
        begun, limit, sent = time.monotonic(), interrupt_after, 0
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                break
            late = time.monotonic() - begun
            if limit is not None and late > limit and sent == 0:
                os.kill(self.pid, signal.SIGINT)
                sent = 1
            if late > PATIENCE * (1 + sent) + (limit or 0):
                os.kill(self.pid, signal.SIGINT if sent < 2 else signal.SIGKILL)
                sent += 2
            time.sleep(0.002)
        out, err = (path.read_bytes().decode("utf-8", "replace") for path in self.files)
        for path in self.files:
            path.unlink()
        how = f"{self.how}, Ctrl-C" if sent else self.how
        return Run(self.arguments, how, os.waitstatus_to_exitcode(status), out, err)


class Ground:
    """Where it happens: a database, folders, and loops that stand at every state."""

    def __init__(self, root: Path, uri: str, database: str) -> None:
        self.root, self.count = root, 0
        for name in ("elsewhere", "user", "given", "homes", "outputs", "made"):
            (root / name).mkdir()
        os.environ |= {"HOME": str(root / "user"), "SWATH_HOME": str(root / "homes"), "COLUMNS": "100"}
        tempfile.tempdir = str(root / "made")
        import quick_loop

        quick_loop.media()
        quick_loop.homes()
        warm()
        import fiftyone as fo

        fo.config.database_uri, fo.config.database_name = uri, database
        fo.config.show_progress_bars = False
        os.environ |= {"FIFTYONE_DATABASE_URI": uri, "FIFTYONE_DATABASE_NAME": database}
        os.chdir(root / "elsewhere")
        self.hostile()
        self.call(make_states, str(root / "given" / "work"))

    def hostile(self) -> None:
        """Files and folders to be given."""
        given = self.root / "given"
        (given / "file").write_text("x")
        (given / "folder").mkdir()
        for i, text in enumerate(YAML):
            (given / f"{i}.yaml").write_text(text, encoding="utf-8")
        (given / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
        (given / "huge.yaml").write_text("# x\n" * 400_000)
        for name, content in (
            ("image_2", b"no image"),
            ("velodyne", b"123"),
            ("calib", b"P2: x"),
            ("label_2", LABELS[3]),
        ):
            folder = given / "kitti" / "training" / name
            folder.mkdir(parents=True)
            for frame in ("000000", "a b", "\x1b[31m", "\udcff"):
                (folder / f"{frame}.{ {'image_2': 'png', 'velodyne': 'bin'}.get(name, 'txt') }").write_bytes(
                    content
                )
        (given / "rig").mkdir()
        (given / "rig" / "rig.yaml").write_text("channels: {left: {kind: image}}\n")
        (given / "rig" / "rig.json").write_text("{")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns that needs the database, in a child."""
        path = self.root / "outputs" / "call.pickle"
        pid = os.fork()
        if pid == 0:
            try:
                path.write_bytes(pickle.dumps(function(*arguments)))
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        if os.waitpid(pid, 0)[1]:
            raise RuntimeError(f"{function.__name__}{arguments} failed")
        return pickle.loads(path.read_bytes())

    def start(self, arguments: Sequence[str], how: str = "child") -> Child:
        """Begins a command in a child."""
        self.count += 1
        files = tuple(self.root / "outputs" / f"{self.count}.{name}" for name in ("out", "err"))
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reads)
            for path, descriptor in zip(files, (1, 2), strict=True):
                os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor)
            sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            code, begun = 99, False
            from swath.cli import main

            try:
                os.write(writes, b"x")
                begun = True
                main(list(arguments))
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 98
            except BaseException as error:
                import traceback

                if isinstance(error, KeyboardInterrupt) and not begun:
                    code = 130  # it struck before there was a command
                else:
                    traceback.print_exc()
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        os.close(writes)
        return Child(pid, tuple(arguments), how, (files[0], files[1]), reads)

    def run(self, *arguments: str) -> Run:
        return self.start(arguments).wait()

    def process(self, arguments: Sequence[str], **environment: str) -> Run:
        """A command in a real process."""
        command = [sys.executable, "-m", "swath", *arguments]
        said = subprocess.run(
            command, capture_output=True, env=os.environ | environment, timeout=120, check=False,
            encoding="utf-8", errors="replace",
        )  # fmt: skip
        return Run(tuple(arguments), "process", said.returncode, said.stdout, said.stderr)

    def outside(self) -> dict[str, tuple[int, int]]:
        """What lies where nothing may be written: path -> (size, time of change)."""
        found = {}
        for name in ("elsewhere", "user", "made"):
            for folder, _, files in os.walk(self.root / name):
                if ".fiftyone" in folder or "swath-homes-" in folder:
                    continue
                for one in files:
                    told = os.lstat(os.path.join(folder, one))
                    found[os.path.join(folder, one)] = (told.st_size, told.st_mtime_ns)
        return found | {str(path): (0, 0) for path in self.root.iterdir()}


# ---------------------------------------------------------------------- loops, in children


def base(state: str) -> str:
    return f"t-fuzz-{state}"


def make_states(work: str) -> None:
    """A loop at every state, and a plain dataset; not to be changed."""
    import durable
    import quick_loop
    from support import remove
    from swath.loop import Loop

    def copied(state: str, before: str) -> Loop:
        remove(base(state))
        durable.fork(base(before), base(state), quick_loop.homes() / base(state))
        return Loop.open(base(state))

    quick_loop.dataset(base("bare"), 12)
    quick_loop.dataset(base("new"), 40)
    Loop.init_fiftyone(base("new"), changes=quick_loop.SETTINGS, home=quick_loop.homes() / base("new"))
    copied("split", "new").split()
    loop = copied("ready", "split")
    loop.embed()
    loop.reference("ground_truth")
    copied("selected", "ready").select(budget=5)
    copied("sent", "selected").send()
    copied("files", "selected")
    loop = Loop.open(base("files"), changes={"annotate": {"annotator": "files", "folder": work}})
    loop.send()
    loop = copied("partly", "files")
    for task in sorted((Path(work) / "v0").rglob("*.png"))[::2]:
        (Path(work) / "v0" / "label_2" / f"{task.stem}.txt").write_text(
            "car 0 0 0 10 10 40 40 -1 -1 -1 -1000 -1000 -1000 -10\n"
        )
    loop.fetch()
    copied("closed", "sent").run(1)
    copied("cancelled", "sent").cancel("v0", "over")


def take(state: str, name: str, home: str) -> list[str]:
    """A copy of a state under a name; its keys."""

    import durable
    import quick_loop
    from swath.loop import Loop

    if state == "bare":
        quick_loop.dataset(name, 12)
        return ["0001"]
    durable.fork(base(state), name, Path(home))
    return sorted(Loop.open(name).workspace.scenes.all_keys())


def clean(states: Sequence[str]) -> None:
    """Removes every dataset that is not of `states`."""
    import fiftyone as fo

    from support import remove

    for name in fo.list_datasets():
        if name not in {base(state) for state in states}:
            remove(name)


# ---------------------------------------------------------------------- what is typed


def commands() -> dict[str, Any]:
    """Every command: its words -> the parser's object."""
    import typer

    from swath.cli import app

    found: dict[str, Any] = {}

    def walk(one: Any, words: str) -> None:
        if hasattr(one, "commands"):
            for name, inner in one.commands.items():
                walk(inner, f"{words} {name}".strip())
        else:
            found[words] = one

    walk(typer.main.get_command(app), "")
    return found


OFTEN: Final = ("send", "fetch", "select", "init", "config", "next", "explain", "embed", "reference")


@dataclass
class Hand:
    """Types commands: draws words, options and values."""

    rng: random.Random
    ground: Ground
    all: Mapping[str, Any]
    dataset: str
    keys: Sequence[str]

    def command(self) -> list[str]:
        """A command line, without the program's name: one in three goes on with the loop, under settings drawn before."""
        here, dice = ["--dataset", self.dataset], self.rng.random()
        if dice < 0.15:
            return ["config", *here, "--set", self.assigned()]
        if dice < 0.35:
            return ["next", *here]
        words = self.rng.choice([*self.all, *OFTEN])
        line, last = words.split(), []
        for one in self.all[words].params:
            need = 0.95 if one.required else 0.9 if one.name in self.usual(words) else 0.25
            if one.name in ("help", "as_json") or self.rng.random() > need:
                continue
            if getattr(one, "is_flag", False):
                line.append(self.rng.choice(one.opts))
                continue
            value = self.value(words, str(one.name), one)
            if one.param_type_name == "argument":
                last.append(value)
            else:
                line += [one.opts[0], value]
        line += ["--json"] if self.rng.random() < 0.5 else []
        if any(one.startswith("-") for one in last):
            line.append("--")
        return [*line, *last]

    def usual(self, words: str) -> tuple[str, ...]:
        """Options without which a command would do nothing, or too much."""
        return {
            "init": ("kitti",) if self.rng.random() < 0.4 else ("fiftyone",),
            "world": ("scenes",),
            "demo": ("scenes", "dataset", "folder", "config"),
            "config": ("dataset", "assigned"),
            "report": ("to",),
            "app": ("port", "dataset"),
        }.get(words, ())

    def value(self, words: str, name: str, option: Any) -> str:
        rng = self.rng
        if (words == "app" and name == "dataset") or (words == "demo" and name == "dataset"):
            return rng.choice(NAMES)  # a real one would be served until it is interrupted
        if words == "demo" and name == "config":
            return str(self.ground.root / "given" / "bytes.yaml")
        if name == "dataset" or (name in ("name", "fiftyone") and words in ("init", "adopt")):
            return self.dataset if rng.random() < 0.9 else rng.choice((*NAMES, self.dataset[:-1]))
        if name in ("scene", "exclude"):
            return rng.choice(self.keys) if rng.random() < 0.5 else rng.choice(NAMES)
        if name == "name":
            return rng.choice(("v0", "v1", "reference")) if rng.random() < 0.7 else rng.choice(NAMES)
        if name == "annotator":
            return rng.choice(("simulated", "files", *NAMES[:8]))
        if name == "encoder":
            kinds = ("field:given", "descriptor", "descriptor:image", "model:v0", "model:v9", "clip")
            odd = [f"{kind}:{rng.choice(NAMES)}" for kind in ("field", "onnx", "model")]
            return rng.choice((*kinds, *odd, f"onnx:{self.path('file')}"))
        if name == "field":
            return rng.choice(("ground_truth", "given", "human_detections", "filepath", "id", *NAMES))
        if name == "assigned":
            return self.assigned()
        if name == "config":
            return self.settings()
        if name == "classes":
            return rng.choice(("car,person,sign", "car", ",,", "a,a", *NAMES))
        if option.bare_type() == "Path":
            return self.path(name)
        if words == "world" and name == "scenes":
            return "2"
        if words == "demo" and name == "scenes":
            return rng.choice(("0", "-1", "39", "x"))  # never begun
        if name == "rig":
            return rng.choice(("kitti", "surround", "images", "cloud", *NAMES[:4]))
        if option.bare_type() in ("int", "float"):
            return rng.choice(NUMBERS)
        return rng.choice(NAMES)

    def path(self, name: str) -> str:
        """A folder or file that may be written to, is missing, or cannot be."""
        given = self.ground.root / "given"
        fine = {"kitti": "kitti", "rig": "rig", "to": "report.html"}.get(name, f"new{self.rng.randrange(3)}")
        odd = ("file", "file/below", "folder", "missing/deep", LONG, "a\nb", "\x1b[31m", "日本語", "\udcff")
        places = [given / fine, *(given / one for one in odd), Path("/proc/nowhere/x"), Path("/sys/x")]
        return str(places[0] if self.rng.random() < 0.4 else self.rng.choice(places))

    def settings(self) -> str:
        """A file of settings: hostile, or with settings drawn by chance."""
        given, rng = self.ground.root / "given", self.rng
        if rng.random() < 0.4:
            names = [
                *(f"{i}.yaml" for i in range(len(YAML))),
                "bytes.yaml",
                "huge.yaml",
                "none.yaml",
                "folder",
                LONG,
            ]
            return str(given / rng.choice(names))
        out: dict[str, Any] = {}
        for _ in range(rng.randint(1, 3)):
            *within, last = self.knob().split(".")
            here = out
            for one in within:
                here = here.setdefault(one, {}) if isinstance(here.get(one, {}), dict) else {}
            here[last] = self.drawn(last)
        path = given / f"drawn{rng.randrange(1000)}.yaml"
        path.write_text(json.dumps(out).replace("NaN", ".nan").replace("Infinity", ".inf"))  # JSON is YAML
        return str(path)

    def assigned(self) -> str:
        name = self.knob()
        value = (
            json.dumps(self.drawn(name.rpartition(".")[2])).replace("NaN", ".nan").replace("Infinity", ".inf")
        )
        return self.rng.choice(
            (f"{name}={value}", f"{name}={value}", name, f"{self.rng.choice(NAMES)}={value}")
        )

    def knob(self) -> str:
        from swath.config import LoopConfig
        from swath.settings import knobs

        names = [one.name.replace("NAME", "left") for one in knobs(LoopConfig)]
        return self.rng.choice((*names, "select", "channels", "trian", "channels.x.kind"))

    def drawn(self, last: str) -> Any:
        """A value, hostile or fine."""
        values = [one for one in VALUES if not (last in DEAR and isinstance(one, int) and one > 100)]
        return self.rng.choice(values)


# ---------------------------------------------------------------------- what must hold


def broken(run: Run) -> list[str]:
    """What a command did that it must not do."""
    out = []
    if run.code not in CODES:
        out.append(f"exit code {run.code}")
    if run.code == 130 and "Ctrl-C" not in run.how:
        out.append("interrupted by nobody")
    both = run.out + run.err
    if "Traceback" in both or "this is a defect" in both:
        out.append("a traceback")
    if obeyed := sorted(
        {repr(one) for one in both if one < " " and one not in "\n"} | ({"DEL"} if "\x7f" in both else set())
    ):
        out.append(f"what a terminal obeys: {', '.join(obeyed)}")
    said = [line for line in run.err.splitlines() if line.startswith("swath: ")]
    if run.code in (1, 130) and not said:
        out.append("no line that says why")
    if run.code == 1 and len([line for line in said if " holds " not in line and "waiting" not in line]) > 1:
        out.append("more than one line for a mistake")
    words = ("Input should", "Extra inputs", "validation error", "pydantic")
    out += [f"says {word!r}" for word in words if word in both]
    if "--json" in run.arguments and not (
        "--" in run.arguments and run.arguments.index("--") < run.arguments.index("--json")
    ):
        try:
            if not isinstance(json.loads(run.out), dict) or run.out.count("\n") != 1:
                out.append("not one object on stdout")
        except ValueError:
            out.append("stdout is no JSON")
    return out


class Outcome(NamedTuple):
    """A scenario's runs, and what was wrong: (run, complaints)."""

    state: str
    runs: list[Run]
    wrong: list[tuple[Run, list[str]]]


def scenario(ground: Ground, all_: Mapping[str, Any], seed: int, number: int) -> Outcome:
    """A few commands on a copy of a loop, and whether all is well afterwards."""
    rng = random.Random(f"{seed} {number}")
    state = rng.choice(STATES)
    name = rng.choice(("t-fuzz", "t fuzz's", "t-日本語", "t-fuzz.a:b/c", "t-🚗"))
    keys = ground.call(take, state, name, str(ground.root / "homes" / f"copy{number}"))
    hand = Hand(rng, ground, all_, name, keys)
    outcome = Outcome(state, [], [])
    before = ground.outside()

    def note(*runs: Run) -> None:
        nonlocal before
        now = ground.outside()
        for run in runs:
            complaints = broken(run)
            if now != before:
                new = sorted(path for path in now.keys() | before.keys() if now.get(path) != before.get(path))
                complaints.append(f"wrote outside: {new[:3]}")
            outcome.runs.append(run)
            if complaints:
                outcome.wrong.append((run, complaints))
        before = now

    for _ in range(rng.randint(5, 10)):
        line, dice = hand.command(), rng.random()
        if state in ("files", "partly") and rng.random() < 0.5:
            scribble(ground.root / "given" / "work" / "v0" / "label_2", rng)
        if dice < SHARE["interrupted"]:
            note(ground.start(line).wait(interrupt_after=rng.random() ** 2 * 1.5))
        elif dice < SHARE["interrupted"] + SHARE["two at once"]:
            other = line if rng.random() < 0.5 else hand.command()
            both = ground.start(line, "two"), ground.start(other, "two")
            note(*(one.wait() for one in both))
        elif dice < sum(SHARE.values()):
            dead = {"FIFTYONE_DATABASE_URI": rng.choice(URIS)} if rng.random() < 0.5 else {}
            note(ground.process(line, **dead))
        else:
            note(ground.run(*line))
    if state != "bare":
        settled(ground, name, note)
    ground.call(clean, STATES)
    return outcome


def settled(ground: Ground, name: str, note: Callable[..., None]) -> None:
    """`repair --check` is clean, or `repair` makes it so."""
    here = ("--dataset", name, "--json")
    first = ground.run("repair", "--check", *here)
    note(first)
    if first.code == 3:
        note(ground.run("repair", *here))
        again = ground.run("repair", "--check", *here)
        note(again if again.code == 0 else again._replace(code=99, how=f"after repair, code {again.code}"))
    elif first.code == 1:  # a dataset that a command has replaced, or none
        note(first if "no loop yet" in first.err or "init" in first.err else first._replace(code=99))


def scribble(folder: Path, rng: random.Random) -> None:
    """Puts something hostile into label files, some under the names of tasks, some under others."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = sorted(path.stem for path in (folder.parent / "media").rglob("*.*")) or ["x"]
    for _ in range(rng.randint(1, 6)):
        name = rng.choice(tasks) if rng.random() < 0.8 else rng.choice(("x", "日本語", "\x1b[31m", "a b"))
        path = folder / f"{name}.txt"
        if path.is_dir() or rng.random() < 0.05:
            path.unlink(missing_ok=True) if path.is_file() else None
            path.mkdir(exist_ok=True)
        else:
            path.write_bytes(rng.choice(LABELS))


# ---------------------------------------------------------------------- the program


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5, help="end after so many (the set-up included)")
    parser.add_argument("--scenarios", type=int, default=10**9, help="or after so many")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", type=int, default=None, help="one scenario")
    parser.add_argument("--uri", default=None, help="a MongoDB; else one of its own")
    parser.add_argument("--database", default="fiftyone", help="the name of the database there")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    end = time.monotonic() + 60 * asked.minutes
    sys.path[:0] = [str(HERE)]
    from swath import database

    root = Path(tempfile.mkdtemp(prefix="swath-fuzz-"))
    server = None if asked.uri else database.start(Path(tempfile.mkdtemp(prefix="swath-fuzz-db-")))
    os.environ |= {
        "OMP_NUM_THREADS": "1",
        "FIFTYONE_DO_NOT_TRACK": "true",
        "FIFTYONE_DATABASE_VALIDATION": "false",
    }
    counts: Counter[tuple[str, str, int]] = Counter()
    bad = 0
    try:
        ground = Ground(root, asked.uri or server.uri, asked.database)  # type: ignore[union-attr]
        all_ = commands()
        numbers = range(asked.scenarios) if asked.only is None else [asked.only]
        for number in numbers:
            if time.monotonic() > end:
                break
            outcome = scenario(ground, all_, seed, number)
            for run in outcome.runs:
                if asked.only is not None:
                    print(f"{run.code}: swath {list(run.arguments)!a} ({run.how})")
                words = " ".join(run.arguments[: 2 if run.arguments[:1] == ("round",) else 1])
                counts[words, outcome.state, run.code] += 1
            for run, complaints in outcome.wrong:
                bad += 1
                print(f"seed {seed}, scenario {number} ({outcome.state}), {run.how}: {'; '.join(complaints)}")
                print(f"  swath {list(run.arguments)!a}")
                print("\n".join(ascii(line)[1:-1] for line in told(run)), flush=True)
    finally:
        os.chdir("/")
        if server is not None:
            server.stop()
            shutil.rmtree(server.folder, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)
    show(counts, bad)
    return 1 if bad else 0


def told(run: Run) -> list[str]:
    """What it said: the last lines; of a traceback those of swath."""
    lines = (run.err or run.out).splitlines()
    ours = [i for i, line in enumerate(lines) if "/swath/" in line and line.strip().startswith("File ")]
    if "Traceback" in run.err:
        return [one[:200] for i in ours[-4:] for one in lines[i : i + 2]] + [one[:300] for one in lines[-3:]]
    return [one[:300] for one in lines[-8:]]


def show(counts: Counter[tuple[str, str, int]], bad: int) -> None:
    """Runs by command and by state, with how they ended."""
    codes = sorted({code for _, _, code in counts})
    for title, part in (("command", 0), ("state", 1)):
        table: dict[str, Counter[int]] = {}
        for key, count in counts.items():
            table.setdefault(str(key[part]), Counter())[key[2]] += count
        print(f"{title:20}" + "".join(f"{code:>6}" for code in codes))
        for name, by in sorted(table.items()):
            print(f"{name[:20]:20}" + "".join(f"{by[code]:>6}" for code in codes))
    print(f"{sum(counts.values())} runs, {bad} broken")


if __name__ == "__main__":
    sys.exit(main())
