"""The cross-modal method from training to a ranking, and `cezsar transfer`, on the small demo."""

import json

import numpy as np
import pytest

from cezsar.arrays import unit_rows
from cezsar.cli import main
from cezsar.data.datasets import Dataset, open_dataset
from cezsar.data.features import FeatureStore
from cezsar.data.sentence_cache import open_encoder
from cezsar.errors import FormatError, InputError
from cezsar.model import clip_embeddings
from cezsar.training.cross_modal import Clips, clips_of, label_embeddings, label_tokens
from cezsar.training.importing import pack, unpack
from cezsar.training.runs import Run
from cezsar.training.semantic_transfer import Seen, Transfer, relatedness, transfer_weights
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.evaluation import load_all
from cezsar.zeroshot.fusion import cosine
from cezsar.zeroshot.methods import Sources, possible, prepare
from cezsar.zeroshot.scored import Scored
from cezsar.zeroshot.transfer import transferred

TINY = {"d_model": 16, "d_emb": 8, "ffn": 16, "heads": 2}
GRID = [Transfer(k, 0.1, lam) for lam in (0.0, 0.5, 1.0) for k in (1, 4)]


def ran(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


# A run like any other ------------------------------------------------------------------------------------------------


def test_labelled_clips_are_the_segments_of_training_videos(workspace):
    data, store = open_dataset("demo:train"), FeatureStore(workspace / "features" / "demo-train")
    clips, drawn = clips_of(data, store, data.descriptions), json.loads((workspace / "demo" / "props.json").read_text())
    assert len(clips.ids) == 70 and clips.names == sorted(set(clips.labels))
    for row, clip in enumerate(clips.ids):
        video, number = clip.split("/")
        start, end, _, _, action = drawn[video][int(number)]
        assert clips.labels[row] == action
        # Whole seconds within the segment: nothing of its neighbours.
        np.testing.assert_array_equal(clips.features[row], store.features(video)[int(np.ceil(start)) : int(end)])
    some = clips.of(range(3, 6))
    assert some.names == clips.names[3:6] and set(some.labels) == set(some.names)
    assert not set(clips.names) & set(open_dataset("demo").descriptions)
    with pytest.raises(InputError, match="none of the 1 clips of x is in"):
        clips_of(Dataset("x", {"nothing": "a"}, {"a": ["a"]}), store, {"a": ["a"]})


def test_the_scores_of_a_run_are_the_equations(cross_run, workspace):
    data, store = open_dataset("demo"), FeatureStore(workspace / "features" / "demo-test")
    sources = Sources(data, data.descriptions, [store])
    assert possible(sources, [cross_run]) == ["cross-modal", "objects"]
    ready = prepare(None, sources, cross_run)
    assert ready.title == "Cross-modal, after Lin et al. (cross)" and ready.modality == "VE"
    model, encoder = cross_run.load_model(), open_encoder("minilm")
    seen = Seen.load(cross_run.folder / "seen.safetensors")
    names = ready.scores.class_names
    texts = [data.descriptions[name][0] for name in names]
    visual = unit_rows(clip_embeddings(model, [store.features(clip) for clip in ready.scores.ids]))
    by_text = visual @ unit_rows(label_embeddings(model, label_tokens(encoder, names, texts))).T
    weights = transfer_weights(relatedness(encoder.encode(texts), seen.vectors_SD), seen.how.k, seen.how.temperature)
    by_prototype = visual @ unit_rows(weights @ seen.prototypes_SE).T
    expected = seen.how.lam * by_prototype + (1 - seen.how.lam) * by_text
    np.testing.assert_allclose(cosine(ready.scores, ready.weights), expected, atol=1e-5)
    with pytest.raises(InputError, match="was trained for method cross-modal, not cezsar"):
        prepare("cezsar", sources, cross_run)
    with pytest.raises(InputError, match="cross-modal needs"):
        prepare("cross-modal", sources)


def test_it_is_evaluated_kept_compared_and_classifies(cross_run, workspace, tmp_path, capsys):
    store = workspace / "features" / "demo-test"
    given = ["--dataset", "demo", "--store", store, "--run", cross_run.folder]
    assert ran("evaluate", *given, "--keep", "--out", tmp_path / "e.json") == 0
    (result,) = load_all(tmp_path / "e.json")
    kept = Scored.open(workspace / "scores" / "cross@demo")
    assert kept.prepared().title == result.method == "Cross-modal, after Lin et al. (cross)"
    again = prepare(None, Sources(open_dataset("demo"), kept.descriptions(), [FeatureStore(store)]), kept.run())
    np.testing.assert_array_equal(again.scores.columns["VE"], kept.scores().columns["VE"])
    names, described = kept.scores().class_names[:2], kept.descriptions()
    labels = kept.space().labels(names, [described[name][0] for name in names])
    np.testing.assert_allclose(labels, kept.embeddings().prototypes[:2], atol=1e-6)
    both = [*given, "--run", workspace / "runs" / "demo", "--protocol", "half", "--runs", 3]
    assert ran("compare", *both, "--out", tmp_path / "c.json") == 0
    assert [r.method for r in load_all(tmp_path / "c.json")][:3] == ["CEZSAR (demo)", "CEZSAR (demo)", result.method]
    name, clip = next(iter(open_dataset("demo").paths.items()))
    capsys.readouterr()
    assert ran("classify", clip, "--run", cross_run.folder, "--top", 3, "--json") == 0
    (answer,) = json.loads(capsys.readouterr().out)
    with Classifier.of_run(cross_run.folder) as classifier:
        ranking = classifier.rank(classifier.embed(str(clip), FeatureStore(store).features(name)), top=3)
    assert ranking.per_second is not None and answer["clip"] == str(clip)
    row = cosine(kept.scores(), kept.weights)[kept.scores().ids.index(name)]
    assert ranking.labels[0][1] == pytest.approx(float(row.max()), abs=1e-4)


def test_a_class_that_was_seen_is_told(cross_run, workspace):
    data, store = open_dataset("demo"), FeatureStore(workspace / "features" / "demo-test")
    seen = Seen.load(cross_run.folder / "seen.safetensors").names[0]
    renamed = {clip: seen if label == data.labels[store.ids[0]] else label for clip, label in data.labels.items()}
    described = data.descriptions | {seen: ["anything"]}
    ready = prepare(None, Sources(Dataset("x", renamed, described), described, [store]), cross_run)
    assert any("1 of 21 classes were shown in training" in note and seen in note for note in ready.embedded.notes)


def test_its_folder_is_that_of_a_run(cross_run, workspace, tmp_path, capsys):
    record = cross_run.record()
    assert [line["epoch"] for line in cross_run.history()] == list(range(1, record["epochs"] + 1))
    assert set(record["transfer"]) == {"k", "temperature", "lam", "top1", "trials"}
    again = ["--store", workspace / "features" / "demo-train", "--out", cross_run.folder, "--resume", "--epochs", 9]
    assert ran("train", "demo:train", "--method", "cross-modal", *again) == 2
    assert "other settings" in capsys.readouterr().err
    moved = unpack(pack(cross_run.folder, tmp_path / "run.zip"), tmp_path / "runs")
    assert moved.method == "cross-modal" and moved.load_model().config == cross_run.config.model
    (moved.folder / "seen.safetensors").unlink()
    with pytest.raises(FormatError, match="train the run again"):
        Classifier.of_run(moved.folder)


# cezsar transfer -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sides(workspace, tmp_path):
    """Index files of 12 seen and 9 unseen classes of the demo's test clips, with their descriptions beside them."""
    data = open_dataset("demo")
    names = sorted(set(data.labels.values()))
    files = []
    for side, part in (("seen", names[:12]), ("unseen", names[12:])):
        (tmp_path / side).mkdir()
        files.append(tmp_path / side / "index.json")
        index = {name: [clip for clip, label in data.labels.items() if label == name] for name in part}
        files[-1].write_text(json.dumps(index))
        (tmp_path / side / "descriptions.json").write_text(json.dumps({name: data.descriptions[name] for name in part}))
    return files


def test_the_command_compares_transfer_with_cezsar(workspace, sides, tmp_path, capsys):
    store, out = workspace / "features" / "demo-test", tmp_path / "transfer.json"
    given = ["--seen-dataset", sides[0], "--seen-store", store, "--dataset", sides[1], "--store", store]
    code = ran("transfer", workspace / "runs" / "demo", *given, "--protocol", "half", "--runs", 4, "--out", out)
    printed = capsys.readouterr()
    assert code == 0, printed.err
    results = load_all(out)
    assert [result.method for result in results] == ["CEZSAR (demo)", "transfer, mean features", "transfer, VE"]
    assert all(len(result.runs) == 4 and len(result.runs[0].classes) == 4 for result in results)
    assert "on held-out seen classes" in printed.out and "95 %" in printed.out
    chosen = json.loads((tmp_path / "transfer-chosen.json").read_text())
    assert set(chosen["best"]["VE"]) == {"k", "temperature", "lam"} and chosen["blend"] is None
    assert chosen["best"]["mean features"]["lam"] == 1.0


def clips(workspace, source):
    data, store = open_dataset(source), FeatureStore(workspace / "features" / "demo-test")
    return clips_of(data, store, data.descriptions)


def test_models_join_on_demand_and_cezsar_is_the_run(workspace, sides):
    run, sentences = Run.open(workspace / "runs" / "demo"), open_encoder("minilm")
    seen, unseen = (clips(workspace, side) for side in sides)
    options = {"trials": 1, "grid": GRID, "model": TINY, "training": {"epochs": 1}, "device": "cpu"}
    found = transferred(run, sentences, seen, unseen, with_head=True, **options)
    assert list(found.scores) == [
        "CEZSAR", "cross-modal head", "transfer, mean features", "transfer, VE", "transfer, cross-modal head", "blend",
    ]  # fmt: skip
    embeddings = found.unseen
    by_text = embeddings.modalities["VE"] @ embeddings.prototypes.T
    np.testing.assert_allclose(found.scores["CEZSAR"].columns["VE"], by_text, atol=1e-6)
    assert embeddings.ids == unseen.ids and all(len(scores.ids) == 9 for scores in found.scores.values())
    # Choosing reads no unseen clip: with others all is chosen as before.
    swapped = type(unseen.features)(unseen.features.store, unseen.features.places[::-1])
    blank = Clips(unseen.ids, unseen.labels, swapped, unseen.sentences)
    other = transferred(run, sentences, seen, blank, with_head=True, **options)
    assert other.to_dict() == found.to_dict()
