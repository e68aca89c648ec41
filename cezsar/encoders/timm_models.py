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
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cezsar.encoders import compute, weight_files
from cezsar.encoders.base import ObjectHead
from cezsar.encoders.catalogue import EFFICIENTNET, IMAGENET_DOMAINS, carried, weights_file
from cezsar.encoders.objects import LinearHead, imagenet_vocabulary
from cezsar.encoders.weight_files import weights_of
from cezsar.errors import InputError, MismatchError
from cezsar.video import Sampling

if TYPE_CHECKING:
    import torch
    from timm.layers import StdConv2d

BIT = "resnetv2_152x2_bit.goog_in21k"
# As timm's own configuration of these weights says; written out so that a file from elsewhere cannot change it.
BIT_FRAMES: Mapping[str, Any] = {
    "input_size": (3, 224, 224), "interpolation": "bilinear", "mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5),
    "crop_pct": 224 / 256, "crop_mode": "center",
}  # fmt: skip


class TimmEncoder(compute.ImageEncoder):
    """A timm classifier without its last layer, a row a second; `preprocessing` is a timm data configuration."""

    def __init__(
        self, name: str, model: Any, preprocessing: Mapping[str, Any] | None = None, bgr: bool = False, **computed: Any
    ) -> None:
        import torch
        from timm.data import create_transform, resolve_model_data_config
        from timm.data.imagenet_info import infer_imagenet_subset

        super().__init__(name, model.to(memory_format=torch.channels_last), **computed)
        self.sampling = Sampling(fps=1.0, bgr=bgr)
        self.preprocessing = dict(preprocessing or resolve_model_data_config(model))
        self.dim = int(getattr(model, "head_hidden_size", None) or model.num_features)
        self._transform = create_transform(**self.preprocessing, is_training=False)
        # timm's name of the ImageNet list that the classes are; None for others
        self._classes = None if model.pretrained_cfg.get("label_names") else infer_imagenet_subset(model)
        self.domain = IMAGENET_DOMAINS.get(self._classes or "", "images, by classes of its own")
        self.fingerprint  # noqa: B018 (of the weights as they came)
        _compute_once(self.model, torch.bfloat16 if self.precision == "bf16" else torch.float32)

    def _description(self) -> dict[str, Any]:
        architecture = self.model.pretrained_cfg.get("architecture", "")
        frames = {key: self.preprocessing[key] for key in BIT_FRAMES}
        return {"kind": "timm", "architecture": architecture, "frames": frames, "bgr": self.sampling.bgr}

    def _forward(self, images: list[np.ndarray], pre_logits: bool = True) -> Any:
        maps = self.model.forward_features(self._pictures(images))
        return self.model.forward_head(maps, pre_logits=pre_logits).flatten(1)

    @functools.cached_property
    def object_head(self) -> ObjectHead | None:
        """The model's classifier on stored features; None if its classes have no names or it is not linear in them."""
        import torch

        own, classifier = self.model.pretrained_cfg, self.model.get_classifier()
        names = list(own.get("label_names") or ())
        definitions = [(own.get("label_descriptions") or {}).get(name, "") for name in names]
        if self._classes:
            names, definitions = imagenet_vocabulary(self._classes)
        weight, bias = getattr(classifier, "weight", None), getattr(classifier, "bias", None)
        # BiT's classifier is a 1x1 convolution
        if not isinstance(weight, torch.Tensor) or not names or weight.numel() != len(names) * self.dim:
            return None
        weight = weight.detach().float().cpu().reshape(len(names), self.dim).numpy()
        head = LinearHead(names, definitions, weight, None if bias is None else bias.detach().float().cpu().numpy())
        height, width = self.preprocessing["input_size"][1:]
        frame = np.indices((height, width)).sum(0)[..., None].repeat(3, -1).astype(np.uint8)
        with compute.inference(self.device, self.precision):
            ours = head.logits(self._forward([frame]).float().cpu().numpy())
            theirs = self._forward([frame], pre_logits=False).float().cpu().numpy()
        return head if np.allclose(ours, theirs, rtol=1e-2, atol=1e-2 * float(np.abs(theirs).max())) else None


