"""The small demo in assets/ follows from the code and the seeds: it cannot go stale unnoticed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cezsar import world
from cezsar.analysis.baselines import place_scores
from cezsar.arrays import unit_rows
from cezsar.data.sentence_cache import SentenceCache
from cezsar.demo import evaluate_all
from cezsar.encoders import compute, load_sentence_encoder
from cezsar.encoders.motion import MotionEncoder
from cezsar.encoders.objects import LinearHead, object_sentence
from cezsar.model import stack
from cezsar.training.runs import Run
from cezsar.video import Decoder
from cezsar.world.plans import action_of
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.scores import Scores, read_arrays
from cezsar.zeroshot.spaces import space_of

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "demo"
UNSEEN = world.unseen_actions()
PLANS = world.plan_clips(world.SEED, UNSEEN, 20)
DESCRIBED = [world.DESCRIPTIONS[action.name] for action in UNSEEN]


@pytest.fixture(scope="module")
def shipped():
    return Scored.open(SHIPPED / "scores" / "demo@demo")


@pytest.fixture(scope="module")
def run():
    return Run.open(SHIPPED / "runs" / "demo")


@pytest.fixture(scope="module")
def sentences():
    return SentenceCache(load_sentence_encoder("minilm"), None)


def test_it_is_small_of_these_encoders_and_of_the_worlds_clips(shipped, run, sentences):
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < 5e6
    run.check_feature_encoder("motion", MotionEncoder().fingerprint)
    run.check_sentence_encoder("minilm", sentences.fingerprint)
    embeddings = shipped.embeddings()
    assert embeddings.ids == [plan.id for plan in PLANS] and embeddings.labels == [plan.label for plan in PLANS]
    assert embeddings.class_names == [action.name for action in UNSEEN]
    for plan in PLANS[::37]:
        assert world.plan_of(plan.id) == plan
    assert world.plan_of("w7-train-0001") is world.plan_of("clip") is action_of("clip") is None


@pytest.mark.parametrize("clip", [0, 137, 419])
def test_a_clip_drawn_again_has_its_embedding(shipped, run, sentences, tmp_path, clip):
    plan, encoder = PLANS[clip], MotionEncoder()
    path = tmp_path / world.video_path(Path(), plan).name
    world.write_video(plan, path)
    with Decoder() as decoder:
        features = decoder.run(path, encoder.sampling, encoder.encode)
    visual = space_of(run, sentences, "cpu").clips([features])[0]
    kept = shipped.embeddings().modalities["VE"][clip]
    assert visual @ kept / (np.linalg.norm(visual) * np.linalg.norm(kept)) > 0.999


@pytest.mark.parametrize("every", [28, pytest.param(1, marks=pytest.mark.heavy)])
def test_reduced_precision_names_the_clips_alike(run, sentences, tmp_path, every):
    """Features kept as float16; rounded to bfloat16, as computing in it does; and the model in bfloat16, as a GPU
    trains it."""
    encoder, exact, model = MotionEncoder(), [], run.load_model()
    with Decoder() as decoder:
        for plan in PLANS[::every]:
            path = tmp_path / world.video_path(Path(), plan).name
            world.write_video(plan, path)
            exact.append(torch.from_numpy(decoder.run(path, encoder.sampling, encoder.encode)))
    prototypes_CE = unit_rows(space_of(run, sentences, "cpu").sentences(DESCRIBED))

    def embedded(clips, precision="fp32"):
        with compute.inference("cpu", precision):
            return unit_rows(model.visual_embedding(*stack(clips, model.config.longest_s)).float().numpy())

    expected = embedded(exact)
    reduced = [embedded([clip.to(kind).float() for clip in exact]) for kind in (torch.float16, torch.bfloat16)]
    for found, least in zip([*reduced, embedded(exact, "bf16")], (0.99999, 0.999, 0.999), strict=True):
        assert (found * expected).sum(1).min() > least
        same_N = (found @ prototypes_CE.T).argmax(1) == (expected @ prototypes_CE.T).argmax(1)
        assert same_N.mean() >= 0.995


def test_prototypes_scores_and_figures_follow_from_each_other(shipped, run, sentences):
    expected = space_of(run, sentences, "cpu").sentences(DESCRIBED)
    np.testing.assert_allclose(shipped.embeddings().prototypes, expected, rtol=2e-3, atol=2e-3)
    for name, matrix in Scores.from_embeddings(shipped.embeddings()).columns.items():
        np.testing.assert_allclose(shipped.scores().columns[name], matrix, rtol=1e-3, atol=1e-3)
    colour = Scored.open(SHIPPED / "scores" / "demo-colour@demo").scores()
    place = place_scores([action_of(plan.id).place for plan in PLANS], shipped.scores())
    figures = evaluate_all(shipped.scores(), colour, place, shipped.weights)
    found = [result for path in (SHIPPED / "runs" / "demo" / "results").glob("*.json") for result in load_all(path)]
    assert len(found) == len(figures) == 10 and all(result in found for result in figures)
    whole = {result.modality: result.figure("top1").mean for result in found if result.protocol == "all"}
    assert whole["VE + O"] > 0.6 > whole["place oracle"]


def test_its_captions_and_sentences_are_the_worlds(shipped, sentences):
    """Every O(v) that the shipped clips can have, and every class description, is in the shipped cache."""
    arrays, described = read_arrays(SHIPPED / "captions.safetensors", "captions")
    videos = world.plan_training(world.SEED)[: len(described["videos"])]
    assert described["videos"] == [plan.id for plan in videos]
    texts = [segment.sentence for plan in videos for segment in plan.segments]
    assert described["sentences"] == texts
    np.testing.assert_array_equal(arrays["groups"], [i for i, plan in enumerate(videos) for _ in plan.segments])
    np.testing.assert_allclose(arrays["vectors"][:8], sentences.encode(texts[:8]), atol=1e-3)

    class Unneeded:
        name, dim, fingerprint = sentences.name, sentences.dim, sentences.fingerprint

        def encode(self, texts):
            raise AssertionError(f"the encoder was asked for {texts}")

    head = LinearHead.load(SHIPPED / "runs" / "demo" / "objects.safetensors")
    spoken = DESCRIBED + [object_sentence(head, [index]) for index in range(len(head.names))]
    cache = SentenceCache(Unneeded(), None, [SHIPPED / "cache" / "sentences"])
    np.testing.assert_allclose(cache.encode(spoken), sentences.encode(spoken), atol=1e-5)


@pytest.mark.heavy
def test_the_whole_demo_made_again_reaches_the_same(tmp_path):
    """Training is not the same to the last bit on every machine; its figures are, within what a seed is worth."""
    from cezsar.demo import run_demo

    again = {result.modality: result for result in run_demo(tmp_path).results if result.protocol == "all"}
    for result in load_all(SHIPPED / "runs" / "demo" / "results" / "demo all.json"):
        assert again[result.modality].figure("top1").mean == pytest.approx(result.figure("top1").mean, abs=0.08)
