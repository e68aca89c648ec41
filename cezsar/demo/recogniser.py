"""The recogniser of the drawn world's props: a linear head on stored `motion` features, as others are.

It looks only at the parts of a row that show what things look like: how a prop is moved must not give it away, since
unseen actions move known props in new ways.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cezsar import world
from cezsar.data.features import FeatureStore
from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead

EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY = 12, 128, 1e-3, 1e-2
DROPOUT = 0.2  # of features: no single one may decide


def fit_head(built: world.World, store: FeatureStore, seed: int) -> LinearHead:
    """Fitted on the seconds of training segments that show one thing from start to end."""
    names = list(world.OBJECTS)
    rows: list[npt.NDArray[np.float32]] = []
    props: list[int] = []
    for plan in built.train:
        features_TD = store.features(plan.id)
        for segment in plan.segments:
            if segment.prop is not None:
                inside = features_TD[int(np.ceil(segment.start_s)) : int(segment.end_s)]
                rows.append(inside)
                props += [names.index(segment.prop)] * len(inside)
    return fit_props(np.concatenate(rows), np.array(props), seed)


def fit_props(features_RD: np.ndarray, props_R: np.ndarray, seed: int) -> LinearHead:
    """Multinomial logistic regression with dropout, by AdamW; seconds of work for ten thousand rows.

    Args:
        features_RD: rows of `motion` features, one a second.
        props_R: index into `world.OBJECTS` of what each row shows.
        seed: of order and dropout.

    Returns:
        A head that takes whole feature rows. Standardisation is part of its weights.
    """
    import torch

    encoder = MotionEncoder()
    columns, objects = encoder.columns(*APPEARANCE), world.OBJECTS
    shown = np.asarray(features_RD, np.float32)[:, columns]
    mean, std = shown.mean(0), shown.std(0)
    std = np.where(std > 1e-4, std, 1).astype(np.float32)
    rows, props = torch.from_numpy((shown - mean) / std), torch.from_numpy(np.asarray(props_R, np.int64))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        linear = torch.nn.Linear(len(columns), len(objects))
        optimiser = torch.optim.AdamW(linear.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(EPOCHS):
            for batch in torch.randperm(len(rows)).split(BATCH):
                logits = linear(torch.nn.functional.dropout(rows[batch], DROPOUT))
                loss = torch.nn.functional.cross_entropy(logits, props[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    scaled = linear.weight.detach().numpy() / std
    weight = np.zeros((len(objects), encoder.dim), np.float32)
    weight[:, columns] = scaled
    return LinearHead(list(objects), list(objects.values()), weight, linear.bias.detach().numpy() - scaled @ mean)
