"""What must hold for any input, said once: `tests/test_properties.py` tries each with a few inputs, always the same,
`tests/hard/test_many_properties.py` with many, from a seed."""

import csv
import io
import json
import unicodedata
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from cezsar.config import SAME, MiningConfig, ModelConfig
from cezsar.data import labels
from cezsar.data.annotations import load_annotations, load_captions
from cezsar.data.descriptions import load_descriptions, save_descriptions
from cezsar.data.features import FeatureStore, ObjectVocabulary, StoreWriter
from cezsar.data.manifest import Clip, read_source
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError
from cezsar.model import CEZSAR, stack
from cezsar.training import mining
from cezsar.training.loop import split_by_video
from cezsar.training.triplets import Triplets
from cezsar.zeroshot.evaluation import Result, evaluate
from cezsar.zeroshot.fusion import Weights, fuse, predict
from cezsar.zeroshot.protocols import parse, random_classes
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.tables import to_json

PROPERTIES = {}
seeds, words = st.integers(0, 2**32 - 1), st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
names = words.filter(lambda text: text.strip() and len(" ".join(text.split())) and labels.canonical(text))
classes = st.lists(names.map(lambda text: " ".join(text.split())), min_size=2, max_size=9, unique_by=labels.canonical)
composed = words.map(lambda text: unicodedata.normalize("NFC", text.strip()))  # as names of files are kept
weights = st.floats(0, 4, width=16)


def holds_for(**drawn):
    """Keep a property with how its arguments are drawn."""

    def keep(check):
        PROPERTIES[check.__name__] = check, drawn
        return check

    return keep


def tried(name, examples, wrapped=lambda test: test, **how):
    """Try a property; returns with how many inputs."""
    check, drawn = PROPERTIES[name]
    done = []

    def counted(**values):
        check(**values)
        done.append(None)  # what was not fit to try did not come here

    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much]
    wanted = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=slow, **how)
    wrapped(wanted(given(**drawn)(counted)))()
    return len(done)


# Embeddings -----------------------------------------------------------------------------------------------------------


@holds_for(
    lengths=st.lists(st.integers(1, 15), min_size=1, max_size=6),
    recipe=st.sampled_from(["paper", "released", "kernel"]), further=st.integers(0, 7), training=st.booleans(),
    seed=seeds,
)  # fmt: skip
@torch.no_grad()
def a_clip_sees_neither_padding_nor_its_batch_nor_its_order(lengths, recipe, further, training, seed):
    rng, draw = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    training &= recipe == "paper"  # the released recipe attends over the batch in training, as its code does
    further *= recipe != "released"  # and counts zeros up to its own length
    torch.manual_seed(seed)
    config = ModelConfig(7, 5, d_model=8, d_emb=4, heads=2, ffn=6, dropout=0.0, recipe=recipe)
    model, clips = CEZSAR(config).train(training), [rng.normal(size=(n, 7)).astype("f4") for n in lengths]
    features_BTD, lengths_B = stack(clips, 15)
    expected = model.visual_embedding(features_BTD, lengths_B).numpy()
    for clip, length in zip(features_BTD, lengths, strict=True):
        clip[length:] = 1e4 * torch.randn(clip[length:].shape, generator=draw)
    longer_BTD = torch.nn.functional.pad(features_BTD, (0, 0, 0, further), value=-77.0)[:, : max(15, further)]
    np.testing.assert_allclose(model.visual_embedding(longer_BTD, lengths_B), expected, atol=2e-6)
    order = rng.permutation(len(clips))
    permuted = model.visual_embedding(*stack([clips[i] for i in order], 15))
    alone = np.concatenate([model.visual_embedding(*stack([clip], 15)) for clip in clips])
    np.testing.assert_allclose(permuted, expected[order], atol=2e-6)
    np.testing.assert_allclose(alone, expected, atol=2e-6)


def embeddings(seed, n, n_classes, sentences, dim=6):
    rng = np.random.default_rng(seed)
    owner = rng.permutation(np.repeat(np.arange(n_classes), sentences))
    of_class = [f"class {c}" for c in range(n_classes)]
    truth = [of_class[rng.integers(n_classes)] if rng.random() < 0.8 else "" for _ in range(n)]
    rows = {name: np.maximum(rng.normal(size=(n, dim)), -0.5) for name in ("VE", "O", "C")}
    return Embeddings([f"clip {i}" for i in range(n)], truth, of_class, rows, rng.normal(size=(len(owner), dim)), owner)


