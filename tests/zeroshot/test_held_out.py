"""Choosing K, T, λ and a blend's weight on held-out seen classes; and the overlap of class names."""

from dataclasses import replace

import numpy as np
import pytest
from test_transfer import embeddings, random_transfer

from cezsar.errors import InputError
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.held_out import Grid, choose, choose_blend, overlaps, split_classes, top1
from cezsar.zeroshot.transfer import Setting, Transfer, by_text

SMALL = Grid(k=(1, 3, 50), temperature=(0.05, 0.5), lam=(0.0, 0.5, 1.0))


def seen_side(seed=0, classes=12, clips=72, dim=6):
    rng = np.random.default_rng(seed)
    names = [f"action {c:02}" for c in range(classes)]
    truth = np.arange(clips) % classes
    texts = rng.normal(size=(classes, dim))
    looks = texts + 0.5 * rng.normal(size=(classes, dim))
    return embeddings(looks[truth] + 0.8 * rng.normal(size=(clips, dim)), [names[c] for c in truth], names, texts, "s")


def side(seen, classes):
    rows = [row for row, label in enumerate(seen.labels) if label in {seen.class_names[c] for c in classes}]
    names, labels = [seen.class_names[c] for c in classes], [seen.labels[row] for row in rows]
    return embeddings(seen.modalities["VE"][rows], labels, names, seen.prototypes[classes], "s")


def halves(seen, rng, trials=5, related=None):
    """Half of the classes keep their labels, the other half plays the unseen ones."""
    return [
        Transfer(side(seen, kept), side(seen, held), None if related is None else related[np.ix_(held, kept)])
        for kept, held in split_classes(len(seen.class_names), rng, trials)
    ]


def test_halves_are_disjoint_and_cover_all_classes():
    made = split_classes(12, np.random.default_rng(1), 4)
    assert len({tuple(held) for _, held in made}) == 4
    for kept, held in made:
        assert len(kept) == len(held) == 6 and sorted([*kept, *held]) == list(range(12))
        assert list(kept) == sorted(kept) and list(held) == sorted(held)


def test_choose_finds_what_evaluating_every_setting_finds():
    trials = halves(seen_side(), np.random.default_rng(2), trials=3)
    choice = choose(trials, SMALL)
    assert [tried.setting for tried in choice.table] == SMALL.settings()
    assert len(choice.table) == 18
    expected = [[top1(trial.scores(setting)) for trial in trials] for setting in SMALL.settings()]
    np.testing.assert_allclose([tried.top1 for tried in choice.table], expected)
    means = [sum(row) / 3 for row in expected]
    assert choice.best.mean == pytest.approx(max(means))
    assert choice.best.setting == SMALL.settings()[int(np.argmax(np.round(means, 12)))]


def test_undecided_clips_are_misses():
    seen = seen_side()
    blank = Embeddings(
        seen.ids,
        seen.labels,
        seen.class_names,
        {"VE": 0 * seen.modalities["VE"]},
        seen.prototypes,
        seen.prototype_class,
    )
    assert choose(halves(blank, np.random.default_rng(0), 1), SMALL).best.mean == 0


def test_the_same_generator_makes_the_same_choice():
    first, second = (choose(halves(seen_side(), np.random.default_rng(9)), SMALL) for _ in range(2))
    assert first == second
    assert first.table != choose(halves(seen_side(), np.random.default_rng(10)), SMALL).table


def test_lambda_follows_what_helps():
    seen = seen_side(3)
    nonsense = np.random.default_rng(0).normal(size=seen.prototypes.shape).astype(np.float32)
    # Texts that say nothing of looks, but relate classes as their looks do: prototypes have to do it all.
    centres = np.stack(
        [seen.modalities["VE"][[label == name for label in seen.labels]].mean(0) for name in seen.class_names]
    )
    unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    lost = Embeddings(seen.ids, seen.labels, seen.class_names, seen.modalities, nonsense, seen.prototype_class)
    grid = Grid(k=(1, 3), temperature=(0.1,), lam=(0.0, 1.0))
    assert choose(halves(lost, np.random.default_rng(0), 5, unit @ unit.T), grid).best.setting.lam == 1.0
    # Texts that are the looks, and relatedness that is nonsense: text alone.
    shown = Embeddings(seen.ids, seen.labels, seen.class_names, seen.modalities, centres, seen.prototype_class)
    random = np.random.default_rng(1).normal(size=(12, 12))
    assert choose(halves(shown, np.random.default_rng(0), 5, random), grid).best.setting.lam == 0.0


