"""Detectors that the loop trains. `make(settings, modality)` is the configured one for 2D boxes or for cuboids."""

from __future__ import annotations

from swath.config import Train
from swath.labels.shapes import Modality
from swath.trainers.base import Trainer

__all__ = ["Trainer", "make"]


def make(settings: Train, modality: Modality) -> Trainer:
    """The configured trainer of a modality; of clouds the built-in one, whether or not they are trained beside images."""
    if modality == "3d":
        from swath.trainers.pillars import PillarTrainer

        return PillarTrainer(threads=settings.threads, **settings.pillars.model_dump())
    from swath.trainers.center import CenterTrainer

    return CenterTrainer(threads=settings.threads, **settings.center.model_dump())
