"""The model against its equations, written out in plain loops."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from cezsar.config import GROUPS, ModelConfig, from_dict, settings
from cezsar.errors import FormatError, InputError
from cezsar.model import CEZSAR, stack

ROOT = Path(__file__).resolve().parents[1]
SMALL = {"feature_dim": 7, "sentence_dim": 5, "d_model": 8, "d_emb": 4, "heads": 2, "ffn": 6}


def make(recipe="paper", **changes):
    torch.manual_seed(0)
    return CEZSAR(ModelConfig(**SMALL | {"recipe": recipe} | changes)).eval()


def clips(lengths, dim=7):
    return [np.random.default_rng(length).normal(size=(length, dim)).astype(np.float32) for length in lengths]


def embed(model, features):
    with torch.inference_mode():
        return model.visual_embedding(*stack(features, model.config.max_seconds)).numpy()


def array(tensor):
    return tensor.detach().numpy().astype(float)


def linear(layer, rows):
    return rows @ array(layer.weight).T + array(layer.bias)


def layer_norm(layer, rows):
    scaled = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + layer.eps)
    return scaled * array(layer.weight) + array(layer.bias)


def encoder_layer_by_hand(layer, rows_TM, heads):
    """Eq. 2-4 for one clip: attention over its rows, then the feed-forward net, each with its residual and norm."""
    attention, size = layer.self_attn, rows_TM.shape[1] // heads
    query, key, value = np.split(rows_TM @ array(attention.in_proj_weight).T + array(attention.in_proj_bias), 3, axis=1)
    joined = np.empty_like(rows_TM)
    for cut in (slice(head * size, (head + 1) * size) for head in range(heads)):
        weights = np.exp(query[:, cut] @ key[:, cut].T / math.sqrt(size))
        joined[:, cut] = weights / weights.sum(1, keepdims=True) @ value[:, cut]
    middle = layer_norm(layer.norm1, rows_TM + linear(attention.out_proj, joined))
    return layer_norm(layer.norm2, middle + linear(layer.linear2, np.maximum(linear(layer.linear1, middle), 0)))


def visual_embedding_by_hand(model, features_TD):
    """Eq. 1-5 for one clip."""
    rows = np.maximum(linear(model.visual.reduce, features_TD), 0)  # Eq. 1
    for t, row in enumerate(rows):
        for i in range(0, len(row), 2):
            row[i] += math.sin(t / 10_000 ** (i / len(row)))
            row[i + 1] += math.cos(t / 10_000 ** (i / len(row)))
    for layer in model.visual.encoder.layers:
        rows = encoder_layer_by_hand(layer, rows, model.config.heads)
    return np.maximum(linear(model.visual.project, rows.mean(0)), 0)  # Eq. 5


def released_by_hand(model, features_TD):
    """The released code's inference for one clip: 16 seconds, zeros counted, each second alone in attention."""
    outputs = []
    for frame in np.vstack([features_TD, np.zeros((16 - len(features_TD), features_TD.shape[1]))]):
        row = linear(model.visual.reduce, np.maximum(frame, 0))[None]
        for layer in model.visual.encoder.layers:
            row = encoder_layer_by_hand(layer, row, model.config.heads)
        outputs.append(linear(model.visual.project, np.maximum(row[0], 0)))
    return np.mean(outputs, axis=0)


