"""Colours and descriptions of the saved views."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from swath.records.batch import Batch
from swath.store.views import ViewStyle
from swath.words import counts, number

GRAY, BLUE, YELLOW, ORANGE, RED, PURPLE = "#667085", "#2970FF", "#FAC515", "#EF6820", "#F04438", "#7A5AF8"
OF_SPLITS: Final = {
    "test_set": ViewStyle(RED, "Frozen: read by the final evaluation and the leak audit alone"),
    "val_set": ViewStyle(PURPLE, "Models are scored and their failures mined here; nothing is trained on it"),
    "golden_qa": ViewStyle(YELLOW, "Measures annotators: sent along blind with every batch"),
    "pool": ViewStyle(GRAY, "Scenes that batches are chosen from, labelled ones included"),
}


def view_style(name: str, batches: Iterable[Batch]) -> ViewStyle:
    """Colour and description of one of swath's saved views. They change with nothing that happens after the view was made."""
    if name in OF_SPLITS:
        return OF_SPLITS[name]
    kind, round_name, *_ = name.split("_")
    batch = next((one for one in batches if one.round == round_name), None)
    if kind == "batch":
        if batch is None:
            return ViewStyle(BLUE, f"Scenes chosen for {round_name}")
        streams = {"for coverage": batch.size.coverage, "for failures": batch.size.targeted}
        of = counts({name: n for name, n in streams.items() if n})
        return ViewStyle(BLUE, f"{round_name}: {batch.size.size} scenes chosen ({of})")
    done = batch.steps.evaluate if batch else None
    text = f"Val scenes that the model of {round_name} gets worst"
    if done is not None:
        at = number(done.main.operating.threshold, 2)
        text += f": {done.failing} of {done.scenes} have errors at scores from {at}"
    return ViewStyle(ORANGE, text)
