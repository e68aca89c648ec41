"""Training of the cross-modal head on labelled clips of seen classes. What is trained stands in `cross_modal`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cezsar.encoders.compute import pick_device
from cezsar.errors import InputError
from cezsar.training.cross_modal import CrossModal, CrossModalNet, FloatArray, HeadConfig, IntArray
from cezsar.training.loop import DivergedError

Progress = Callable[[dict[str, float]], object]


def train_head(
    features: Sequence[FloatArray],
    class_N: IntArray,
    tokens: Sequence[FloatArray],
    config: HeadConfig,
    generator: torch.Generator,
    *,
    device: str | None = None,
    on_progress: Progress | None = None,
) -> CrossModal:
    """Train a head on labelled clips of seen classes.

    A share of the classes is held out: after each epoch its clips are named among its labels, by cos(f_v, f_t), and the
    epoch that does so best is kept.

    Args:
        features: (T_i, D) frame features of N clips.
        class_N: the seen class of each.
        tokens: (L_c, S) of each class, as `label_tokens` makes them.
        generator: of the held-out classes, the first weights, the order of clips, and dropout.
        on_progress: called after each epoch with its number, training loss and accuracy on the held-out classes.

    Raises:
        InputError: fewer than four classes with clips, or parts that do not go together.
        DivergedError: the loss is no longer a number.
    """
    class_N = np.asarray(class_N, np.int64)
    present = np.unique(class_N)
    if len(features) != len(class_N) or len(present) < 4 or present[0] < 0 or present[-1] >= len(tokens):
        raise InputError("training needs labelled clips of at least four classes, and tokens of each class")
    order = present[torch.randperm(len(present), generator=generator).numpy()]
    count = min(max(2, round(config.held_out * len(present))), len(present) - 2)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        trained = CrossModal(CrossModalNet(config, len(kept)).to(pick_device(device)))
        seen = _Seen(trained, features, class_N, tokens, kept)
        seen.standardise()
        optimiser = torch.optim.AdamW(trained.model.parameters(), config.lr, weight_decay=config.weight_decay)
        best, best_state, bad = -1.0, trained.model.state_dict(), 0
        for epoch in range(config.epochs):
            loss, accuracy = seen.epoch(optimiser), seen.accuracy(held)
            bad += 1
            if accuracy > best:
                best, bad = accuracy, 0
                best_state = {name: value.clone() for name, value in trained.model.state_dict().items()}
            if on_progress:
                on_progress({"epoch": epoch + 1, "loss": loss, "held_out_top1": accuracy})
            if bad >= config.patience:
                break
        trained.model.load_state_dict(best_state)
        trained.model.eval()
    return trained


@dataclass
class _Seen:
    """The clips and labels that a head is trained on."""

    trained: CrossModal
    features: Sequence[FloatArray]
    class_N: IntArray
    tokens: Sequence[FloatArray]
    kept: IntArray

    def standardise(self) -> None:
        """Mean and deviation of the training clips' frame features, into the model."""
        rows_FD = np.concatenate([self.features[n] for n in self.of(self.kept)]).astype(np.float64)
        std_D = rows_FD.std(axis=0)
        self.trained.model.feature_mean.copy_(torch.from_numpy(rows_FD.mean(axis=0)))
        self.trained.model.feature_std.copy_(torch.from_numpy(np.where(std_D > 1e-4, std_D, 1.0)))

    def of(self, classes: IntArray) -> list[int]:
        """The clips of some classes."""
        found: list[int] = np.flatnonzero(np.isin(self.class_N, classes)).tolist()
        return found

    def epoch(self, optimiser: torch.optim.Optimizer) -> float:
        """One pass over the clips; returns the mean loss."""
        self.trained.model.train()
        clips = np.array(self.of(self.kept))
        clips = clips[torch.randperm(len(clips)).numpy()]
        values = []
        for part in np.array_split(clips, -(-len(clips) // self.trained.model.config.batch)):
            loss = self.loss(part)
            values.append(float(loss.detach()))
            if not np.isfinite(values[-1]):
                raise DivergedError(f"the loss of the cross-modal head is {values[-1]}; lower its lr")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        return float(np.mean(values))

    def accuracy(self, held: IntArray) -> float:
        """Top-1 of naming the clips of held-out classes among these, by the cosine of f_v and f_t."""
        clips = self.of(held)
        videos_NE = self.trained.videos([self.features[n] for n in clips])
        labels_CE = self.trained.labels([self.tokens[c] for c in held.tolist()])
        labels_CE = labels_CE / np.linalg.norm(labels_CE, axis=1, keepdims=True).clip(1e-12)
        return float((held[(videos_NE @ labels_CE.T).argmax(axis=1)] == self.class_N[clips]).mean())

    def loss(self, clips: IntArray) -> Tensor:
        """Discriminative, contrastive and matching loss of a batch, weighted and summed."""
        model, config = self.trained.model, self.trained.model.config
        present, own = np.unique(self.class_N[clips], return_inverse=True)
        own_B = torch.from_numpy(own).to(self.trained.device)
        videos = self.trained.stacked([self.features[n] for n in clips.tolist()], config.max_seconds)
        tokens_KLS, words_K = self.trained.stacked([self.tokens[c] for c in present.tolist()], config.max_tokens)
        visual_BE, right_B = model.pairs(*videos, tokens_KLS[own_B], words_K[own_B])
        visual_BE, labels_KE = F.normalize(visual_BE, dim=1), F.normalize(model.labels(tokens_KLS, words_K), dim=1)
        class_B = torch.from_numpy(np.searchsorted(self.kept, present)[own]).to(own_B.device)
        by_class_BC = config.scale * visual_BE @ F.normalize(model.classes, dim=1).T
        by_label_BK = config.scale * visual_BE @ labels_KE.T
        is_own_BK = F.one_hot(own_B, len(present)).bool()
        # Label to video: each label has several videos in the batch, which share its probability.
        towards_BK = F.log_softmax(by_label_BK, dim=0)
        to_video = -((towards_BK * is_own_BK).sum(0) / is_own_BK.sum(0)).mean()
        loss = config.discriminative * F.cross_entropy(by_class_BC, class_B)
        loss = loss + config.alignment * (F.cross_entropy(by_label_BK, own_B) + to_video) / 2
        if config.matching and len(present) > 1:
            other_B = by_label_BK.detach().masked_fill(is_own_BK, -torch.inf).argmax(dim=1)
            _, wrong_B = model.pairs(*videos, tokens_KLS[other_B], words_K[other_B])
            logits = torch.cat([right_B, wrong_B])
            truth = torch.cat([torch.ones_like(right_B), torch.zeros_like(wrong_B)])
            loss = loss + config.matching * F.binary_cross_entropy_with_logits(logits, truth)
        return loss
