"""Decoded frames -> upright pixels in their right colours; in the decoder process alone, like `cezsar.video_file`."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame

from cezsar.video import Sampling


class Pixels:
    """Converts frames by the scaler that the program `ffmpeg` puts in, so with its colours, interlaced or not."""

    def __init__(self) -> None:
        self._kind: tuple[object, ...] = ()

    def of(self, frame: VideoFrame, sampling: Sampling) -> np.ndarray:
        """(H, W, 3) uint8, upright, in the order of channels and the size that `sampling` asks for."""
        image = _upright(self._convert(frame, "bgr24" if sampling.bgr else "rgb24"), _matrix(frame))
        height, width = image.shape[:2]
        if sampling.max_side is not None and max(height, width) > sampling.max_side:
            scale = sampling.max_side / max(height, width)
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            cv2 = opencv()
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        return image

    def _convert(self, frame: VideoFrame, pixels: str) -> np.ndarray:
        kind = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range, pixels)
        if kind != self._kind:  # it may change in mid-file
            graph = av.filter.Graph()
            graph.threads = 1
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1)
            )
            sink = graph.add("buffersink")
            graph.link_nodes(source, graph.add("scale", "flags=bicubic"), graph.add("format", pixels), sink).configure()
            self._graph, self._kind = graph, kind
        self._graph.vpush(frame)
        return self._graph.vpull().to_ndarray()


def opencv() -> Any:
    """OpenCV on one thread, imported when pixels are computed with: a fifth of what the process needs for itself."""
    import cv2

    cv2.setNumThreads(1)
    return cv2


def turn_of(frame: VideoFrame) -> tuple[bool, int]:
    """Whether width and height change places, and the degrees clockwise that the file asks for."""
    a, b, c, d = _matrix(frame)
    return abs(b) > abs(a) and abs(c) > abs(d), round(math.degrees(math.atan2(b, a))) % 360


def _matrix(frame: VideoFrame) -> tuple[float, float, float, float]:
    """(a, b, c, d) of the file's display matrix, which takes the point (x, y) to (a x + c y, b x + d y)."""
    try:
        side_data: Mapping[Any, Any] = frame.side_data
    except ValueError:  # PyAV does not know a kind that the file has, such as EXIF; the angle it gives all the same
        angle = math.radians(-frame.rotation)
        return (math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle))
    if SideDataType.DISPLAYMATRIX not in side_data:
        return (1, 0, 0, 1)
    a, b, _, c, d = struct.unpack("=5i", bytes(side_data[SideDataType.DISPLAYMATRIX])[:20])
    return (a, b, c, d)


def _upright(image: np.ndarray, matrix: tuple[float, float, float, float]) -> np.ndarray:
    """Quarter turns and mirrorings are done; a matrix between two of them is taken for none."""
    a, b, c, d = matrix
    if abs(b) > abs(a) and abs(c) > abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