@holds_for(
    one=st.tuples(weights, weights, weights), other=st.tuples(weights, weights, weights), factor=weights, seed=seeds
)
def fusion_is_linear(one, other, factor, seed):
    assume(any(one) and any(other))
    scores = Scores.from_embeddings(embeddings(seed, 5, 4, 1))
    both = Weights(*(a + factor * b for a, b in zip(one, other, strict=True)))
    apart = fuse(scores, Weights(*one)) + np.float32(factor) * fuse(scores, Weights(*other))
    np.testing.assert_allclose(fuse(scores, both), apart, rtol=1e-4, atol=1e-4)


@holds_for(alpha=weights, beta=weights, gamma=weights, scale=st.floats(0.125, 8, width=16), seed=seeds)
def a_prediction_depends_on_directions_alone(alpha, beta, gamma, scale, seed):
    assume(alpha + beta + gamma > 0.1)
    e = embeddings(seed, 6, 4, 2)
    fused = sum(w * e.modalities[m] for m, w in zip(("VE", "O", "C"), (alpha, beta, gamma), strict=True))
    cosine_NP = 1 - cdist(fused, e.prototypes, "cosine")
    cosine_NC = np.stack([cosine_NP[:, e.prototype_class == c].max(1) for c in range(4)], 1)
    best = np.sort(cosine_NC, 1)
    assume((best[:, -1] - best[:, -2]).min() > 1e-4)
    longer = replace(e, prototypes=e.prototypes * np.float32(scale))
    for each, factor in ((e, 1.0), (longer, scale)):
        found = predict(Scores.from_embeddings(each), Weights(alpha * factor, beta * factor, gamma * factor))
        np.testing.assert_array_equal(found, cosine_NC.argmax(1))


# Splits ---------------------------------------------------------------------------------------------------------------


@holds_for(given=classes, part=st.floats(0, 1), runs=st.integers(1, 5), seed=seeds)
def a_random_split_takes_each_class_once_in_order(given, part, runs, seed):
    k = 1 + int(part * (len(given) - 1))
    protocol = random_classes(given, k, runs, seed)
    assert protocol.runs == runs and parse(f"{k}-of-{len(given)} x {runs}", given, seed=seed) == protocol
    for split in protocol.splits:
        tested, left = set(split), set(given) - set(split)
        assert len(split) == len(tested) == k and len(left) == len(given) - k and tested | left == set(given)
        assert split == sorted(split, key=given.index)
    assert random_classes(given, k, runs + 3, seed).splits[:runs] == protocol.splits  # run i whatever follows
    again = random_classes(given[::-1], k, runs, seed)
    assert [set(split) for split in again.splits] == [set(split) for split in protocol.splits]


@holds_for(
    of_videos=st.lists(st.integers(0, 9), min_size=2, max_size=30), share=st.floats(0.01, 0.99), seed=seeds,
    idle=st.sets(st.integers(0, 29)),
)  # fmt: skip
def no_video_is_trained_on_and_validated_with(of_videos, share, seed, idle):
    video_M, m = np.array(of_videos), len(of_videos)
    negatives = np.where(np.isin(np.arange(m), list(idle))[:, None, None], -1, 0)
    usable = {video for row, video in enumerate(of_videos) if row not in idle}
    nothing = np.zeros((m, 2), np.int32)
    triplets = Triplets([str(v) for v in range(10)], video_M, nothing, [], np.zeros((1, 1)), nothing, negatives, {})
    if len(usable) < 2:
        with pytest.raises(InputError, match="training needs two"):
            split_by_video(triplets, share, seed)
        return
    one, other = split_by_video(triplets, share, seed)
    assert sorted([*one, *other]) == [row for row in range(m) if row not in idle]
    assert set(video_M[one]) | set(video_M[other]) == usable and not set(video_M[one]) & set(video_M[other])
    assert len(one) and len(other)


# Mining ---------------------------------------------------------------------------------------------------------------


