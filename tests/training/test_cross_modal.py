"""The cross-modal head: what it computes, that it learns, and that it comes back from disk."""

import json
import math

import numpy as np
import pytest
import torch

from cezsar.errors import FormatError, InputError
from cezsar.training.cross_modal import CrossModal, CrossModalNet, HeadConfig, label_tokens
from cezsar.training.cross_modal_loop import train_head
from cezsar.training.loop import DivergedError

TINY = {"d_model": 16, "d_emb": 8, "ffn": 16, "heads": 2, "max_seconds": 5, "max_tokens": 3}


def config(**changes):
    return HeadConfig(6, 4, **(TINY | changes))


def net(classes=3, **changes):
    torch.manual_seed(0)
    return CrossModalNet(config(**changes), classes).eval()


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
    settings = config(**({"epochs": 12, "batch": 32, "lr": 1e-2, "held_out": 0.25, "patience": 12} | changes))
    generator = torch.Generator().manual_seed(seed)
    return train_head(
        *made_up_classes, settings, generator, device="cpu", on_progress=None if lines is None else lines.append
    )


@pytest.fixture(scope="module")
def head(made_up_classes):
    lines = []
    return trained(made_up_classes, lines=lines), lines


def cosines(head, made_up_classes):
    features, _, tokens = made_up_classes
    rows, columns = head.videos(features), head.labels(tokens)
    unit = [m / np.linalg.norm(m, axis=1, keepdims=True) for m in (rows, columns)]
    return unit[0] @ unit[1].T


def test_training_reduces_the_loss_and_beats_chance_on_classes_it_never_saw(head):
    _, lines = head
    assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
    assert lines[-1]["loss"] < 0.6 * lines[0]["loss"]
    assert max(line["held_out_top1"] for line in lines) > 2 * 0.25  # four classes were held out


def test_clips_are_near_their_own_label(head, made_up_classes):
    named = cosines(head[0], made_up_classes).argmax(axis=1)
    assert (named == made_up_classes[1]).mean() > 4 / 16  # four times chance


def test_the_kept_epoch_is_the_best_on_held_out_classes(head, made_up_classes):
    model, lines = head
    best = max(line["held_out_top1"] for line in lines)
    # Which classes were held out follows from the generator: the first quarter of a permutation.
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0)).numpy()
    held = np.sort(order[:4])
    watched = np.isin(made_up_classes[1], held)
    named = held[cosines(model, made_up_classes)[watched][:, held].argmax(axis=1)]
    assert (named == made_up_classes[1][watched]).mean() == pytest.approx(best)
    assert len(model.model.classes) == 12


def test_training_stops_when_held_out_classes_gain_no_more(made_up_classes):
    lines = []
    trained(made_up_classes, lines=lines, epochs=60, patience=2)
    tops = [line["held_out_top1"] for line in lines]
    assert len(lines) < 60 and max(tops) == max(tops[:-2]) and tops[-3] == max(tops)


def test_the_same_generator_gives_the_same_weights(made_up_classes):
    torch.manual_seed(1)
    first = trained(made_up_classes, seed=3, epochs=2).model.state_dict()
    torch.manual_seed(2)  # what the global generator is at does not matter, nor is it moved
    before = torch.get_rng_state()
    second = trained(made_up_classes, seed=3, epochs=2).model.state_dict()
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trained(made_up_classes, seed=4, epochs=2).model.state_dict()
    assert not torch.equal(first["project.weight"], other["project.weight"])


