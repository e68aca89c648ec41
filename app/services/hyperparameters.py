"""Every hyperparameter of `cezsar mine` and `cezsar train`, in words, with the paper's values; and presets of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Setting:
    """A hyperparameter of `cezsar mine` or `cezsar train`.

    Attributes:
        name: of the option: "d_model" for `--d-model`.
        paper: the paper's value, which is the default.
        silent: the paper gives no value; `paper` is that of the released code, or of this software.
        low, high, step: bounds of a number.
        choices: of a choice.
    """

    name: str
    label: str
    help: str
    paper: Any
    low: float = 0
    high: float = 1_000_000
    step: float = 1
    choices: tuple[str, ...] = ()
    silent: bool = False
    key: str = ""

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def id(self) -> str:
        """Differs from that of every other setting: both commands have a seed."""
        return self.key or self.name


PAIRS = (
    Setting("tau", "τ, hardest distance", "A sentence is a hard negative if its cosine distance to the positive is "
        "above 0 and below τ. Larger: more and easier negatives.", 0.8, 0.05, 2.0, 0.05),
    Setting("negatives", "Hard negatives", "Drawn for each positive, from other videos.", 10, 1, 1000),
    Setting("sub_clips", "Sub-clips", "Random stretches of at most 10 s cut from each captioned segment.", 3, 1, 100),
    Setting("object_positives", "Object sentences", "Sentences about recognised objects that join the human one as "
        "positives, the most similar to it.", 2, 0, 20),
    Setting("seed", "Seed of pairs", "Of sub-clips and negatives.", 0, 0, 2**31, silent=True, key="pairs-seed"),
)  # fmt: skip
MODEL = (
    Setting("d_model", "Width", "d_model, width of the Transformer encoder (Eq. 1-4).", 512, 2, 8192, 32),
    Setting("d_emb", "Joint space", "d_emb, width of the joint space (Eq. 5 and 6).", 128, 2, 8192, 16),
    Setting("ffn", "Feed-forward width", "Inner width of the feed-forward net (Eq. 4).", 2048, 1, 65536, 64,
        silent=True),
    Setting("heads", "Heads", "Attention heads (Eq. 2 and 3); the width is a multiple of their number.", 2, 1, 64),
    Setting("layers", "Layers", "Transformer layers.", 1, 1, 24),
    Setting("dropout", "Dropout", "In the Transformer encoder.", 0.1, 0.0, 0.95, 0.05, silent=True),
    Setting("recipe", "Order of operations", "As the paper's equations say, or as the authors' released code computes.",
        "paper", choices=("paper", "released")),
)  # fmt: skip
OPTIMISATION = (
    Setting("epochs", "Epochs", "At most this many passes over the training sub-clips.", 25, 1, 10_000),
    Setting("patience", "Patience", "Epochs without a better validation loss before training stops.", 10, 1, 10_000),
    Setting("batch", "Batch", "Sub-clips a step; triplets a step where one triplet is taken at a time.", 128, 1, 65536),
    Setting("lr", "Learning rate", "Of AdamW. The paper's is for 3 million triplets; a small set needs about 1e-3.",
        1e-4, 1e-7, 1.0, 1e-4),
    Setting("weight_decay", "Weight decay", "Of AdamW.", 1e-5, 0.0, 1.0, 1e-5),
    Setting("margin", "Margin ε", "Eq. 7: a negative should be farther than the positive by this much.", 1.0, 0.01,
        100.0, 0.1, silent=True),
    Setting("validation", "Validation share", "Share of the videos kept for the validation loss.", 0.1, 0.01, 0.9, 0.05,
        silent=True),
    Setting("order", "Order", "Each sub-clip embedded once for all its triplets (fast), or one triplet at a time.",
        "sub-clip", choices=("sub-clip", "triplet"), silent=True),
    Setting("standardise", "Standardise features", "By the training videos' mean and deviation: for motion features, "
        "whose parts differ in scale.", False),
    Setting("precision", "Precision", "auto: bf16 where the device has it.", "auto", choices=("auto", "fp32", "bf16"),
        silent=True),
    Setting("device", "Device", "auto: the best one here.", "auto", choices=("auto", "cpu", "cuda", "mps"),
        silent=True),
    Setting("seed", "Seed of training", "Of first weights, order and dropout.", 0, 0, 2**31, silent=True),
)  # fmt: skip
USE = (
    Setting("objects", "Objects in O", "How many recognised objects the sentence O(v) names.", 3, 1, 100),
    Setting("alpha", "α, weight of VE", "Eq. 9: how much the visual embedding counts; the objects get 1 - α.", 0.8, 0.0,
        1.0, 0.05),
)  # fmt: skip
GROUPS: dict[str, tuple[Setting, ...]] = {
    "Pairs and negatives": PAIRS, "Model": MODEL, "Optimisation": OPTIMISATION, "Use": USE,
}  # fmt: skip
SETTINGS = {setting.id: setting for group in GROUPS.values() for setting in group}
PAPER: dict[str, Any] = {id: setting.paper for id, setting in SETTINGS.items()}


def demo_settings() -> dict[str, Any]:
    """What the demo trains with: chosen on held-out actions of the stick-figure world."""
    from cezsar.demo import Recipe

    recipe = Recipe()
    names = ("object_positives", "sub_clips", "objects", "tau", "negatives", "alpha")
    return PAPER | {name: getattr(recipe, name) for name in names} | dict(recipe.model) | dict(recipe.training)
