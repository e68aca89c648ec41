"""The hyperparameters of `cezsar mine` and `cezsar train` as the page Train asks for them, and presets of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cezsar.config import GROUPS as KINDS
from cezsar.config import MiningConfig, Setting, settings

DEVICE = Setting(
    "device", "auto", "Device", "auto: the best one here.", choices=("auto", "cpu", "cuda", "mps"), silent=True
)


def _id(kind: type, name: str) -> str:
    """Differs from that of every other setting: mining and training have a seed each."""
    return "pairs-seed" if (kind, name) == (MiningConfig, "seed") else name


GROUPS = {
    title: {_id(kind, name): setting for name, setting in settings(kind).items() if setting.option}
    for title, kind in KINDS.items()
}
GROUPS["Optimisation"]["device"] = DEVICE
SETTINGS = {id: setting for group in GROUPS.values() for id, setting in group.items()}
PAPER: dict[str, Any] = {id: setting.default for id, setting in SETTINGS.items()}


def fields(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a class of `cezsar.config` among values by id."""
    return {name: values[_id(kind, name)] for name in settings(kind) if _id(kind, name) in values}


def demo_settings() -> dict[str, Any]:
    """What the demo trains with: chosen on held-out actions of the stick-figure world."""
    from cezsar.demo.run import Recipe

    recipe = Recipe()
    mining = {_id(MiningConfig, name): getattr(recipe.mining, name) for name in settings(MiningConfig)}
    use = {"objects": recipe.use.objects, "alpha": recipe.use.alpha}
    return PAPER | mining | use | dict(recipe.model) | dict(recipe.training)
