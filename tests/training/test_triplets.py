"""Sub-clips, positives and the triplets file."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.encoders.objects import LinearHead, object_phrases, top_objects
from cezsar.errors import FormatError, InputError
from cezsar.training import triplets as module
from cezsar.training.triplets import Triplets, build, sub_clip_rows


@pytest.mark.parametrize(("start_s", "end_s", "seconds", "allowed"), [
    (0.0, 30.0, 30, (0, 30)), (12.4, 14.9, 30, (12, 15)), (3.2, 3.2, 30, (3, 4)), (0.0, 0.4, 1, (0, 1)),
    (29.7, 40.0, 30, (29, 30)),  # beyond the stored seconds
])  # fmt: skip
def test_sub_clips_lie_in_their_segment(start_s, end_s, seconds, allowed):
    rng = np.random.default_rng(0)
    drawn = {sub_clip_rows(start_s, end_s, seconds, rng) for _ in range(400)}
    length = min(10, allowed[1] - allowed[0])
    starts = range(allowed[0], allowed[1] - length + 1)
    assert drawn == {(start, start + length) for start in starts}  # every start comes, and no other


@pytest.fixture
def make(made_up, sentence_encoder):
    def make(settings=None, annotations=made_up[0], **options):
        return build(annotations, made_up[1], sentence_encoder, np.random.default_rng(0), settings, **options)

    return make


@pytest.fixture(scope="module")
def head(made_up):
    said = "an object that people use when they {0}; a rare and costly piece for those who {0}"
    words = [said.format(verb) for verb in ("kick", "throw", "wave", "jump", "push", "lift")]
    return LinearHead([f"thing{k}" for k in range(6)], words, np.random.default_rng(3).normal(size=(6, made_up[1].dim)))


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


def test_segments_beyond_the_film_are_left_out_and_counted(made_up, make):
    beyond = [Segment("v00", 30.0, 55.0, "nobody is there to jump"), Segment("v01", 29.4, 40.0, "at the end a kick")]
    longer = Annotations([*beyond, *made_up[0].segments], made_up[0].durations)
    triplets = make(MiningConfig(negatives=4, sub_clips=1), longer)
    assert triplets.record["segments_beyond_the_film"] == 1
    assert beyond[0].sentence not in triplets.sentences
    assert triplets.sentences[triplets.positives_MP[0, 0]] == beyond[1].sentence
    assert triplets.rows_M2[0].tolist() == [29, 30]
    with pytest.raises(InputError, match="after the end of their films"):
        make(annotations=Annotations(beyond[:1], {}))
    with pytest.raises(InputError, match="none of the 1 annotated videos is in the store"):
        make(annotations=Annotations([Segment("elsewhere", 0, 5, "a kick")], {"elsewhere": 5}))


def test_object_sentences_join_the_human_one_and_bound_the_negatives(made_up, make, head, sentence_encoder):
    annotations, store = made_up
    triplets = make(MiningConfig(negatives=4), head=head)
    assert triplets.positives_MP.shape[1] == 3
    unit = triplets.vectors_NS / np.linalg.norm(triplets.vectors_NS, axis=1, keepdims=True)
    for row in range(0, len(triplets.video_M), 7):
        human, *objects = triplets.positives_MP[row].tolist()
        features = store.rows(triplets.video_ids[triplets.video_M[row]], *triplets.rows_M2[row].tolist())
        phrases = set(object_phrases(head, top_objects(head.logits(features))[0]))
        distance = {phrase: cosine(sentence_encoder.encode([phrase])[0], unit[human]) for phrase in phrases}
        assert [triplets.sentences[index] for index in objects] == sorted(phrases, key=distance.get)[:2]
        for negative in triplets.negatives_MPn[row].ravel():
            if negative >= 0:
                assert negative < len(annotations.segments)  # negatives are human sentences
                assert all(0 < cosine(unit[negative], unit[positive]) < 0.8 for positive in (human, *objects))


def test_progress_counts_sentences_and_sub_clips_and_the_seed_decides(make, head, monkeypatch):
    monkeypatch.setattr(module, "SENTENCES_AT_ONCE", 10)
    seen = []
    triplets = make(on_progress=lambda *told: seen.append(told), head=head)
    assert triplets.fingerprint == make(head=head).fingerprint
    done = [each for each, _ in seen]
    assert {total for _, total in seen} == {len(triplets.sentences) + len(triplets.video_M)}
    assert done == sorted(done) and (done[0], done[-1]) == (0, seen[0][1])


def test_triplets_come_back_from_disk_as_they_were_and_others_are_refused(triplets, tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(FormatError, match="cezsar mine"):
        Triplets.load(path)
    triplets.save(path)
    read = Triplets.load(path)
    assert read.fingerprint == triplets.fingerprint
    assert (read.sentences, read.video_ids, read.record) == (triplets.sentences, triplets.video_ids, triplets.record)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FormatError, match=r"t\.safetensors is not a triplets file"):
        Triplets.load(path)
    beyond = triplets.positives_MP.copy()
    beyond[0, 0] = len(triplets.sentences)
    dataclasses.replace(triplets, positives_MP=beyond).save(path)
    with pytest.raises(FormatError, match="contradicts itself"):
        Triplets.load(path)


def test_too_few_candidates_are_counted_and_none_at_all_is_refused(make):
    few = make(MiningConfig(0.2, 40))
    assert few.record["sub_clips_with_too_few_candidates"] > 0 and few.record["fewest_candidates"] < 40
    with pytest.raises(InputError, match="raise tau"):
        make(MiningConfig(1e-5))
