"""Sub-clips, positives and the triplets file; hard negatives against plain loops over all pairs."""

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cdist, cosine
from scipy.stats import chisquare

from cezsar.config import MiningConfig
from cezsar.data.annotations import Annotations, Segment
from cezsar.encoders.objects import LinearHead, object_phrases, top_objects
from cezsar.errors import FormatError, InputError
from cezsar.training import mining
from cezsar.training.mining import mine
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


def test_triplets_come_back_from_disk_as_they_were_and_others_are_refused(triplets, tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(FormatError, match="cezsar mine"):
        Triplets.load(path)
    triplets.save(path)
    read = Triplets.load(path)
    assert read.fingerprint == triplets.fingerprint
    assert (read.sentences, read.video_ids, read.record) == (triplets.sentences, triplets.video_ids, triplets.record)
    for damaged in (b"not at all", path.read_bytes()[:-100]):
        path.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"t\.safetensors is damaged or no file of this kind"):
            Triplets.load(path)


def test_too_few_candidates_are_counted_and_none_at_all_is_refused(make):
    few = make(MiningConfig(0.2, 40))
    assert few.record["sub_clips_with_too_few_candidates"] > 0 and few.record["fewest_candidates"] < 40
    with pytest.raises(InputError, match="raise tau"):
        make(MiningConfig(1e-5))


N = 240
GROUPS = np.arange(N) % 80


@pytest.fixture(autouse=True)
def _both_ways_of_drawing(monkeypatch):
    monkeypatch.setattr(mining, "TESTING", 1)  # among so few sentences, too


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(N, 6)).astype(np.float32) * rng.uniform(0.5, 3, size=(N, 1)).astype(np.float32)
    vectors[7] = 2 * vectors[3]  # the same direction: the same sentence
    return vectors


@pytest.fixture(scope="module")
def apart(vectors):
    return cdist(vectors.astype(float), vectors.astype(float), "cosine").tolist()


def candidates(apart, positives, group, tau):
    others = [n for n in range(N) if GROUPS[n] != group]
    return [n for n in others if all(1e-6 < apart[p][n] < tau for p in positives if p >= 0)]


def run(vectors, positives, tau, n=10, seed=0, **options):
    positives, groups = np.asarray(positives), GROUPS[: len(vectors)]
    settings = MiningConfig(tau, n)
    return mine(positives, groups[positives[:, 0]], vectors, groups, np.random.default_rng(seed), settings, **options)


@pytest.mark.parametrize("tau", [0.15, 0.5])  # few candidates: all are tested; many: drawn at random
def test_draws_are_uniform_over_the_candidates(vectors, apart, tau):
    repeats, n, allowed = 4000, 2, candidates(apart, [0], GROUPS[0], tau)
    drawn = run(vectors, np.zeros((repeats, 1), np.int64), tau, n=n, seed=3)[0][:, 0]
    counts = [int((drawn == candidate).sum()) for candidate in allowed]
    assert len(allowed) > n + 1 and sum(counts) == repeats * n
    assert chisquare(counts).pvalue > 1e-3
    # and every pair of candidates is as likely as any other
    pairs = dict.fromkeys(combinations(allowed, 2), 0)
    for row in drawn.tolist():
        pairs[tuple(sorted(row))] += 1
    assert chisquare(list(pairs.values())).pvalue > 1e-3


def test_positives_draw_for_themselves_and_never_the_same_sentence(vectors):
    negatives, _ = run(vectors, [[3, 3]] * 300, 1.0, n=3)
    assert (np.sort(negatives[:, 0]) != np.sort(negatives[:, 1])).any(1).mean() > 0.9
    assert 7 not in run(vectors, [[3]] * 200, 2.0, n=5)[0]


@pytest.mark.parametrize("tau", [0.3, 1.4])  # few candidates, many candidates
def test_draws_follow_the_seed_and_progress_ends_with_every_positive(vectors, tau, monkeypatch):
    monkeypatch.setattr(mining, "PAIRS_AT_ONCE", 500)  # many blocks
    positives, seen = np.stack([np.arange(N), np.arange(N)[::-1]], 1), []
    one, other = (run(vectors, positives, tau, n=3, seed=seed)[0] for seed in (4, 5))
    told, _ = run(vectors, positives, tau, n=3, seed=4, on_progress=lambda *told: seen.append(told))
    np.testing.assert_array_equal(one, told)
    assert not np.array_equal(one, other)
    done = [each for each, _ in seen]
    assert len(seen) > 5 and done == sorted(done) and {total for _, total in seen} == {2 * N} and done[-1] == 2 * N


def test_no_candidates_end_at_once_and_are_counted():
    vectors, own = np.eye(4, dtype=np.float32), np.arange(4)[:, None]  # all distances are 1
    negatives, too_few = run(vectors, own, tau=0.9, n=2)
    assert (negatives == -1).all() and too_few == dict.fromkeys(range(4), 0)
    assert run(vectors, own, tau=1.1, n=3)[1] == {}
    for tau in (0, 2.5, float("nan")):
        with pytest.raises(InputError, match="tau"):
            run(vectors, own, tau)
    vectors[1] = np.nan
    with pytest.raises(InputError, match="first at index 1"):
        run(vectors, own, 0.8)