@holds_for(
    n=st.integers(3, 120), positives=st.integers(1, 3), groups=st.integers(1, 12), tau=st.floats(0.05, 2),
    k=st.integers(1, 8), same=st.booleans(), testing=st.sampled_from([1, mining.TESTING]), seed=seeds,
)  # fmt: skip
def negatives_lie_in_the_band_of_every_positive_and_in_other_videos(n, positives, groups, tau, k, same, testing, seed):
    """Drawn at random, where testing every sentence is said to cost much, and else from all."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, 5)).astype("f4") * rng.uniform(0.5, 3, (n, 1)).astype("f4")
    if same:
        vectors[n // 2] = 2 * vectors[0]  # the same direction: the same sentence
    group_N, asked = rng.integers(groups, size=n), rng.integers(n, size=(9, positives))
    asked[:, 1:][rng.random((9, positives - 1)) < 0.3] = -1
    apart = cdist(vectors.astype(float), vectors.astype(float), "cosine")
    near = np.abs(apart[..., None] - [SAME, tau]).min() < 1e-6  # within rounding of a bound either is right
    assume(same or not near)
    own = group_N[asked[:, 0]]
    with mock.patch.object(mining, "TESTING", testing):
        drawn, too_few = mining.mine(asked, own, vectors, group_N, np.random.default_rng(seed), MiningConfig(tau, k))
    for anchor, row in enumerate(asked):
        inside = [(apart[p] > SAME) & (apart[p] < tau) for p in row if p >= 0]
        allowed = set(np.flatnonzero(np.all(inside, 0) & (group_N != own[anchor])))
        assert too_few.get(anchor) == (len(allowed) if len(allowed) < k else None)
        for positive, found in zip(row, drawn[anchor].tolist(), strict=True):
            kept = [each for each in found if each >= 0]
            assert len(set(kept)) == len(kept) == (min(k, len(allowed)) if positive >= 0 else 0)
            assert set(kept) <= allowed


# Files ----------------------------------------------------------------------------------------------------------------

VOCABULARY = ObjectVocabulary(["ball", "rope", "hat"], ["round toy", "long thing", ""], "head" * 16)
videos = st.lists(
    st.tuples(words, words, words, st.integers(0, 6), st.booleans()), max_size=8, unique_by=lambda video: video[0]
)


@holds_for(given=videos, shard_videos=st.integers(1, 4), seed=seeds)
def a_store_gives_back_what_was_put_in(given, shard_videos, seed):
    """Of any length; a video without rows, or without an id, is refused and leaves the others alone."""
    provenance = {"encoder": "toy", "fingerprint": "f" * 64, "dim": 3, "fps": 1.0, "domain": "ü"}
    rng, kept = np.random.default_rng(seed), {}
    with TemporaryDirectory() as folder:
        for place, order, size in (("one", given, shard_videos), ("two", given[::-1], 256)):
            with StoreWriter(Path(folder) / place, provenance, vocabulary=VOCABULARY, shard_videos=size) as writer:
                for id, label, path, length, named in order:
                    rows = kept[id][0] if id in kept else rng.normal(size=(length, 3))
                    objects = (np.array([2, 0]), np.array([0.75, 0.125])) if named else None
                    if not length or not id:
                        with pytest.raises(InputError, match=r"T >= 1|is empty"):
                            writer.add(id, rows, label, path, objects)
                        continue
                    writer.add(id, rows, label, path, objects)
                    kept[id] = rows, label, path, named
        if not kept:
            with pytest.raises(InputError, match="no feature shards"):
                FeatureStore(Path(folder) / "one")
            return
        store = FeatureStore(Path(folder) / "one")
        assert store.ids == list(kept) and store.labels == {id: video[1] for id, video in kept.items()}
        assert store.paths == {id: video[2] for id, video in kept.items()}
        assert store.fingerprint == FeatureStore(Path(folder) / "two").fingerprint
        order = [*kept, *reversed(kept)]
        for id, read in zip(order, (rows for block in store.blocks(order, videos=3) for rows in block), strict=True):
            rows, _, _, named = kept[id]
            expected = rows.astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(read, expected)
            np.testing.assert_array_equal(store.rows(id, len(rows) - 1, 99), expected[-1:])
            assert store.length(id) == len(rows) and (store.objects(id) is not None) == named


@holds_for(given=classes, seed=seeds)
def lists_of_classes_are_read_as_they_were_written(given, seed):
    quoted = io.StringIO()
    csv.writer(quoted, quoting=csv.QUOTE_ALL).writerow(given)
    if not any(labels.is_invisible(c) or c in "\x1c\x1d\x1e\x85\u2028\u2029" for name in given for c in name):
        assert labels.parse_labels(quoted.getvalue()).names == labels.without_numbers(given)
    assert labels.parse_labels(json.dumps(given)).names == given
    assert labels.resolve(
        [name.upper() for name in given if labels.canonical(name.upper()) in map(labels.canonical, given)], given
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "classes.json"
        save_descriptions(path, {name: [f"{name}.", "x"] for name in given})
        assert load_descriptions(path) == {name: [f"{name}.", "x"] for name in given}
        labels.keep_group(path.with_name("groups.json"), "a group", given)
        assert labels.load_groups(path.with_name("groups.json")) == {"a group": given}
        path.write_text(json.dumps({"training": given[1:], "testing": given[:1]}), encoding="utf-8")
        assert labels.load_split(path) == {"training": given[1:], "testing": given[:1]}
        assert parse(str(path), given).splits == [given[:1]]


times = st.floats(0, 1e6, allow_nan=False)


@holds_for(
    given=st.dictionaries(
        words, st.lists(st.tuples(times, times, names), min_size=1, max_size=3), min_size=1, max_size=4
    )
)
def captions_are_read_as_they_were_written(given):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        path.write_text(json.dumps({
            id: {"duration": 1e6, "timestamps": [s[:2] for s in found], "sentences": [s[2] for s in found]}
            for id, found in given.items()
        }))  # fmt: skip
        read = load_annotations(path)
        flat = [(id, *sorted(s[:2]), s[2].strip()) for id, found in given.items() for s in found]
        assert [(s.video_id, s.sentence) for s in read.segments] == [(id, text) for id, _, _, text in flat]
        for segment, (_, start_s, end_s, _) in zip(read.segments, flat, strict=True):
            assert 0 <= segment.start_s < segment.end_s <= 1e6
            assert start_s == end_s or (segment.start_s, segment.end_s) == (start_s, end_s)
        path.write_text(
            json.dumps({"results": {id: [{"sentence": s[2]} for s in found] for id, found in given.items()}})
        )
        assert load_captions(path) == {id: [s[2].strip() for s in found] for id, found in given.items()}


@holds_for(
    given=st.lists(st.tuples(composed, composed), min_size=1, max_size=5, unique_by=lambda row: row[0]),
    sign=st.sampled_from(",;\t"),
)
def a_manifest_is_read_as_it_was_written(given, sign):
    with TemporaryDirectory() as folder:
        (Path(folder) / "clip.mp4").touch()
        with (Path(folder) / "m.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [("path", "id", "label"), *(("clip.mp4", id, label) for id, label in given)]
            csv.writer(file, delimiter=sign, quoting=csv.QUOTE_ALL).writerows(rows)
        clips = read_source(Path(folder) / "m.csv")
        assert [(clip.id, clip.label) for clip in clips] == [(id or "clip", label) for id, label in given]
        assert {clip.path for clip in clips} == {Clip(Path(folder) / "clip.mp4", "").path}


@holds_for(sentences=st.lists(words, min_size=1, max_size=6), ids=st.lists(words, min_size=1, max_size=3), seed=seeds)
def arrays_with_words_come_back_and_give_the_same_bytes(sentences, ids, seed):
    rng = np.random.default_rng(seed)
    vectors, index = (
        rng.normal(size=(len(sentences), 3)).astype("f4"),
        rng.integers(-1, len(sentences), size=(4, 2)).astype("i4"),
    )
    video_M, rows_M2 = (
        rng.integers(len(ids), size=4).astype("i4"),
        np.cumsum(rng.integers(1, 9, (4, 2)), 1).astype("i4"),
    )
    triplets = Triplets(ids, video_M, rows_M2, sentences, vectors, index, index[..., None], {"note": sentences})
    head = LinearHead(sentences, sentences, vectors)
    e = embeddings(seed, 3, 2, 2)
    e = replace(e, ids=[f"{n} {(ids * 3)[n]}" for n in range(3)])
    with TemporaryDirectory() as folder:
        one, two = Path(folder) / "one.safetensors", Path(folder) / "two.safetensors"
        for each in (triplets, head, e, Scores.from_embeddings(e)):
            each.save(one)
            read = type(each).load(one)
            for name, value in vars(each).items():
                np.testing.assert_equal(getattr(read, name), value)
            read.save(two)
            assert one.read_bytes() == two.read_bytes()


@holds_for(runs=st.integers(1, 3), k=st.integers(1, 4), seed=seeds)
def a_result_is_read_as_it_was_written(runs, k, seed):
    scores = Scores.from_embeddings(embeddings(seed, 40, 4, 1))
    result = evaluate(scores, random_classes(scores.class_names, k, runs, seed), Weights())
    assert Result.from_dict(json.loads(to_json([result]))["results"][0]) == result
