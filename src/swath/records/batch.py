"""One batch: a round `v0`, `v1`, ... of the loop, or a reference batch; its state, and what its steps recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import model_serializer, model_validator

from swath.records.agreement import Agreement
from swath.records.assignment import Quarantined
from swath.records.base import Blob, Document, Estimate, Record
from swath.records.manifest import BatchSize

State = Literal[
    "planned", "committed", "annotating", "labeled", "checked", "trained", "evaluated", "closed", "cancelled"
]
REFERENCE = "reference"
FINAL_REFERENCE = "reference-test"


# ---------------------------------------------------------------------- annotation


class Sent(Record):
    """A batch in the hands of one annotator: which slots of it, and what the annotator needs to find it again. `reopened`: how
    often the batch had been reopened by then."""

    annotator: str
    tasks: int
    slots: tuple[int, ...] = (0,)
    receipt: Document = {}
    reopened: int = 0


class Fetched(Record):
    """`states`: answers by state; `labels`: by modality; `rejected`: labels in quarantine. `source`: the field, of an import; `made`:
    how a reference was made, where the settings said so."""

    states: dict[str, int] = {}
    labels: dict[str, int] = {}
    notes: tuple[str, ...] = ()
    rejected: int = 0
    source: str | None = None
    made: Literal["single", "adjudicated", "majority"] | None = None


class Decision(Record):
    """What was decided of one difference between two labellings. `id`: of these two labels in this place; `choice`: as the first has
    it, as the second has it, halfway between both, or no object."""

    scene: str
    channel: str
    id: str
    choice: Literal["a", "b", "mean", "none"]


class Adjudicated(Record):
    """`differences` between the two labellings of a reference, what was decided of them, and how many are `open`."""

    differences: int
    open: int
    decisions: tuple[Decision, ...] = ()


class Finding(Record):
    """One thing that a rule noticed. `scene`: empty for the batch as a whole; `object`: the place of the label in its channel,
    None for the scene; `score`: how sure a model is of it, 0 to 1, of what a model says."""

    scene: str
    rule: str
    severity: Literal["error", "warning"]
    modality: Literal["2d", "3d"]
    channel: str | None = None
    object: int | None = None
    evidence: str
    score: float | None = None


class Checked(Record):
    """`rules`: rule -> findings; `findings`: errors first (the journal keeps the first of them). `agreement`: by modality, of the scenes
    that were labelled twice."""

    round: str
    scenes: int
    rules: dict[str, int]
    errors: int
    warnings: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    agreement: dict[str, Agreement] = {}


class Axis(Record):
    """One kind of labelling error, counted and tested. `accepted`: what was agreed; `expected`: that, and what the reference's own
    errors add; `adjusted`: p after the correction over axes; `detectable`: the smallest true rate that would have been found;
    `window_*`: the last rounds together; `rise_p`: against the rate of the earlier rounds."""

    errors: int
    trials: int
    accepted: float
    rate: float | None = None
    low: float
    high: float
    p_value: float
    detectable: float | None = None
    expected: float | None = None
    adjusted: float | None = None
    window_errors: int | None = None
    window_trials: int | None = None
    window_p: float | None = None
    window_detectable: float | None = None
    rise_p: float | None = None


class Deviation(Record):
    """One measure of how blind labels differ from the reference, averaged over objects; values in `unit` (`ratio`: a logarithm).
    `tolerance`: of the mean; `detectable`: how far off it had to be to be found. Of the same objects in earlier rounds (`paired` of
    them): how far the mean moved, with interval, the `margin` it may, and `change_detectable`."""

    unit: Literal["iou", "ratio", "share", "m", "degrees"]
    objects: int
    mean: float
    low: float | None = None
    high: float | None = None
    tolerance: float
    p_value: float = 1.0
    adjusted: float | None = None
    detectable: float | None = None
    paired: int = 0
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    margin: float
    change_p: float | None = None
    change_adjusted: float | None = None
    change_detectable: float | None = None


class ReferenceQuality(Record):
    """How the reference was made, and what share of its own objects is thought wrong, by kind of error; `source`: whether opinions
    told, or the settings; `labellings`: so many that were compared."""

    made: Literal["single", "adjudicated", "majority"]
    rates: dict[str, float]
    source: Literal["settings", "opinions"] = "settings"
    labellings: int = 0


class Suspect(Record):
    """An annotator who errs more than is accepted, over all rounds so far; exploratory, no part of the verdict."""

    annotator: str
    axis: str
    errors: int
    trials: int
    p_value: float


class Example(Record):
    """A golden scene where blind label and reference differ."""

    scene: str
    axis: str
    what: str


class Confused(Record):
    """So many objects of class `truth` in the reference (None: not there) that were called `said` (None: missed)."""

    modality: Literal["2d", "3d"]
    truth: str | None = None
    said: str | None = None
    objects: int


class BlindCounts(Record):
    """The guide's figures, counted on the blind labels."""

    samples_with_labels: int
    total_detections: int
    top_classes: dict[str, int]


