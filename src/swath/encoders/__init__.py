"""Encoders turn media into vectors. `make("descriptor")`, `make("onnx:PATH")`, ... by the name a user
configures."""

from __future__ import annotations

from typing import Any

from swath.config import MEDIA_ENCODERS
from swath.encoders.base import Encoded, Encoder
from swath.errors import UnknownNameError

__all__ = ["Encoded", "Encoder", "make"]


def make(spec: str, **settings: Any) -> Encoder:
    """The encoder that `spec` names, with its `settings`. UnknownNameError, naming those that exist, for
    others."""
    kind, _, detail = spec.partition(":")
    if kind == "descriptor" and detail in ("", "image", "cloud"):
        from swath.encoders.descriptor import Descriptor

        if not detail:
            return Descriptor(**settings)
        return Descriptor(slices=(detail,), **settings)  # type: ignore[arg-type]
    if spec == "pretrained:efficientnet-lite0":
        from swath.encoders.pretrained import Pretrained

        return Pretrained(**settings)
    if kind == "onnx" and detail:
        from swath.encoders.onnx import Onnx

        return Onnx(detail, **settings)
    if kind == "zoo" and detail:
        from swath.encoders.zoo import Zoo

        return Zoo(detail, **settings)
    raise UnknownNameError(f"no encoder {spec!r}; expected one of {', '.join(MEDIA_ENCODERS)}")
