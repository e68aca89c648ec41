"""The demo's own parts: its controls, its disjointness, and that a stopped demo goes on."""

import json

import numpy as np
import pytest

from cezsar import world
from cezsar.data.annotations import load_annotations
from cezsar.data.features import FeatureStore
from cezsar.demo.run import Recipe, colour_store, fit_head, place_scores, run_demo
from cezsar.encoders.motion import MotionEncoder
from cezsar.encoders.objects import LinearHead
from cezsar.errors import InputError, MismatchError
from cezsar.training.runs import Run
from cezsar.zeroshot.scores import Scores


def built(home):
    settings = json.loads((home / "demo/settings.json").read_text())
    return world.build(
        home / "demo", settings["seed"], videos=settings["videos"], clips_per_class=settings["clips_per_class"]
    )


def test_seen_and_unseen_share_no_name_no_clip_and_no_pair(small_demo):
    home, _ = small_demo
    made = built(home)
    shown = [segment for plan in made.train for segment in plan.segments]
    tested = [segment for plan in made.test for segment in plan.segments]
    assert not {segment.action for segment in shown} & {segment.action for segment in tested}
    assert not {(s.motion, s.prop) for s in shown} & {(s.motion, s.prop) for s in tested}
    assert {plan.label for plan in made.test} == {action.name for action in world.unseen_actions()}
    train_store, test_store = (FeatureStore(home / f"features/demo-{part}") for part in ("train", "test"))
    assert not set(train_store.ids) & set(test_store.ids)
    features = {train_store.features(video_id).tobytes() for video_id in train_store.ids}
    assert not features & {test_store.features(video_id).tobytes() for video_id in test_store.ids}
    # The model saw the sentences of training videos and nothing else: no class description among them.
    sentences = {segment.sentence for segment in load_annotations(home / "demo/train.json").segments}
    assert not sentences & set(world.DESCRIPTIONS.values())


def test_default_worlds_share_nothing_either():
    train = [segment for plan in world.plan_training(3) for segment in plan.segments]
    unseen = {action.name for action in world.unseen_actions()}
    pairs = {(action.motion, action.prop) for action in world.unseen_actions()}
    assert len(world.seen_actions()) + len(unseen) >= 40 and len(unseen) >= 15
    assert not unseen & {segment.action for segment in train}
    assert not pairs & {(segment.motion, segment.prop) for segment in train}


def test_place_oracle_is_the_share_of_each_class_at_the_place(small_demo):
    home, _ = small_demo
    made = built(home)
    names = sorted({plan.label for plan in made.test})
    like = Scores([p.id for p in made.test], [p.label for p in made.test], names, {"VE": np.eye(21, dtype=np.float32)})
    matrix = place_scores(made, like).matrices["VE"]
    for row, plan in enumerate(made.test):
        for column, name in enumerate(names):
            same = [p for p in made.test if p.label == name and p.segments[0].place == plan.segments[0].place]
            assert matrix[row, column] == len(same)


def test_colour_store_holds_colour_alone(small_demo):
    home, _ = small_demo
    encoder, store = MotionEncoder(), FeatureStore(home / "features/demo-test")
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


def test_the_object_head_learns_from_training_segments_alone(small_demo):
    home, _ = small_demo
    made = built(home)
    store = FeatureStore(home / "features/demo-train")
    head = fit_head(made, store, seed=5)
    assert list(head.names) == list(world.OBJECTS)
    assert LinearHead.load(home / "runs/demo/objects.safetensors").fingerprint == head.fingerprint
    with pytest.raises(InputError, match="holds no video"):
        fit_head(type(made)(made.folder, made.test, []), store, seed=5)  # test clips are not in that store


def test_a_second_demo_finds_everything_done(small_demo):
    home, report = small_demo
    stages = []
    recipe = Recipe(videos=10, clips_per_class=1, training={"lr": 1e-3, "epochs": 2, "batch": 32, "standardise": True})
    before = (report.run / "model.safetensors").stat().st_mtime_ns
    again = run_demo(home, seed=5, recipe=recipe, on_progress=lambda stage, *_: stages.append(stage))
    assert [r.to_dict() for r in again.results] == [r.to_dict() for r in report.results]
    assert (report.run / "model.safetensors").stat().st_mtime_ns == before
    assert dict.fromkeys(stages) == dict.fromkeys(report.seconds)
    with pytest.raises(MismatchError, match="other settings"):
        run_demo(home, seed=6, recipe=recipe)


def test_the_run_says_what_it_is(small_demo):
    run = Run.open(small_demo[1].run)
    assert "stick-figure" in run.config.domain
    assert run.config.feature_encoder["name"] == "motion" and run.config.sentence_encoder["name"] == "minilm"
    assert run.ood_distance() is not None
    assert set(json.loads((run.folder / "prototypes.json").read_text())) == {a.name for a in world.unseen_actions()}