def _compute_once(model: torch.nn.Module, kind: torch.dtype) -> None:
    """What each call would compute anew from weights alone: BiT's convolutions, which standardise their weights, become
    plain ones, and the batch norms of EfficientNets are folded into the convolutions before them. On a processor these
    do their ReLU6, too: alone it would be a pass over memory, a third of the time."""
    import torch
    from timm.layers import BatchNormAct2d, StdConv2d
    from timm.models.efficientnet import EfficientNet

    efficientnet = isinstance(model, EfficientNet)
    for block in list(model.modules()):
        layers = list(block.named_children())
        for (name, layer), (norm_name, norm) in zip(layers, [*layers, ("", None)][1:], strict=True):
            if isinstance(layer, StdConv2d):
                plain = _standardised(layer)
            elif efficientnet and isinstance(layer, torch.nn.Conv2d) and isinstance(norm, BatchNormAct2d):
                plain = torch.nn.utils.fuse_conv_bn_eval(layer, norm)  # they are called in this order
                clamped = isinstance(norm.act, torch.nn.ReLU6) and plain.weight.device.type == "cpu"
                setattr(block, norm_name, torch.nn.Identity() if clamped else norm.act)
                if clamped:
                    vars(plain)["forward"] = functools.partial(_clamped, plain)
            else:
                continue
            plain.weight.data = plain.weight.to(kind, memory_format=torch.channels_last)
            setattr(block, name, plain.requires_grad_(False))


def _clamped(layer: torch.nn.Conv2d, maps: torch.Tensor) -> torch.Tensor:
    """ReLU6 of a convolution, as one operation: the one that torch's compiler makes of both."""
    import torch
    from timm.layers import Conv2dSame, pad_same

    if isinstance(layer, Conv2dSame):
        maps = pad_same(maps, list(layer.kernel_size), list(layer.stride), list(layer.dilation))
    weight, bias = layer.weight, cast("torch.Tensor", layer.bias)
    how = layer.padding, layer.stride, layer.dilation, layer.groups, "hardtanh", [0.0, 6.0], ""
    kind = weight.dtype
    out: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(maps.to(kind), weight, bias.to(kind), *how)
    return out


def _standardised(layer: StdConv2d) -> torch.nn.Conv2d:
    """A plain convolution with the weights that one of BiT's computes at each call."""
    import torch

    shape = layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding, layer.dilation
    plain = torch.nn.utils.skip_init(torch.nn.Conv2d, *shape, layer.groups, layer.bias is not None)
    rows = layer.weight.detach().flatten(1)
    mean, spread = rows.mean(1, keepdim=True), (rows.var(1, correction=0, keepdim=True) + layer.eps).sqrt()
    plain.weight = torch.nn.Parameter(((rows - mean) / spread).view_as(layer.weight))
    plain.bias = layer.bias
    return plain.eval()


def load_model(name: str, model: str, weights: str | Path | None = None) -> torch.nn.Module:
    """A timm model with its trained weights; `name` is what `create` calls it. Nothing is unpickled but tensors.
    `model` is timm's name, with or without the tag, or a folder that timm saved. The weights are at `weights` (a
    .safetensors file in timm's format, a .pth/.pt/.bin of tensors, or a folder with one, whose config.json must agree
    if it has one), or where `fetch` has them."""
    import timm

    saved_by_timm = Path(model).is_dir()
    architecture, _, tag = model.partition(".")
    if not saved_by_timm:
        if not timm.is_model(architecture):
            hint = weight_files.did_you_mean(model, timm.list_models())
            raise InputError(f"{name}: timm has no model {model!r}{hint}")
        tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
        if tag and tag not in tags:
            known = ", ".join(tags) or "none"
            raise InputError(f"{name}: timm has no weights {tag!r} for {architecture}; there are {known}")
        if weights is None and not getattr(timm.models.get_pretrained_cfg(model), "hf_hub_id", None):
            raise InputError(f"{name}: timm knows no trained weights for {model}; give some with weights=FILE")
    place = Path(model) if saved_by_timm else weights_of(name, weights)
    file, config = weights_file(place), place / "config.json"
    if file is None:
        raise InputError(f"{name}: {place} has no weights; wanted is one of {', '.join(weight_files.SUFFIXES)}")
    with weight_files.loading(name, file, f"timm as weights of {model}"):
        saved = json.loads(config.read_text(encoding="utf-8")).get("architecture") if config.is_file() else None
        if not saved_by_timm and saved not in (None, architecture):
            raise MismatchError(f"{name} is a {architecture}, but {place} holds a {saved}")
        if saved_by_timm or saved is not None:
            loaded: torch.nn.Module = timm.create_model(f"local-dir:{place}", pretrained=True)
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