class GoldenChecked(Record):
    """`axes`: axis (`2d miss`, ...) -> its test; `measures`: axis (`2d iou`, ...) -> what was measured; `scenes`: golden scenes that
    were compared; `icc`: how much errors clump by scene, `icc_rounds`: earlier rounds that it was estimated from; `measured`: all
    of it by scene and object, kept apart; `confusion`: which class is called what; `override`: why it went on."""

    round: str
    verdict: Literal["pass", "warn", "block", "not enough evidence"]
    reasons: tuple[str, ...]
    axes: dict[str, Axis]
    scenes: int
    means: dict[str, float | None] = {}
    measures: dict[str, Deviation] = {}
    examples: tuple[Example, ...] = ()
    override: str | None = None
    blind: BlindCounts
    icc: float | None = None
    icc_rounds: int = 0
    reference: ReferenceQuality | None = None
    suspects: tuple[Suspect, ...] = ()
    confusion: tuple[Confused, ...] = ()
    measured: Blob | None = None

    def as_json(self) -> Document:
        data = super().as_json()
        del data["measured"]
        return data

    @property
    def holds(self) -> bool:
        """Whether it keeps the round from being trained."""
        return self.verdict == "block" and self.override is None


# ---------------------------------------------------------------------- learning


class TrainedModel(Record):
    """One model of a round. `modality`: of what it predicts; `model`: its file; `images`: images or clouds it learned from;
    `negatives`: those without objects; `objects`: by class; `data`: SHA-256 of what it learned from; `seed` and
    `settings`: of its training."""

    modality: Literal["2d", "3d"]
    trainer: str
    model: str
    sha256: str
    images: int
    negatives: int
    objects: dict[str, int]
    classes: tuple[str, ...]
    info: Document = {}
    data: str | None = None
    seed: int | None = None
    settings: Document = {}


class Trained(Record):
    """The models of a round, 2D first; `scenes`: labelled scenes they learned from. `repeats`: the same trainings by other seeds, which
    tell luck from learning and are used for nothing else."""

    round: str
    models: tuple[TrainedModel, ...]
    scenes: int
    notes: tuple[str, ...] = ()
    repeats: tuple[TrainedModel, ...] = ()

    def of(self, modality: str) -> TrainedModel | None:
        return next((model for model in self.models if model.modality == modality), None)

    def trainings(self, modality: str) -> tuple[TrainedModel, ...]:
        """Every training of a modality, the round's own model first."""
        return tuple(one for one in (*self.models, *self.repeats) if one.modality == modality)

    def as_json(self) -> Document:
        """The first model's values at the top, as ever; all of them under `models`."""
        return {**self.models[0].as_json(), **super().as_json()}


class Gain(Record):
    """By how much a model is better than that of round `over`: a paired difference by drive, on the same `scenes`, which are of so
    many `drives`. `left_out`: scenes that only one of the rounds was scored on, or whose reference was changed in between. `trainings`: of
    how many trainings of that round and of this one it is the mean difference, where they were repeated: their chance is in the
    interval then."""

    over: str
    scenes: int
    drives: int
    left_out: int = 0
    map: Estimate
    map50: Estimate
    trainings: tuple[int, int] | None = None

    @property
    def verdict(self) -> Literal["better", "worse", "not told apart", "unknown"]:
        """By the interval of mAP."""
        if self.map.value is None or self.map.low is None or self.map.high is None:
            return "unknown"
        return "better" if self.map.low > 0 else "worse" if self.map.high < 0 else "not told apart"


class Training(Record):
    """One training of a round: its seed, the hash of its model, and what that scored."""

    seed: int | None = None
    sha256: str
    map: float | None = None
    map50: float | None = None


class Trainings(Record):
    """Several trainings of the same labels, the round's own model first. `map`, `map50`: their means, with drives and trainings in the
    intervals; `map_sd`, `map50_sd`: standard deviations over trainings, on the same scenes: how much is luck."""

    each: tuple[Training, ...]
    map: Estimate
    map50: Estimate
    map_sd: float | None = None
    map50_sd: float | None = None


class Ambiguity(Record):
    """Errors of a model on scenes that people labelled more than once: how many, how many of them people disagree about as well (a
    missed object that not every labelling holds, a false one that some labelling holds), their share with its interval by drive
    (of so many `drives`), and that share by class."""

    errors: int
    ambiguous: int
    share: Estimate = Estimate()
    drives: int = 0
    classes: dict[str, float] = {}


