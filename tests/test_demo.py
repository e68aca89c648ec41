"""The demo's own parts: its controls, its disjointness, its recogniser of props, and that a stopped demo goes on."""

import json

import numpy as np
import pytest

from cezsar import world
from cezsar.analysis.baselines import place_scores
from cezsar.data.annotations import load_annotations
from cezsar.data.features import FeatureStore
from cezsar.demo import Recipe, colour_store, fit_head, fit_props, run_demo
from cezsar.encoders.motion import APPEARANCE, MotionEncoder
from cezsar.encoders.objects import LinearHead, top_objects
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.scores import Scores

RECIPE = Recipe(videos=10, clips_per_class=1, training={"lr": 1e-3, "epochs": 2, "batch": 32, "standardise": True})


@pytest.fixture
def stores(small_demo):
    return [FeatureStore(small_demo[0] / f"features/demo-{part}") for part in ("train", "test")]


@pytest.fixture
def made(small_demo):
    return world.build(small_demo[0] / "demo", 5, videos=10, clips_per_class=1)


def of_actions(plans):
    segments = [segment for plan in plans for segment in plan.segments]
    return {segment.action for segment in segments}, {(segment.motion, segment.prop) for segment in segments}


def test_seen_and_unseen_share_no_name_no_clip_no_sentence_and_no_pair(small_demo, made, stores):
    unseen = {action.name for action in world.unseen_actions()}
    assert {plan.label for plan in made.test} == unseen
    for plans in (made.train, world.plan_training(3)):
        for shown, tested in zip(of_actions(plans), of_actions(made.test), strict=True):
            assert shown and not shown & tested
    assert len(world.seen_actions()) + len(unseen) >= 40 and len(unseen) >= 15
    train, test = ({store.features(id).tobytes() for id in store} for store in stores)
    assert not train & test and not set(stores[0]) & set(stores[1])
    # The model saw the sentences of training videos and nothing else: no class description among them.
    sentences = {segment.sentence for segment in load_annotations(small_demo[0] / "demo/train.json").segments}
    assert not sentences & set(world.DESCRIPTIONS.values())


def test_place_oracle_is_the_share_of_each_class_at_the_place(made):
    names = sorted({plan.label for plan in made.test})
    like = Scores([p.id for p in made.test], [p.label for p in made.test], names, {"VE": np.eye(21, dtype=np.float32)})
    matrix = place_scores([plan.segments[0].place for plan in made.test], like).matrices["VE"]
    for row, plan in enumerate(made.test):
        for column, name in enumerate(names):
            same = [p for p in made.test if p.label == name and p.segments[0].place == plan.segments[0].place]
            assert matrix[row, column] == len(same)


def test_colour_store_holds_colour_alone(stores):
    encoder, (_, store) = MotionEncoder(), stores
    colour = colour_store(store)
    assert colour.ids == store.ids and colour.labels == store.labels
    start, kept = 0, []
    for block, width in encoder.blocks.items():
        if "colour" in block and "gradients" not in block:
            kept += range(start, start + width)
        start += width
    assert start == encoder.dim == store.dim
    np.testing.assert_array_equal(colour.features(store.ids[0]), store.features(store.ids[0])[:, kept])
    assert colour.provenance["fingerprint"] != store.provenance["fingerprint"]


def test_the_run_says_what_it_is_and_its_head_learned_from_training_segments_alone(small_demo, made, stores):
    run = Run.open(small_demo[1].run)
    head = fit_head(made, stores[0], seed=5)
    assert list(head.names) == list(world.OBJECTS)
    assert LinearHead.load(run.folder / "objects.safetensors").fingerprint == head.fingerprint
    with pytest.raises(InputError, match="holds no video"):
        fit_head(type(made)(made.folder, made.test, []), stores[0], seed=5)  # test clips are not in that store
    assert "stick-figure" in run.config.domain and run.ood_distance() is not None
    assert run.config.feature_encoder["name"] == "motion" and run.config.sentence_encoder["name"] == "minilm"
    assert set(json.loads((run.folder / "prototypes.json").read_text())) == {a.name for a in world.unseen_actions()}


def test_a_second_demo_finds_everything_done(small_demo):
    (home, report), stages = small_demo, []
    before = (report.run / "model.safetensors").stat().st_mtime_ns
    again = run_demo(home, seed=5, recipe=RECIPE, on_progress=lambda stage, *_: stages.append(stage))
    assert [r.to_dict() for r in again.results] == [r.to_dict() for r in report.results]
    assert (report.run / "model.safetensors").stat().st_mtime_ns == before
    assert dict.fromkeys(stages) == dict.fromkeys(report.seconds)
    with pytest.raises(MismatchError, match="other settings"):
        run_demo(home, seed=6, recipe=RECIPE)


COLUMNS = MotionEncoder().columns(*APPEARANCE)
OTHERS = np.setdiff1d(np.arange(MotionEncoder().dim), COLUMNS)


def test_props_are_recognised_by_what_they_look_like_and_not_how_they_move():
    rng = np.random.default_rng(0)
    looks = rng.normal(size=(3, len(COLUMNS)))

    def shown(count, cheating):
        props = rng.integers(3, size=count)
        features = 3 + rng.normal(size=(count, MotionEncoder().dim)).astype(np.float32)
        features[:, COLUMNS] += 0.5 * looks[props]
        features[:, OTHERS[0]] += 10 * props * cheating
        return features, props

    training, (features, props) = shown(900, cheating=True), shown(300, cheating=False)
    head = fit_props(*training, 1)
    logits = head.logits(features)
    assert (logits.argmax(1) == props).mean() > 0.95
    assert not head.weight[:, OTHERS].any()
    (index,), (probability,) = top_objects(logits[:1], 1)
    assert index == props[0] and 0.5 < probability < 1
    assert head.names == list(world.OBJECTS)
    assert fit_props(*training, 1).fingerprint == head.fingerprint != fit_props(*training, 2).fingerprint
