"""Semantic transfer on a small stick-figure world: its labelled clips, and that choosing sees no unseen one."""

import json
import math

import numpy as np
import pytest

from cezsar import world
from cezsar.data.annotations import load_annotations
from cezsar.data.features import FeatureStore
from cezsar.demo import transfer
from cezsar.demo.run import Recipe
from cezsar.errors import FormatError, InputError
from cezsar.training.cross_modal import CrossModal
from cezsar.zeroshot.fusion import Weights
from cezsar.zeroshot.held_out import Grid
from cezsar.zeroshot.results import load_all
from cezsar.zeroshot.scored import Scored

TINY = {"d_model": 16, "d_emb": 8, "ffn": 16, "heads": 2, "epochs": 1, "matching": 0.0}
RECIPE = Recipe(training={"lr": 1e-3, "epochs": 1, "batch": 32, "standardise": True}, model={"d_model": 16, "ffn": 16})
GRID = Grid(k=(1, 4), temperature=(0.1,), lam=(0.0, 0.5, 1.0))


def run(home, folder, **changes):
    settings = {"trials": 1, "recipe": RECIPE, "head": TINY, "grid": GRID, "device": "cpu"} | changes
    return transfer.run_transfer(home, folder=folder, **settings)


@pytest.fixture(scope="module")
def report(small_demo, tmp_path_factory):
    return run(small_demo[0], tmp_path_factory.mktemp("transfer"))


def test_labelled_clips_are_the_captioned_segments_and_what_was_drawn_in_them(small_demo):
    home, _ = small_demo
    train, test = transfer.plans_of(home)
    store = FeatureStore(home / "features/demo-train")
    seen = transfer.seen_clips(train, store)
    captioned = load_annotations(home / "demo/train.json").segments
    assert len(seen.ids) == len(captioned) == len(set(seen.ids)) == 70
    drawn = json.loads((home / "demo/props.json").read_text())
    for row, segment in enumerate(captioned):
        video, number = seen.ids[row].split("/")
        start, end, _, _, action = drawn[video][int(number)]
        assert (video, start, end) == (segment.video_id, segment.start_s, segment.end_s)
        assert seen.labels[row] == action
        # Whole seconds within the segment: nothing of its neighbours.
        first, last = math.ceil(start), math.floor(end)
        np.testing.assert_array_equal(seen.features[row], store.features(video)[first:last])
        assert len(seen.features[row]) >= 2
    assert {world.BY_NAME[name].seen for name in seen.names} == {True}
    unseen = transfer.unseen_clips(test, FeatureStore(home / "features/demo-test"))
    assert not {world.BY_NAME[name].seen for name in unseen.names} - {False}
    assert not set(seen.names) & set(unseen.names) and not set(seen.ids) & set(unseen.ids)


def test_clips_of_some_classes(small_demo):
    train, _ = transfer.plans_of(small_demo[0])
    seen = transfer.seen_clips(train, FeatureStore(small_demo[0] / "features/demo-train"))
    some = seen.of(seen.names[3:6])
    assert some.names == seen.names[3:6] and set(some.labels) == set(some.names)
    assert len(some.ids) == len(some.features) == sum(label in some.names for label in seen.labels)


def test_the_table(report, small_demo):
    methods = [
        "CEZSAR", "cross-modal head", "transfer, mean features", "transfer, VE", "transfer, cross-modal head", "blend",
    ]  # fmt: skip
    assert [(result.protocol, result.method) for result in report.results] == [
        (protocol, method) for protocol in ("all", "10-of-21 x 50") for method in methods
    ]
    assert all(len(result.runs) == (1 if result.protocol == "all" else 50) for result in report.results)
    # CEZSAR's row is the demo's own VE.
    from cezsar.zeroshot.evaluation import evaluate
    from cezsar.zeroshot.protocols import all_classes

    scores = Scored.open(small_demo[0] / "scores/demo@demo").scores()
    own = evaluate(scores, all_classes(scores.class_names), Weights.only("VE"))
    assert report.results[0].runs[0].top1 == pytest.approx(own.runs[0].top1, abs=1e-9)
    splits = {tuple(tuple(r.classes) for r in result.runs) for result in report.results if len(result.runs) > 1}
    assert len(splits) == 1


def test_what_is_written(report):
    assert [r.to_dict() for r in load_all(report.folder / "results.json")] == [r.to_dict() for r in report.results]
    chosen = json.loads((report.folder / "chosen.json").read_text())
    assert set(chosen["best"]) == {"mean features", "VE", "cross-modal head"}
    assert chosen["best"]["mean features"]["lam"] == 1.0
    assert len(chosen["settings"]["VE"]) == len(GRID.settings())
    assert chosen["dropped"] == [overlap._asdict() for overlap in report.dropped]
    assert 0 <= chosen["blend"] <= 1
    assert CrossModal.load(report.folder).model.config.d_emb == 8


def test_choosing_never_sees_an_unseen_clip(report, small_demo, tmp_path, monkeypatch):
    """With unseen clips of NaN all is chosen as before; only then do they stop the scoring."""
    whole = transfer.unseen_clips

    def poisoned(plans, store):
        clips = whole(plans, store)
        return type(clips)(
            clips.ids, clips.labels, [np.full_like(rows, np.nan) for rows in clips.features], clips.sentences
        )

    chosen = []
    choose_all = transfer.choose_all
    monkeypatch.setattr(transfer, "unseen_clips", poisoned)
    monkeypatch.setattr(transfer, "choose_all", lambda *given: chosen.append(choose_all(*given)) or chosen[-1])
    with pytest.raises(InputError, match="not finite"):
        run(small_demo[0], tmp_path)
    assert chosen == [report.chosen]
    first, second = (CrossModal.load(folder).model.state_dict() for folder in (report.folder, tmp_path))
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_trials_are_trained_without_the_actions_they_hold_out(small_demo):
    home, _ = small_demo
    train, _ = transfer.plans_of(home)
    store = FeatureStore(home / "features/demo-train")
    actions = sorted({segment.action for plan in train for segment in plan.segments})[:30]
    from cezsar.data.sentence_cache import open_encoder

    triplets = transfer.mined(train, actions, store, open_encoder("minilm", home=home), RECIPE)
    allowed = {segment.sentence for plan in train for segment in plan.segments if segment.action in actions}
    assert set(triplets.sentences) == allowed


def test_a_workspace_without_a_demo_is_refused(tmp_path):
    with pytest.raises(FormatError, match="holds no run"):
        run(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="cezsar demo"):
        transfer.plans_of(tmp_path)
