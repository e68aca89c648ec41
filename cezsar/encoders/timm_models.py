"""timm classifiers without their last layer as frame features, with it as object recognisers.

| name | model | frames |
|---|---|---|
| `efficientnet` | EfficientNet-Lite2, ImageNet-1k (Tan and Le 2019), in a package; 1280-d, 1,000 objects | RGB |
| `bit` | BiT-M R152x2, ImageNet-21k (Kolesnikov et al. 2020), the paper's; 4096-d, 21,843 objects | RGB |
| `bit-released` | the same weights, as the authors' released code feeds them | BGR |
| `timm:<model>` | any classifier timm knows, or a folder timm saved | RGB |
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cezsar.encoders import compute, weight_files
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.catalogue import EFFICIENTNET, IMAGENET_DOMAINS, carried
from cezsar.encoders.fetching import fetch
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.errors import FormatError, InputError, MismatchError
from cezsar.video import Sampling

if TYPE_CHECKING:
    import torch

BIT = "resnetv2_152x2_bit.goog_in21k"
# As timm's own configuration of these weights says; written out so that a file from elsewhere cannot change it.
BIT_FRAMES: Mapping[str, Any] = {
    "input_size": (3, 224, 224), "interpolation": "bilinear", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5),
    "crop_pct": 224 / 256, "crop_mode": "center",
}  # fmt: skip


class TimmEncoder(compute.ImageEncoder):
    """A timm classifier without its last layer, a row a second; `preprocessing` is a timm data configuration.

    The precision is not part of the fingerprint: a run trained on bf16 features may be asked about fp32 ones.
    """

    def __init__(
        self, name: str, model: Any, preprocessing: Mapping[str, Any] | None = None, bgr: bool = False, **computed: Any
    ) -> None:
        import torch
        from timm.data import create_transform, resolve_model_data_config

        super().__init__(name, model.to(memory_format=torch.channels_last), **computed)
        self.sampling = Sampling(fps=1.0, bgr=bgr)
        self.preprocessing = dict(preprocessing or resolve_model_data_config(model))
        self.dim = int(getattr(model, "head_hidden_size", None) or model.num_features)
        self._transform = create_transform(**self.preprocessing, is_training=False)

    def _description(self) -> dict[str, Any]:
        architecture = self.model.pretrained_cfg.get("architecture", "")
        frames = {key: self.preprocessing[key] for key in BIT_FRAMES}
        return {"kind": "timm", "architecture": architecture, "frames": frames, "bgr": self.sampling.bgr}

    def _forward(self, images: list[np.ndarray], pre_logits: bool = True) -> Any:
        import torch

        maps = self.model.forward_features(self._pictures(images).to(memory_format=torch.channels_last))
        return self.model.forward_head(maps, pre_logits=pre_logits).flatten(1)

    @property
    def domain(self) -> str:
        return IMAGENET_DOMAINS.get(self._classes or "", "images, by classes of its own")

    @property
    def _classes(self) -> str | None:
        """timm's name of the ImageNet list that the classes are; None for others."""
        from timm.data.imagenet_info import infer_imagenet_subset

        return None if self.model.pretrained_cfg.get("label_names") else infer_imagenet_subset(self.model)

    @functools.cached_property
    def object_head(self) -> ObjectHead | None:
        """The model's classifier on stored features; None if its classes have no names or it is not linear in them."""
        import torch

        own, classifier = self.model.pretrained_cfg, self.model.get_classifier()
        names = list(own.get("label_names") or ())
        definitions = [(own.get("label_descriptions") or {}).get(name, "") for name in names]
        if self._classes:
            names, definitions = imagenet_vocabulary(self._classes)
        if not names or not isinstance(getattr(classifier, "weight", None), torch.Tensor):
            return None
        weight = classifier.weight.detach().float().cpu()
        weight = weight.flatten(1) if weight.ndim == 4 else weight  # BiT's classifier is a 1x1 convolution
        if weight.shape != (len(names), self.dim):
            return None
        bias = classifier.bias.detach().float().cpu().numpy() if classifier.bias is not None else None
        head = LinearHead(names, definitions, weight.numpy(), bias)
        height, width = self.preprocessing["input_size"][1:]
        frame = np.indices((height, width)).sum(0)[..., None].repeat(3, -1).astype(np.uint8)
        with compute.inference(self.device, "fp32"):
            ours = head.logits(self._forward([frame]).cpu().numpy())
            theirs = self._forward([frame], pre_logits=False).cpu().numpy()
        return head if np.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(np.abs(theirs).max())) else None


def load_model(name: str, model: str, weights: str | Path | None = None) -> torch.nn.Module:
    """A timm model with its trained weights; `name` is what `create` calls it. Nothing is unpickled but tensors.

    `model` is timm's name, with or without the tag, or a folder that timm saved. The weights are at `weights` (a
    .safetensors file in timm's format, a .pth/.pt/.bin of tensors, or a folder with one), or where `fetch` has them.
    """
    import timm

    if Path(model).is_dir():
        return _from_path(name, "", Path(model))
    architecture, _, tag = model.partition(".")
    if not timm.is_model(architecture):
        raise InputError(f"{name}: timm has no model {model!r}{weight_files.did_you_mean(model, timm.list_models())}")
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        known = ", ".join(tags) or "none"
        raise InputError(f"{name}: timm has no weights {tag!r} for {architecture}; there are {known}")
    if weights is None and not getattr(timm.models.get_pretrained_cfg(model), "hf_hub_id", None):
        raise InputError(f"{name}: timm knows no trained weights for {model}; give some with weights=FILE")
    return _from_path(name, model, Path(weights) if weights is not None else fetch(name))


def _from_path(name: str, model: str, path: Path) -> torch.nn.Module:
    """The model from a file or folder. A folder's config.json says what it is; `model`, if any, must agree."""
    import timm

    if not path.exists():
        raise InputError(f"{name}: there is no weights file or folder {path}")
    file = path if path.is_file() else weight_files.weights_file(path)
    if file is None or file.suffix not in weight_files.SUFFIXES:
        raise InputError(f"{name}: {path} has no weights; wanted is one of {', '.join(weight_files.SUFFIXES)}")
    saved = None
    if (path / "config.json").is_file():
        with weight_files.loading(name, path / "config.json", "timm"):
            saved = json.loads((path / "config.json").read_text(encoding="utf-8")).get("architecture")
    if model and saved not in (None, model.partition(".")[0]):
        raise MismatchError(f"{name} is a {model.partition('.')[0]}, but {path} holds a {saved}")
    if not model and saved is None:
        raise FormatError(f"{name}: {path} has no config.json that names its architecture: timm cannot build it")
    with weight_files.loading(name, file, f"timm as weights of {model or saved}"):
        if saved is not None:
            loaded: torch.nn.Module = timm.create_model(f"local-dir:{path}", pretrained=True)
        else:
            loaded = timm.create_model(model, pretrained=True, pretrained_cfg_overlay={"file": str(file)})
    weight_files.refuse_not_finite(name, file, loaded)
    return loaded


def load_efficientnet() -> torch.nn.Module:
    """EfficientNet-Lite2: the package names its tensors in another way than timm, and has them in the same order."""
    import timm
    import torch

    model: torch.nn.Module = timm.create_model("tf_efficientnet_lite2")
    theirs = torch.load(carried(EFFICIENTNET), map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), theirs.values(), strict=True)))
    return model
