"""The recogniser of the stick-figure world's props: a small classifier on stored `motion` features."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cezsar.atomic import replacing
from cezsar.errors import FormatError, InputError

PROPS_FORMAT = "cezsar prop head 1"


class PropHead:
    """Two linear layers with a ReLU between them, on standardised features."""

    def __init__(self, names: Sequence[str], definitions: Sequence[str], tensors: dict[str, np.ndarray]) -> None:
        self.names, self.definitions = list(names), list(definitions)
        self.tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}

    @functools.cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256(json.dumps([PROPS_FORMAT, self.names, self.definitions]).encode())
        for name in sorted(self.tensors):
            digest.update(self.tensors[name].data)
        return digest.hexdigest()

    def logits(self, features_TD: np.ndarray) -> np.ndarray:
        t = self.tensors
        if not np.isfinite(features_TD).all():
            raise InputError("features are not finite")
        x = (np.asarray(features_TD, np.float32) - t["mean"]) / t["std"]
        h = np.maximum(x @ t["w1"].T + t["b1"], 0)
        return h @ t["w2"].T + t["b2"]

    def save(self, path: str | Path) -> None:
        from safetensors.numpy import save_file

        metadata = {"format": PROPS_FORMAT, "names": json.dumps(self.names), "definitions": json.dumps(self.definitions)}
        with replacing(path) as temporary:
            save_file(self.tensors, temporary, metadata)

    @classmethod
    def load(cls, path: str | Path) -> PropHead:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                m = file.metadata()
                return cls(
                    json.loads(m["names"]), json.loads(m["definitions"]), {k: file.get_tensor(k) for k in file.keys()}
                )
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise FormatError(f"{path} cannot be read as a prop head: {error}") from error


def fit_props(
    features_RD: np.ndarray, props_R: np.ndarray, names: Sequence[str], definitions: Sequence[str], *, seed: int = 0
) -> PropHead:
    import torch

    mean, std = features_RD.mean(0), features_RD.std(0)
    std = np.where(std > 1e-4, std, 1).astype(np.float32)
    x = torch.from_numpy(((features_RD - mean) / std).astype(np.float32))
    y = torch.from_numpy(props_R.astype(np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(
            torch.nn.Dropout(0.3), torch.nn.Linear(x.shape[1], 128), torch.nn.ReLU(), torch.nn.Dropout(0.3),
            torch.nn.Linear(128, len(names)),
        )
        opt = torch.optim.AdamW(net.parameters(), 1e-3, weight_decay=1e-2)
        for _ in range(15):
            for part in torch.randperm(len(x)).split(128):
                loss = torch.nn.functional.cross_entropy(net(x[part]), y[part], label_smoothing=0.05)
                opt.zero_grad()
                loss.backward()
                opt.step()
    t = {"mean": mean, "std": std, "w1": net[1].weight, "b1": net[1].bias, "w2": net[4].weight, "b2": net[4].bias}
    return PropHead(names, definitions, {k: v.detach().numpy() if hasattr(v, "detach") else v for k, v in t.items()})