def test_choosing_does_not_touch_unseen_clips():
    """Poisoned unseen clips change neither the choice nor anything it is made of."""
    seen = seen_side()
    clean = random_transfer(0, dim=6).unseen
    poisoned = Embeddings(
        clean.ids, clean.labels, clean.class_names, dict(clean.modalities), clean.prototypes, clean.prototype_class
    )
    choices = []
    for unseen in (clean, poisoned):
        transfer = Transfer(seen, unseen)
        if unseen is poisoned:
            unseen.modalities["VE"][:] = np.nan
        choices.append(choose(halves(transfer.seen, np.random.default_rng(4)), SMALL))
    assert np.isnan(poisoned.modalities["VE"]).all()
    assert choices[0] == choices[1]
    assert all(np.isfinite(tried.mean) for tried in choices[1].table)


def test_held_out_clips_do_not_shape_the_prototypes_they_are_named_by():
    seen = seen_side()
    kept, _ = split_classes(12, np.random.default_rng(4), 1)[0]
    names = {seen.class_names[c] for c in kept}
    moved = seen.modalities["VE"].copy()
    moved[[label not in names for label in seen.labels]] *= -7
    other = Embeddings(seen.ids, seen.labels, seen.class_names, {"VE": moved}, seen.prototypes, seen.prototype_class)
    first, second = (halves(side, np.random.default_rng(4), 1)[0] for side in (seen, other))
    np.testing.assert_array_equal(first.prototypes(3, 0.1), second.prototypes(3, 0.1))


def test_the_weight_of_a_blend():
    trial = halves(seen_side(), np.random.default_rng(2), 2)
    pairs = [(by_text(t.unseen), t.scores(Setting(3, 0.1, 1.0))) for t in trial]
    choice = choose_blend(pairs, (0.0, 0.5, 1.0))
    assert [tried.setting for tried in choice.table] == [0.0, 0.5, 1.0]
    assert choice.table[0].top1 == [top1(b) for _, b in pairs] and choice.table[2].top1 == [top1(a) for a, _ in pairs]
    # In one space the blend is λ = 1 - weight.
    assert choice.table[1].top1 == [top1(t.scores(Setting(3, 0.1, 0.5))) for t in trial]
    assert choice.best.mean == max(tried.mean for tried in choice.table)


def test_overlapping_names_are_dropped_and_named():
    def at(degrees):
        return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], np.float32)

    # Cosine distance 0.05 is 18.19 degrees.
    seen = {"same": at(0), "near": at(18), "far": at(19), "other": at(120), "long": 40 * at(-10)}
    found = overlaps(seen, {"unseen": at(0), "elsewhere": at(60)})
    assert [(o.seen, o.unseen) for o in found] == [("same", "unseen"), ("near", "unseen"), ("long", "unseen")]
    assert found[0].distance == pytest.approx(0, abs=1e-6)
    assert found[1].distance == pytest.approx(1 - np.cos(np.radians(18)), abs=1e-6)
    assert overlaps(seen, {}) == [] and overlaps({}, seen) == []
    assert [o.seen for o in overlaps(seen, {"unseen": at(0)}, within=0.0)] == ["same"]


def test_what_cannot_be_chosen_from_is_refused():
    with pytest.raises(InputError, match="label clips of four"):
        split_classes(3, np.random.default_rng(0), 1)
    (trial,) = halves(seen_side(), np.random.default_rng(0), 1)
    bare = replace(trial.unseen, labels=[""] * len(trial.unseen.ids))
    with pytest.raises(InputError, match="no clip of its held-out classes"):
        choose([Transfer(trial.seen, bare)])
