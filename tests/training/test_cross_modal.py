"""The cross-modal model: what it computes, and that it learns."""

import numpy as np
import pytest
import torch

from cezsar.arrays import unit_rows
from cezsar.config import ModelConfig, TrainingConfig
from cezsar.errors import InputError
from cezsar.model import MAX_TOKENS, CrossModal, clip_embeddings
from cezsar.training.cross_modal import TRAINING, label_embeddings, label_tokens, train_model
from cezsar.training.loop import DivergedError

CONFIG = ModelConfig(6, 4, d_model=16, d_emb=8, ffn=16, heads=2, max_seconds=5, recipe="cross-modal")
HELD = np.sort(torch.randperm(16, generator=torch.Generator().manual_seed(0)).numpy()[:4])  # classes, of seed 0


@pytest.fixture
def net():
    torch.manual_seed(0)
    return CrossModal(CONFIG).eval()


@pytest.fixture(scope="module")
def made_up_classes():
    """(features, class_N, tokens): 16 classes, each a pair of one of 4 motions and one of 4 props, said in words."""
    rng = np.random.default_rng(0)
    # Six numbers a second: motions are the corners of a square, props those of another; words are others in 4.
    motions, props = np.zeros((4, 6)), np.zeros((4, 6))
    motions[:, :2] = props[:, 2:4] = [[2, 2], [2, -2], [-2, 2], [-2, -2]]
    words = np.vstack([motions[:, :2] @ np.eye(2, 4), props[:, 2:4] @ np.eye(2, 4, 2)]) / 2
    tokens = [np.stack([words[c // 4] + words[4 + c % 4], words[c // 4], words[4 + c % 4]]) for c in range(16)]
    class_N = np.arange(192) % 16
    features = [
        (motions[c // 4] + props[c % 4] + rng.normal(size=(int(rng.integers(2, 6)), 6))).astype(np.float32)
        for c in class_N
    ]
    return features, class_N, [token.astype(np.float32) for token in tokens]


def trained(made_up_classes, seed=0, lines=None, **changes):
    settings = TRAINING | {"epochs": 12, "batch": 32, "lr": 1e-2, "validation": 0.25, "patience": 12} | changes
    generator, note = torch.Generator().manual_seed(seed), [].append if lines is None else lines.append
    return train_model(*made_up_classes, CONFIG, TrainingConfig(**settings), generator, device="cpu", on_progress=note)


def test_training_beats_chance_on_classes_it_never_saw_and_keeps_its_best_epoch(made_up_classes):
    lines, (features, class_N, tokens) = [], made_up_classes
    model = trained(made_up_classes, lines=lines)
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["train_loss"] < 0.6 * lines[0]["train_loss"]
    best = max(line["held_out_top1"] for line in lines)
    assert best > 2 * 0.25  # four classes were held out
    cosines = unit_rows(clip_embeddings(model, features)) @ unit_rows(label_embeddings(model, tokens)).T
    assert (cosines.argmax(axis=1) == class_N).mean() > 4 / 16  # four times chance
    watched = np.isin(class_N, HELD)
    named = HELD[cosines[watched][:, HELD].argmax(axis=1)]
    assert (named == class_N[watched]).mean() == pytest.approx(best)
    assert [line["held_out_top1"] for line in lines if line["best"]][-1] == best


def test_the_same_generator_gives_the_same_weights_and_held_out_clips_do_not_train(made_up_classes):
    features, class_N, tokens = made_up_classes
    moved = [-9 * clip if c in HELD else clip for clip, c in zip(features, class_N, strict=True)]
    # One epoch only, so that early stopping, which does look at held-out clips, has nothing to choose.
    first = trained(made_up_classes, epochs=1).state_dict()
    torch.manual_seed(2)  # what the global generator is at does not matter, nor is it moved
    before = torch.get_rng_state()
    for data in (made_up_classes, (moved, class_N, tokens)):
        second = trained(data, epochs=1).state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(before, torch.get_rng_state())


@torch.inference_mode()
def test_a_video_is_the_same_with_and_without_a_label(net):
    features, lengths = torch.randn(3, 5, 6), torch.tensor([5, 2, 4])
    tokens, words = torch.randn(3, 3, 4), torch.tensor([3, 1, 2])
    alone = net.visual_embedding(features, lengths)
    beside, read = net.pairs(features, lengths, tokens, words)
    other, other_read = net.pairs(features, lengths, tokens.flip(0), words.flip(0))
    _, moved_read = net.pairs(features.flip(0), lengths.flip(0), tokens, words)
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, other, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(read, other_read, atol=1e-4)
    assert not torch.allclose(read, moved_read, atol=1e-4)  # words do read the frames


@torch.inference_mode()
def test_padding_does_not_count(net):
    features, tokens, two = torch.randn(1, 2, 6), torch.randn(1, 2, 4), torch.tensor([2])
    padded = [torch.cat([part, torch.full((1, 3, part.shape[2]), 50.0)], dim=1) for part in (features, tokens)]
    for first, second in (
        (net.visual_embedding(features, two), net.visual_embedding(padded[0], two)),
        (net.label_embedding(tokens, two), net.label_embedding(padded[1], two)),
        *zip(net.pairs(features, two, tokens, two), net.pairs(padded[0], two, padded[1], two), strict=True),
    ):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_one_layer_by_hand(net):
    """f_v of one second, where attention has a single element: two norms and a feed-forward, written out."""
    layer, frame = net.encoder.layers[0], torch.randn(6)
    net.feature_mean += 0.5
    net.feature_std *= 2
    read = torch.relu(net.read_frames.weight @ ((frame - 0.5) / 2) + net.read_frames.bias)
    x = read + net.positions[0] + net.modality[0]
    value = layer.self_attn.in_proj_weight[32:] @ x + layer.self_attn.in_proj_bias[32:]
    x = layer.norm1(x + layer.self_attn.out_proj.weight @ value + layer.self_attn.out_proj.bias)
    x = layer.norm2(x + layer.linear2(torch.relu(layer.linear1(x))))
    found = net.visual_embedding(frame[None, None], torch.tensor([1]))[0]
    torch.testing.assert_close(found, net.project.weight @ x + net.project.bias, atol=1e-5, rtol=1e-5)


class Letters:
    def encode(self, sentences):
        return np.array([[len(s), ord(s[0]), s.count(" "), 1] for s in sentences], np.float32).reshape(-1, 4)


def test_label_tokens_are_the_sentence_and_then_the_words(net):
    encoder = Letters()
    tokens = label_tokens(encoder, ["HandStand", "waving_a flag"], ["Upside down.", "To and fro."])
    np.testing.assert_array_equal(tokens[0], encoder.encode(["Upside down.", "hand", "stand"]))
    np.testing.assert_array_equal(tokens[1], encoder.encode(["To and fro.", "waving", "a", "flag"]))
    (many,) = label_tokens(encoder, [" ".join("abcdefghijklmnopqrst")], ["letters"])
    assert np.isfinite(label_embeddings(net, [many])).all() and len(many) > MAX_TOKENS


def test_what_cannot_be_trained_is_refused(made_up_classes):
    features, class_N, tokens = made_up_classes
    with pytest.raises(InputError, match="of 3 classes; training needs four"):
        trained((features[:3], class_N[:3], tokens))
    with pytest.raises(DivergedError, match="nan"):
        trained(([clip * np.nan for clip in features], class_N, tokens), epochs=1)
