"""Detectors that the loop trains. `make(settings, modality)` is the configured one for 2D boxes or for cuboids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from swath.config import Train
from swath.labels.shapes import Modality
from swath.trainers.base import Trainer

__all__ = ["Trainer", "make", "settings_of"]


def make(settings: Train, modality: Modality, name: str | None = None) -> Trainer:
    """The trainer `name` of a modality: by default the configured one, and of clouds the built-in one where none is. What reads a
    model that is there gives the name of the trainer that made it, whatever is configured since."""
    name = name or chosen(settings, modality)
    if name == "pillars":
        from swath.trainers.pillars import PillarTrainer

        return PillarTrainer(threads=settings.threads, **settings.pillars.model_dump())
    if name == "center":
        from swath.trainers.center import CenterTrainer

        return CenterTrainer(threads=settings.threads, **settings.center.model_dump())
    if name == "ultralytics":
        from swath.trainers.ultralytics import ultralytics

        return ultralytics(settings.ultralytics, settings.threads)
    from swath.trainers.command import CommandTrainer

    own = settings.command if modality == "2d" else settings.command_3d
    return CommandTrainer(
        modality, own.fit, own.predict, own.format, own.predictions, own.seconds, settings.threads
    )


def chosen(settings: Train, modality: Modality) -> str:
    """The name of the configured trainer."""
    if modality == "2d":
        return settings.trainer
    return "pillars" if settings.trainer_3d == "none" else settings.trainer_3d


def settings_of(settings: Train, name: str, modality: Modality) -> Mapping[str, Any]:
    """What a model of trainer `name` depends on, besides its data and the seed."""
    section = "command_3d" if (name, modality) == ("command", "3d") else name
    return {**getattr(settings, section).model_dump(mode="json"), "threads": settings.threads}
