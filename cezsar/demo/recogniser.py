"""The recogniser of the drawn world's props: a linear head on stored `motion` features, as others are.

It looks only at the parts of a row that show what things look like: unseen actions move known props in new ways.
"""

from __future__ import annotations

import numpy as np

from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead
from cezsar.world import OBJECTS

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 12, 128, 1e-3, 1e-2
DROPOUT = 0.2  # of features: no single one may decide


def fit_props(features_RD: np.ndarray, props_R: np.ndarray, seed: int) -> LinearHead:
    """Multinomial logistic regression with dropout, by AdamW: from whole rows of `motion` features, one a second, to an
    index into `OBJECTS`. Standardisation is part of the weights; `seed` is of order and dropout."""
    import torch

    encoder = MotionEncoder()
    columns = encoder.columns(*APPEARANCE)
    shown = np.asarray(features_RD, np.float32)[:, columns]
    mean, std = shown.mean(0), shown.std(0)
    std = np.where(std > 1e-4, std, 1).astype(np.float32)
    rows, props = torch.from_numpy((shown - mean) / std), torch.from_numpy(np.asarray(props_R, np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = torch.nn.Linear(len(columns), len(OBJECTS))
        optimiser = torch.optim.AdamW(linear.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(rows)).split(BATCH):
                logits = linear(torch.nn.functional.dropout(rows[batch], DROPOUT))
                loss = torch.nn.functional.cross_entropy(logits, props[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    scaled = linear.weight.detach().numpy() / std
    weight = np.zeros((len(OBJECTS), encoder.dim), np.float32)
    weight[:, columns] = scaled
    return LinearHead(list(OBJECTS), list(OBJECTS.values()), weight, linear.bias.detach().numpy() - scaled @ mean)
