"""How good are the models, and where do they fail? Predictions on val against the reference, in images and in clouds.

mAP and mAP50 with intervals by drive; every prediction typed at one operating threshold; failures of the mined modality ranked
by evidence (`policies.failures`). `final` evaluates on test instead, once its reference is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from swath import commit, evaluations, life, models
from swath.config import LoopConfig
from swath.errors import StateError, some
from swath.kernels.detection import DetectionScores
from swath.kernels.mistakes import Mistakes
from swath.labels import stored
from swath.labels.shapes import Modality
from swath.objects import Predicted, Wanted, labels_of, mistakes, references, score
from swath.policies import failures as policy
from swath.records.base import Blob, Document
from swath.records.batch import (
    FINAL_REFERENCE,
    REFERENCE,
    Batch,
    ClassFigures,
    Evaluated,
    Figures,
    OperatingPoint,
    TrainedModel,
)
from swath.records.results import EvaluateResult
from swath.store.journal.lease import Writer
from swath.suggest import command
from swath.trainers import make
from swath.workspace import Workspace
