"""Sub-clips, positives and the triplets file."""

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.encoders.objects import LinearHead, object_phrases, top_objects
from cezsar.errors import FormatError, InputError
from cezsar.training import triplets as module
from cezsar.training.triplets import Triplets, build, sub_clip_rows


@pytest.mark.parametrize(
    ("start_s", "end_s", "seconds", "allowed"),
    [
        (0.0, 30.0, 30, (0, 30)),
        (12.4, 14.9, 30, (12, 15)),
        (29.7, 40.0, 30, (29, 30)),  # beyond the stored seconds
        (3.2, 3.2, 30, (3, 4)),
        (0.0, 0.4, 1, (0, 1)),
    ],
)
def test_sub_clips_lie_in_their_segment(start_s, end_s, seconds, allowed):
    rng = np.random.default_rng(0)
    drawn = {sub_clip_rows(start_s, end_s, seconds, rng) for _ in range(400)}
    length = min(10, allowed[1] - allowed[0])
    starts = range(allowed[0], allowed[1] - length + 1)
    assert drawn == {(start, start + length) for start in starts}  # every start comes, and no other


def test_each_segment_gives_three_sub_clips_with_its_sentence(made_up, triplets):
    annotations, store = made_up
    assert len(triplets.video_M) == 3 * len(annotations.segments)
    for row in range(len(triplets.video_M)):
        segment = annotations.segments[row // 3]
        assert triplets.video_ids[triplets.video_M[row]] == segment.video_id
        first, stop = triplets.rows_M2[row]
        assert int(segment.start_s) <= first < stop <= np.ceil(segment.end_s)
        assert triplets.sentences[triplets.positives_MP[row, 0]] == segment.sentence
        for negative in triplets.negatives_MPn[row, 0]:
            distance = cosine(triplets.vectors_NS[negative], triplets.vectors_NS[triplets.positives_MP[row, 0]])
            assert 0 < distance < 0.8
            assert annotations.segments[negative].video_id != segment.video_id
    assert triplets.record["triplets"] == len(triplets) == (triplets.negatives_MPn >= 0).sum()
    assert triplets.record["store"] == store.fingerprint


def test_segments_beyond_the_film_are_left_out_and_counted(made_up, sentence_encoder):
    annotations, store = made_up
    beyond = [Segment("v00", 30.0, 55.0, "nobody is there to jump"), Segment("v01", 29.4, 40.0, "at the end a kick")]
    longer = Annotations([*beyond, *annotations.segments], annotations.durations)
    triplets = build(longer, store, sentence_encoder, np.random.default_rng(0), MiningConfig(negatives=4, sub_clips=1))
    assert triplets.record["segments_beyond_the_film"] == 1
    assert beyond[0].sentence not in triplets.sentences
    assert triplets.sentences[triplets.positives_MP[0, 0]] == beyond[1].sentence
    assert triplets.rows_M2[0].tolist() == [29, 30]
    with pytest.raises(InputError, match="after the end of their films"):
        build(Annotations(beyond[:1], {}), store, sentence_encoder, np.random.default_rng(0))


def test_object_sentences_join_the_human_one_and_bound_the_negatives(made_up, sentence_encoder):
    annotations, store = made_up
    rng = np.random.default_rng(3)
    verbs = ("kick", "throw", "wave", "jump", "push", "lift")
    head = LinearHead(
        [f"thing{k}" for k in range(6)],
        [f"an object that people use when they {verb}; a rare and costly piece for those who {verb}" for verb in verbs],
        rng.normal(size=(6, store.dim)),
    )
    triplets = build(
        annotations, store, sentence_encoder, np.random.default_rng(0), MiningConfig(negatives=4), head=head
    )
    assert triplets.positives_MP.shape[1] == 3
    unit = triplets.vectors_NS / np.linalg.norm(triplets.vectors_NS, axis=1, keepdims=True)
    for row in range(0, len(triplets.video_M), 7):
        human, *objects = triplets.positives_MP[row].tolist()
        first, stop = triplets.rows_M2[row].tolist()
        features = store.rows(triplets.video_ids[triplets.video_M[row]], first, stop)
        phrases = set(object_phrases(head, top_objects(head.logits(features))[0]))
        similarity = {p: float(sentence_encoder.encode([p])[0] @ unit[human]) for p in phrases}
        norms = {p: np.linalg.norm(sentence_encoder.encode([p])[0]) for p in phrases}
        expected = sorted(phrases, key=lambda p: -similarity[p] / norms[p])[:2]
        assert [triplets.sentences[index] for index in objects] == expected
        for negative in triplets.negatives_MPn[row].ravel():
            if negative >= 0:
                assert negative < len(annotations.segments)  # negatives are human sentences
                assert all(0 < cosine(unit[negative], unit[positive]) < 0.8 for positive in (human, *objects))


@pytest.mark.parametrize("with_objects", [False, True])
def test_progress_counts_sentences_and_sub_clips(made_up, sentence_encoder, with_objects, monkeypatch):
    annotations, store = made_up
    monkeypatch.setattr(module, "SENTENCES_AT_ONCE", 10)
    words = [f"a thing with which people {verb}" for verb in ("kick", "throw")]
    head = LinearHead(["x", "y"], words, np.eye(2, store.dim)) if with_objects else None
    seen = []
    triplets = build(
        annotations, store, sentence_encoder, np.random.default_rng(0), head=head,
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    silent = build(annotations, store, sentence_encoder, np.random.default_rng(0), head=head)
    assert triplets.fingerprint == silent.fingerprint
    done = [each for each, _ in seen]
    sentences, sub_clips = len(annotations.segments), len(triplets.video_M)
    assert {total for _, total in seen} == {sentences + (2 if with_objects else 1) * sub_clips}
    assert done == sorted(done) and (done[0], done[-1]) == (0, seen[0][1])
    assert {10, 20, sentences} <= set(done)


def test_triplets_come_back_from_disk_as_they_were(triplets, tmp_path):
    triplets.save(tmp_path / "t.safetensors")
    read = Triplets.load(tmp_path / "t.safetensors")
    for name in ("video_M", "rows_M2", "vectors_NS", "positives_MP", "negatives_MPn"):
        np.testing.assert_array_equal(getattr(read, name), getattr(triplets, name))
    assert (read.sentences, read.video_ids, read.record) == (triplets.sentences, triplets.video_ids, triplets.record)


def test_what_is_no_triplets_file_is_refused(triplets, tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(FormatError, match="cezsar mine"):
        Triplets.load(path)
    path.write_bytes(b"not at all")
    with pytest.raises(FormatError, match=r"t\.safetensors is not a triplets file"):
        Triplets.load(path)
    triplets.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match="not a triplets file"):
        Triplets.load(path)


def test_a_triplets_file_that_contradicts_itself_is_refused(triplets, tmp_path):
    import dataclasses

    beyond = triplets.positives_MP.copy()
    beyond[0, 0] = len(triplets.sentences)
    dataclasses.replace(triplets, positives_MP=beyond).save(tmp_path / "t.safetensors")
    with pytest.raises(FormatError, match="contradicts itself"):
        Triplets.load(tmp_path / "t.safetensors")


def test_annotations_and_store_must_share_videos(made_up, sentence_encoder):
    _, store = made_up
    others = Annotations(segments=[Segment("elsewhere", 0, 5, "a kick")], durations={"elsewhere": 5})
    with pytest.raises(InputError, match="none of the 1 annotated videos is in the store"):
        build(others, store, sentence_encoder, np.random.default_rng(0))


def test_too_few_candidates_are_counted_and_none_at_all_is_refused(made_up, sentence_encoder):
    annotations, store = made_up
    few = build(annotations, store, sentence_encoder, np.random.default_rng(0), MiningConfig(0.2, 40))
    assert few.record["sub_clips_with_too_few_candidates"] > 0
    assert few.record["fewest_candidates"] < 40
    with pytest.raises(InputError, match="raise tau"):
        build(annotations, store, sentence_encoder, np.random.default_rng(0), MiningConfig(1e-5))
