"""The places: each paints a wide backdrop once per shot, and the camera moves over it.

Decoration differs by the random generator, the kind of place never does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cezsar.world import indoors, outdoors
from cezsar.world.canvas import Canvas

PLACE_PAINTERS: dict[str, Callable[[Canvas], None]] = {
    "stage": indoors.stage,
    "street": outdoors.street,
    "park": outdoors.park,
    "beach": outdoors.beach,
    "kitchen": indoors.kitchen,
    "gym": indoors.gym,
    "snow field": outdoors.snow_field,
    "garden": outdoors.garden,
    "forest": outdoors.forest,
    "workshop": indoors.workshop,
}


def backdrop(place: str, width: int, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Paint a place `width` units wide, `scale` pixels to the unit: (HEIGHT * scale, width * scale, 3) uint8 RGB."""
    canvas = Canvas(width, rng, scale)
    PLACE_PAINTERS[place](canvas)
    return canvas.pixels