def test_held_out_clips_do_not_train(made_up_classes):
    features, class_N, tokens = made_up_classes
    held = np.sort(torch.randperm(16, generator=torch.Generator().manual_seed(0)).numpy()[:4])
    moved = [-9 * clip if c in held else clip for clip, c in zip(features, class_N, strict=True)]
    # One epoch only, so that early stopping, which does look at them, has nothing to choose.
    first, second = (trained((f, class_N, tokens), epochs=1).model.state_dict() for f in (features, moved))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_video_is_the_same_with_and_without_a_label():
    model = net()
    features, lengths = torch.randn(3, 5, 6), torch.tensor([5, 2, 4])
    tokens, words = torch.randn(3, 3, 4), torch.tensor([3, 1, 2])
    with torch.inference_mode():
        alone = model.videos(features, lengths)
        beside, match = model.pairs(features, lengths, tokens, words)
        other, other_match = model.pairs(features, lengths, tokens.flip(0), words.flip(0))
        _, moved_match = model.pairs(features.flip(0), lengths.flip(0), tokens, words)
    torch.testing.assert_close(alone, beside, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone, other, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(match, other_match, atol=1e-4)
    assert not torch.allclose(match, moved_match, atol=1e-4)  # words do read the frames


def test_padding_does_not_count():
    model = net()
    features, tokens = torch.randn(1, 2, 6), torch.randn(1, 2, 4)
    padded_features = torch.cat([features, torch.full((1, 3, 6), 50.0)], dim=1)
    padded_tokens = torch.cat([tokens, torch.full((1, 1, 4), 50.0)], dim=1)
    two = torch.tensor([2])
    with torch.inference_mode():
        torch.testing.assert_close(model.videos(features, two), model.videos(padded_features, two))
        torch.testing.assert_close(model.labels(tokens, two), model.labels(padded_tokens, two))
        plain = model.pairs(features, two, tokens, two)
        padded = model.pairs(padded_features, two, padded_tokens, two)
    for a, b in zip(plain, padded, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_one_layer_by_hand():
    """f_v of one second, where attention has a single element: two norms and a feed-forward, written out."""
    model = net()
    layer = model.encoder.layers[0]
    frame = torch.randn(6)
    model.feature_mean += 0.5
    model.feature_std *= 2
    with torch.inference_mode():
        read = torch.relu(model.read_frames.weight @ ((frame - 0.5) / 2) + model.read_frames.bias)
        x = read + model.positions[0] + model.modality[0]
        value = layer.self_attn.in_proj_weight[32:] @ x + layer.self_attn.in_proj_bias[32:]
        x = layer.norm1(x + layer.self_attn.out_proj.weight @ value + layer.self_attn.out_proj.bias)
        x = layer.norm2(x + layer.linear2(torch.relu(layer.linear1(x))))
        expected = model.project.weight @ x + model.project.bias
        found = model.videos(frame[None, None], torch.tensor([1]))[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_long_clip_counts_by_its_middle_and_batches_do_not_matter():
    model = CrossModal(net())
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(n, 6)).astype(np.float32) for n in (9, 3, 1, 5)]
    together = model.videos(clips)
    np.testing.assert_allclose(together, model.videos(clips, batch=1), atol=1e-5)
    np.testing.assert_allclose(together[0], model.videos([clips[0][2:7]])[0], atol=1e-5)
    assert together.shape == (4, 8) and together.dtype == np.float32


class Letters:
    """A sentence encoder whose vectors say how long a sentence is and with what it begins."""

    name, dim, fingerprint = "letters", 4, "1" * 64

    def encode(self, sentences):
        return np.array([[len(s), ord(s[0]), s.count(" "), 1] for s in sentences], np.float32).reshape(-1, 4)


def test_label_tokens_are_the_sentence_and_then_the_words():
    encoder = Letters()
    tokens = label_tokens(encoder, ["HandStand", "waving_a flag"], ["Upside down.", "To and fro."])
    assert [len(rows) for rows in tokens] == [3, 4]
    np.testing.assert_array_equal(tokens[0], encoder.encode(["Upside down.", "hand", "stand"]))
    np.testing.assert_array_equal(tokens[1], encoder.encode(["To and fro.", "waving", "a", "flag"]))
    np.testing.assert_array_equal(label_tokens(encoder, ["run"])[0], encoder.encode(["run", "run"]))
    assert label_tokens(encoder, []) == []


def test_save_and_load(head, made_up_classes, tmp_path):
    model, _ = head
    model.save(tmp_path / "head")
    again = CrossModal.load(tmp_path / "head")
    assert again.model.config == model.model.config
    np.testing.assert_array_equal(again.videos(made_up_classes[0][:20]), model.videos(made_up_classes[0][:20]))
    np.testing.assert_array_equal(again.labels(made_up_classes[2]), model.labels(made_up_classes[2]))
    assert sorted(path.name for path in (tmp_path / "head").iterdir()) == [
        "cross-modal.json",
        "cross-modal.safetensors",
    ]


@pytest.mark.parametrize(
    "damage", ["no folder", "no weights", "not JSON", "format", "unknown key", "other width", "cut", "NaN"]
)
def test_damaged_files_are_refused(damage, tmp_path):
    folder = tmp_path / "head"
    CrossModal(net()).save(folder)
    about, weights = folder / "cross-modal.json", folder / "cross-modal.safetensors"
    value = json.loads(about.read_text())
    if damage == "no folder":
        folder = tmp_path / "nothing"
    elif damage == "no weights":
        weights.unlink()
    elif damage == "not JSON":
        about.write_text("{")
    elif damage == "format":
        about.write_text(json.dumps(value | {"format": 2}))
    elif damage == "unknown key":
        about.write_text(json.dumps(value | {"head": value["head"] | {"depth": 3}}))
    elif damage == "other width":
        about.write_text(json.dumps(value | {"head": value["head"] | {"d_emb": 9}}))
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-40])
    else:
        model = net()
        model.project.bias.data[0] = math.nan
        CrossModal(model).save(folder)
    with pytest.raises(FormatError, match="train it again"):
        CrossModal.load(folder)


def test_what_cannot_be_trained_is_refused(made_up_classes):
    features, class_N, tokens = made_up_classes
    with pytest.raises(InputError, match="four classes"):
        trained((features[:3], class_N[:3], tokens))
    with pytest.raises(InputError, match="tokens of each class"):
        trained((features, class_N, tokens[:10]))
    with pytest.raises(InputError, match="labelled clips"):
        trained((features[:-1], class_N, tokens))
    broken = [clip.copy() for clip in features]
    broken[0][:] = np.nan
    broken[1][:] = np.nan
    with pytest.raises(DivergedError, match="nan"):
        trained((broken, class_N, tokens), epochs=1)
    for changes in ({"heads": 3}, {"epochs": 0}, {"lr": -1.0}, {"held_out": 1.0}, {"dropout": math.nan}, {"batch": 1}):
        with pytest.raises(InputError):
            config(**changes)