class ClassFigures(Record):
    """One class: objects of the reference and how many `drives` they are of, predictions, AP (mean over IoU .50:.95) and AP at
    IoU 0.5."""

    references: int
    predictions: int
    ap: Estimate
    ap50: Estimate
    drives: int | None = None


class StratumFigures(Record):
    """Some objects of the reference, by `by` (class, size, distance, occlusion, points inside, or a field that says a condition of the
    scene): how many, how many of them were `found` at the operating point, AP at IoU 0.5 among them; None where that is undefined."""

    by: str
    name: str
    objects: int
    found: int
    recall: float | None = None
    ap50: float | None = None


class Graded(Record):
    """One class at one of KITTI's difficulties: `objects` that count, and their AP by KITTI's rules (`kernels.kitti`), by boxes in
    images, or footprints (`bev`) or volumes (`3d`) in clouds."""

    by: Literal["2d", "bev", "3d"]
    name: str
    difficulty: Literal["easy", "moderate", "hard"]
    objects: int
    ap: float


class Missed(Record):
    """An object that was missed: a box (4) px or a cuboid (9), as stored labels of a channel of a scene have it. `drive`: of the scene,
    or the scene."""

    scene: str
    drive: str
    channel: str
    name: str
    shape: tuple[float, ...]


class Mode(Record):
    """A way in which the model fails: objects that share the traits of `name`, and how many of them were missed at the operating
    point. `before`: the share that was missed in the round before, where it was a mode then. Of the missed ones: how many are in each of
    the `scenes` with the most of them, and of each class; a few `examples`."""

    name: str
    objects: int
    missed: int
    before: float | None = None
    scenes: dict[str, int] = {}
    classes: dict[str, int] = {}
    examples: tuple[Missed, ...] = ()

    @property
    def share(self) -> float:
        return self.missed / self.objects


class FoundAs(Record):
    """How many objects of a class (None: of nothing) were found as one (None: not at all)."""

    of: str | None = None
    found: str | None = None
    count: int


class OperatingPoint(Record):
    """The score threshold with the best F1, and what holds there."""

    threshold: float
    precision: float
    recall: float
    f1: float


class Figures(Record):
    """What one model scored, on so many `drives`. `errors`: predictions and misses by type, at the operating point; `mending`: what
    mending each type would add to mAP50, over all scores (`kernels.typed`); `gain`: over the round before; None where there is
    none that can be compared; `volume`: in clouds, `map` and `map50` by volumes, where the others go by footprints; `kitti`: by KITTI's
    rules, where the labels say how far objects are hidden or cut; `confusion`: at the operating point, what objects were found as;
    `trainings`: where the training was repeated; all other figures but the gain are of the round's own model."""

    map: Estimate
    map50: Estimate
    classes: dict[str, ClassFigures]
    operating: OperatingPoint
    errors: dict[str, int]
    drives: int | None = None
    gain: Gain | None = None
    mending: dict[str, float] = {}
    strata: tuple[StratumFigures, ...] = ()
    modes: tuple[Mode, ...] = ()
    volume: dict[str, Estimate] = {}
    kitti: tuple[Graded, ...] = ()
    confusion: tuple[FoundAs, ...] = ()
    trainings: Trainings | None = None


class Failure(Record):
    """A scene that the model gets wrong: missed and false objects, by class; `evidence` ranks it. `notable`: it is one of those
    that are shown (`policies.notable`); before there was a choice, all were. `objects`: how many there are to find; `unclear`: errors that
    people disagree about as well, which are no evidence."""

    key: str
    kinds: tuple[Literal["high_fn", "high_fp"], ...]
    fn: int
    fp: int
    evidence: float
    missed: dict[str, int]
    false: dict[str, int]
    notable: bool = True
    objects: int | None = None
    unclear: int = 0

    @property
    def rate(self) -> float:
        """Evidence against what there was to get wrong, and one more: of a crowded scene and an empty one with the same share of
        errors the crowded one is the surer case. The evidence, where the number of objects was not kept."""
        return self.evidence if self.objects is None else self.evidence / (self.objects + self.fp + 1)


class Evaluated(Record):
    """`on`: val or test; `figures`: modality -> what its model scored; `modality`: whose failures are mined; `failing`: scenes
    with errors, of which `worst` are the first; all of them are kept apart (`failures`), and so is what was found, prediction by
    prediction (`matches`, by modality; `repeats`: of each further training). `uses`: evaluations on val so far. `ambiguity`: of the mined modality's errors, where val was
    labelled more than once."""

    round: str
    on: Literal["val", "test"]
    scenes: int
    modality: Literal["2d", "3d"] = "2d"
    figures: dict[str, Figures]
    failing: int = 0
    worst: tuple[Failure, ...] = ()
    failures: Blob | None = None
    matches: dict[str, Blob] = {}
    repeats: dict[str, tuple[Blob, ...]] = {}
    uses: int = 1
    notes: tuple[str, ...] = ()
    ambiguity: Ambiguity | None = None

    @property
    def main(self) -> Figures:
        return self.figures[self.modality]

    @property
    def gain(self) -> Gain | None:
        """Of the mined modality."""
        return self.main.gain

    def as_json(self) -> Document:
        """The figures of the mined modality at the top, as ever; all of them under `figures`."""
        data = super().as_json()
        del data["failures"], data["worst"], data["matches"], data["repeats"]
        return {**data, **self.main.as_json(), "failures": [one.as_json() for one in self.worst]}


