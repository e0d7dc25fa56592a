"""Any image model in an ONNX file as an encoder (extra `onnx`)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from swath.encoders.base import Encoded, Progress, Sensor, gather, path_of
from swath.encoders.images import read_image
from swath.errors import FormatError, SwathError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DEFAULT_SIZE = 224
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}


class Onnx:
    """The first output of the model at `path`, for the left image.

    The input's name, type and layout (NCHW or NHWC, 1 or 3 channels) are read from the model; its size too,
    or `size` (width, height) in pixels where the model leaves it open. Pixels in 0 .. 1 are normalised with
    `mean` and `std` (per RGB channel; ImageNet's by default); a uint8 input gets 0 .. 255 as they are. An
    output of (1, d) is taken as it is; feature maps are averaged over the image and token lists over the
    tokens.

    Images go through one by one on one thread, so that a vector depends on its image only. The version is the
    hash of the model file with the settings; weights kept in files beside it are not hashed.
    """

    slices: tuple[Sensor, ...] = ("image",)

    def __init__(
        self,
        path: Path | str,
        *,
        size: tuple[int, int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        self.name = f"onnx:{path}"
        self._session = _session(Path(path))
        given = self._session.get_inputs()[0]
        self._input, self._dtype = given.name, _TYPES.get(given.type)
        if self._dtype is None or len(given.shape) != 4:
            raise FormatError(
                f"{path}: expected an image model with one float or uint8 input of 4 axes, "
                f"got {given.type} {given.shape}"
            )
        self._channels_last, self._channels = _layout(given.shape, str(path))
        high, wide = given.shape[1:3] if self._channels_last else given.shape[2:4]
        width, height = size or (DEFAULT_SIZE, DEFAULT_SIZE)
        self.size = (wide if isinstance(wide, int) else width, high if isinstance(high, int) else height)
        self._mean, self._std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        said = [self.size, [float(v) for v in mean], [float(v) for v in std]]
        digest = hashlib.sha256(Path(path).read_bytes() + repr(said).encode())
        self.version = digest.hexdigest()[:16]
        self._dim = len(self._run(np.zeros((self.size[1], self.size[0], 3), np.float32)))

    @property
    def dim(self) -> int:
        return self._dim

    def encode(
        self, paths: Sequence[Mapping[str, str]], *, workers: int = 1, progress: Progress | None = None
    ) -> Encoded:
        return gather(paths, self._one, self._dim, workers, progress)

    def _one(self, scene: Mapping[str, str]) -> npt.NDArray[np.float32]:
        return self._run(read_image(path_of(scene, "image"), *self.size))

    def _run(self, image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        pixels = np.round(image * 255) if self._dtype is np.uint8 else (image - self._mean) / self._std
        if self._channels == 1:
            pixels = pixels.mean(axis=2, keepdims=True)
        batch = pixels[None] if self._channels_last else pixels.transpose(2, 0, 1)[None]
        try:
            output = self._session.run(None, {self._input: np.ascontiguousarray(batch, self._dtype)})[0]
        except Exception as error:  # onnxruntime's errors share no base class of their own
            raise SwathError(
                f"{self.name}: the model can't be run on a {self.size[0]} x {self.size[1]} image: {error}"
            ) from error
        return pooled(np.asarray(output, np.float32), self._channels_last)


def pooled(output: npt.NDArray[np.float32], channels_last: bool) -> npt.NDArray[np.float32]:
    """(d,) from a model's output for one image: (1, d), (1, tokens, d), (1, d, h, w) or (1, h, w, d)."""
    if output.ndim == 3:
        output = output.mean(axis=1)
    elif output.ndim == 4:
        output = output.mean(axis=(1, 2) if channels_last else (2, 3))
    return output.reshape(-1)


def _session(path: Path) -> Any:
    if not path.is_file():
        raise FormatError(f"{path}: no such file; expected an ONNX model")
    try:
        import onnxruntime
    except ImportError:
        raise SwathError(
            f"the encoder onnx:{path} needs onnxruntime, which is not installed; "
            "run: pip install 'swath[onnx]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise FormatError(f"{path}: not an ONNX model that can be loaded ({str(error)[:200]})") from error


def _layout(shape: Sequence[Any], path: str) -> tuple[bool, int]:
    """Whether the channels come last, and how many there are."""
    if shape[0] not in (1, None) and isinstance(shape[0], int):
        raise FormatError(f"{path}: expected a batch axis of 1 or of any size, got {shape[0]}; export it so")
    for last, channels in ((False, shape[1]), (True, shape[3])):
        if channels in (1, 3):
            return last, channels
    raise FormatError(f"{path}: expected 1 or 3 channels in axis 1 or 3 of the input, got {list(shape)}")