@pytest.mark.parametrize("layers", [1, 2])
def test_paper_recipe_is_equations_1_to_5(layers):
    model, features = make(layers=layers), clips([1, 2, 9, 15])
    expected = [visual_embedding_by_hand(model, clip) for clip in features]
    np.testing.assert_allclose(embed(model, features), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_released_recipe_is_the_released_inference():
    model, features = make("released"), clips([1, 5, 15])
    np.testing.assert_allclose(embed(model, features), [released_by_hand(model, clip) for clip in features], atol=1e-5)


def test_kernel_recipe_is_the_direction_of_a_mean_and_a_kernel_pca():
    model, features = make("kernel"), clips([3, 1, 5])
    expected = [linear(model.visual.project, clip.mean(0)) for clip in features]
    expected = [vector / np.linalg.norm(vector) for vector in expected]
    np.testing.assert_allclose(embed(model, features), expected, atol=1e-5)
    sentence, center = np.random.default_rng(0).normal(size=(2, 5)).astype("f4")
    model.sentence.center.copy_(torch.from_numpy(center))
    unit = sentence / np.linalg.norm(sentence) - center
    unit /= np.linalg.norm(unit)
    expected = linear(model.sentence.components, np.exp(linear(model.sentence.landmarks, unit)))
    for mode in (model.eval(), model.train()):
        with torch.inference_mode():
            embedded = mode.sentence_embedding(torch.from_numpy(sentence)).numpy()
        np.testing.assert_allclose(embedded, expected / np.linalg.norm(expected), atol=1e-5)


def test_sentence_branch_is_equation_6():
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(3))
    by_hand = np.array([linear(make().sentence, vector) for vector in vectors.numpy().astype(float)])
    with torch.inference_mode():
        np.testing.assert_allclose(make().sentence_embedding(vectors), np.maximum(by_hand, 0), atol=1e-6)
        np.testing.assert_allclose(make("released").sentence_embedding(vectors), by_hand, atol=1e-6)


def test_released_training_attends_over_the_batch_and_normalises():
    model, features = make("released", dropout=0.0).train(), clips([4, 5])
    both = model.visual_embedding(*stack(features, 15)).detach().numpy()
    alone = model.visual_embedding(*stack(features[:1], 15)).detach().numpy()
    assert np.abs(both[0] - alone[0]).max() > 1e-3
    np.testing.assert_allclose(both.mean(1), 0, atol=1e-6)  # layer norm
    np.testing.assert_allclose(both.std(1), 1, atol=1e-2)


def test_standardisation_happens_before_equation_1():
    plain, standardised, (features,) = make(), make(), clips([6])
    mean = np.arange(7, dtype=np.float32)
    standardised.feature_mean.copy_(torch.from_numpy(mean))
    standardised.feature_std.fill_(3.0)
    np.testing.assert_allclose(embed(standardised, [features * 3 + mean]), embed(plain, [features]), atol=1e-5)
    with pytest.raises(InputError, match="6 dimensions, the model was made for 7"):
        plain.visual_embedding(torch.zeros(1, 2, 6), torch.tensor([2]))


def test_long_clips_keep_their_middle():
    (features,) = clips([21])
    stacked, lengths = stack([features, features[:2]], 15)
    assert lengths.tolist() == [15, 2]
    np.testing.assert_array_equal(stacked[0], features[3:18])
    assert not stacked[1, 2:].any()


@pytest.mark.parametrize(("changes", "message"), [
    ({"recipe": "papr"}, "recipe 'papr'"), ({"heads": 3}, "not a multiple"), ({"d_emb": 0}, "at least 1"),
    ({"d_model": 9, "heads": 3}, "even"), ({"d_modle": 4}, r"unknown keys \['d_modle'\]"),
])  # fmt: skip
def test_impossible_shapes_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        from_dict(ModelConfig, SMALL | changes)
    with pytest.raises(FormatError, match="lacks sentence_dim"):
        from_dict(ModelConfig, {"feature_dim": 4})


def test_the_documentation_has_the_table_of_hyperparameters():
    lines = ["| option | default | | |", "|---|---|---|---|"]
    for setting in (each for kind in GROUPS.values() for each in settings(kind).values() if each.option):
        default = "no" if setting.default is False else f"{setting.default}"
        source = "not in the paper" if setting.silent else "the paper's"
        lines.append(f"| `{setting.flag}` | {default}, {source} | {setting.label} | {setting.help} |")
    assert "\n".join(lines) in (ROOT / "docs/method.md").read_text(encoding="utf-8")