class Criterion(Record):
    """One reason to stop, or not: `stop` is None where it cannot say yet; `numbers` are what it goes by."""

    stop: bool | None
    why: str
    numbers: dict[str, Any] = {}

    @model_serializer
    def _flat(self) -> Document:
        return {"stop": self.stop, **self.numbers, "why": self.why}

    @model_validator(mode="before")
    @classmethod
    def _from_flat(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and "numbers" not in given:
            own = ("stop", "why")
            rest = {name: value for name, value in given.items() if name not in own}
            return {"stop": given.get("stop"), "why": given.get("why", ""), "numbers": rest}
        return given


class Forecast(Record):
    """What a batch of so many `scenes` is expected to add to mAP; None where that cannot be said."""

    scenes: int
    gain: float | None = None
    low: float | None = None
    high: float | None = None


class Outcome(Record):
    """A forecast of round `round`, and what came, per 100 scenes; `inside`: its interval (None: there was none)."""

    round: str
    expected: float
    got: float
    inside: bool | None = None


class Stopped(Record):
    """The decision after a round, with every criterion's number; what is expected of the next batch (of the mined modality, and of
    each), and what became of earlier forecasts."""

    round: str
    decision: Literal["continue", "stop"]
    why: str
    criteria: dict[str, Criterion] = {}
    forecast: Forecast | None = None
    forecasts: dict[str, Forecast] = {}
    outcomes: tuple[Outcome, ...] = ()


# ---------------------------------------------------------------------- changing one's mind


class Cancelled(Record):
    """`returned`: scenes that went back to the pool; `kept`: scenes whose labels are kept."""

    reason: str
    was: State
    returned: int
    kept: int


class ClosedEarly(Record):
    """The wait for labels was ended: `returned` scenes went back to the pool, labels of `kept` are kept."""

    reason: str = ""
    returned: int
    kept: int


class ReopenedOnce(Record):
    """A round was sent back to its annotators; what the checks had said of it."""

    reason: str
    fetch: Fetched | None = None
    check: Checked | None = None
    golden: GoldenChecked | None = None


class Adopted(Record):
    """A round that was run by hand, taken over."""

    scenes: int


class Steps(Record):
    """What the steps of a batch recorded; None where one was not done."""

    send: tuple[Sent, ...] = ()
    fetch: Fetched | None = None
    adjudicate: Adjudicated | None = None
    check: Checked | None = None
    golden: GoldenChecked | None = None
    train: Trained | None = None
    evaluate: Evaluated | None = None
    stop: Stopped | None = None
    cancel: Cancelled | None = None
    close: ClosedEarly | None = None
    reopen: tuple[ReopenedOnce, ...] = ()
    adopt: Adopted | None = None


class Batch(Record):
    """`number`: of a round; None for a reference batch. `slots`: independent labellings of each scene. `manifest` is kept apart. `revision` counts its changes; `mark` is of
    the last one, `fence` of the writer who made it."""

    round: str
    number: int | None = None
    role: Literal["pool", "reference"]
    state: State
    size: BatchSize
    slots: int = 1
    manifest: Blob
    steps: Steps = Steps()
    revision: int = 0
    mark: str = ""
    fence: int = 0

    @property
    def is_round(self) -> bool:
        return self.role == "pool"

    @property
    def cancelled(self) -> bool:
        return self.state == "cancelled"

    @property
    def decided(self) -> bool:
        """Of a reference of two labellings: whether everything that they see differently was decided."""
        return self.steps.adjudicate is not None and not self.steps.adjudicate.open

    @property
    def unsent(self) -> bool:
        """Whether it was reopened, and not handed to its annotators again since."""
        return any(one.reopened < len(self.steps.reopen) for one in self.steps.send)


class Left(Record):
    """A label in quarantine, with the scene it was meant for."""

    scene: str
    modality: str
    channel: str | None = None
    where: str
    reason: str

    @classmethod
    def of(cls, scene: str, modality: str, channel: str, one: Quarantined) -> Left:
        return cls(scene=scene, modality=modality, channel=channel, where=one.where, reason=one.reason)
