"""The prototype workshop: its figures are the engine's, sentences are kept in sets of one's own, nothing else is."""

import shutil

import numpy as np
from conftest import button, metrics, open_page, texts

from app import state
from app.library import workshop
from app.parts import labels, models, scored
from cezsar.analysis.confusion import confusable
from cezsar.data.descriptions import load_descriptions
from cezsar.report.figures import percent
from cezsar.video import Decoder
from cezsar.zeroshot.classifier import Classifier, example_of
from cezsar.zeroshot.evaluation import confusion_matrix, evaluate
from cezsar.zeroshot.protocols import Protocol
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.workshop import Workshop

CLASS = "kicking a box"
OTHER = ["A cardboard box is pushed away with the foot.", "A foot kicks."]
DEMO = models.SHIPPED / "runs" / "demo"
KNOWN = load_descriptions(DEMO / "prototypes.json")


def shown(**query):
    page = open_page("library", section=state.SECTIONS["workshop"], **query)
    assert not page.exception, page.exception
    return page


def all_classes(page):
    return metrics(page)["All classes"]


def test_a_first_visitor_finds_the_class_that_loses_most_with_its_sentences(empty_workspace):
    page = shown()
    item = scored.scored_sets()["demo@demo"]
    embeddings = item.embeddings()
    names = embeddings.class_names
    counts = confusion_matrix(Scores.from_embeddings(embeddings), item.weights)
    pairs = confusable(embeddings, counts, names, KNOWN, workshop.PAIRS)
    name = pairs[0].second if pairs[0].reverse > pairs[0].taken else pairs[0].first
    row, figures, said = names.index(name), metrics(page), texts(page)
    assert page.selectbox(key=state.REWRITE).value == name
    assert page.text_area[0].value == "\n".join(KNOWN[name])
    assert figures["All classes"] == (percent(np.trace(counts) / 420), "no change")
    assert figures["This class"] == (percent(counts[row, row] / 20), "no change")
    assert (figures["Clips gained"][0], figures["Taken for it"][0]) == ("0", str(counts[:, row].sum()))
    kept = evaluate(item.scores(), Protocol("all", [names]), item.weights).figure("top1").mean
    assert kept == np.trace(counts) / 420 and "on other pages" not in said
    for pair in pairs:
        assert f"{pair.taken} clips of the first are taken for the second, {pair.reverse} the other way round" in said
        assert f"Only *{pair.first}* says {', '.join(pair.first_words)}." in said
    confused = page.dataframe[0].value.set_index("class")["this one's taken for it"]
    assert confused.to_dict() == {other: counts[row, names.index(other)] for other in confused.index}
    assert confused.sum() == counts[row].sum() - counts[row, row]
    button(page, pairs[1].second).click().run()
    assert page.selectbox(key=state.REWRITE).value == pairs[1].second
    assert page.text_area[0].value == "\n".join(KNOWN[pairs[1].second])


def test_figures_of_other_sentences_are_those_of_scoring_again(empty_workspace, scored_again):
    page = shown(rewrite=CLASS)
    page.text_area[0].set_value("\n".join(OTHER) + "\n\n").run()
    assert not page.exception and not page.error
    (_, before, was), (scores, after, now) = scored_again({}), scored_again({CLASS: OTHER})
    before, after = before.top1, after.top1
    names, truth, figures = scores.class_names, scores.label_index, metrics(page)
    index = names.index(CLASS)
    assert figures["All classes"] == (percent(after), f"{100 * (after - before):+.1f} points")
    own = truth == index
    change = 100 * ((now == truth)[own].mean() - (was == truth)[own].mean())
    assert figures["This class"] == (percent((now == truth)[own].mean()), f"{change:+.1f} points")
    gained, lost = (now == truth) & (was != truth), (now != truth) & (was == truth)
    assert (figures["Clips gained"][0], figures["Clips lost"][0]) == (str(gained.sum()), str(lost.sum()))
    taken = int((now == index).sum())
    assert figures["Taken for it"] == (str(taken), f"before: {(was == index).sum()}")
    flows = page.dataframe[0].value
    assert flows["drawn from it"].sum() == ((was != now) & (now == index)).sum()
    assert flows["left to it"].sum() == ((was != now) & (was == index)).sum()
    page.segmented_control(key=state.TURNED).set_value("lost").run()
    assert page.selectbox(key=state.TURNED_CLIP).options == [scores.ids[row] for row in np.flatnonzero(lost)]
    first = np.flatnonzero(lost)[0]
    said = f"A clip of **{names[truth[first]]}**: before taken for :green[**{names[was[first]]}**], now for "
    assert said + f"**{names[now[first]]}**." in texts(page)
    assert page.query_params[state.WORDING] == "\n".join(OTHER) + "\n\n"
    page.segmented_control(key=state.SECTION).set_value("words").run()
    page.segmented_control(key=state.SECTION).set_value("workshop").run()
    assert page.text_area[0].value == "\n".join(OTHER) + "\n\n" and metrics(page) == figures
    button(page, "Back to its sentences").click().run()
    assert all_classes(page) == (percent(before), "no change")
    assert state.WORDING not in page.query_params


def test_examples_are_not_tested_and_their_share_is_a_slider(empty_workspace, demo):
    ids = [clip for clip, label in zip(demo.scores().ids, demo.scores().labels, strict=True) if label == CLASS][:2]
    page, shop = shown(rewrite=CLASS, examples=ids), Workshop(demo.embeddings(), demo.weights)
    assert page.multiselect(key=state.EXAMPLES).value == ids and len(page.multiselect(key=state.EXAMPLES).options) == 20
    for share in (None, 0.3):
        if share is not None:
            page.select_slider(key=state.SHARE).set_value(share).run()
        trial, figures = shop.try_sentences(CLASS, examples=ids, share=share), metrics(page)
        before, after = trial.before.top1, trial.after.top1
        change = f"{100 * (after - before):+.1f} points" if round(100 * (after - before), 1) else "no change"
        assert figures["All classes"] == (percent(after), change)
        assert (figures["Clips gained"][0], figures["Clips lost"][0]) == (str(len(trial.gained)), str(len(trial.lost)))
        assert f"Not zero-shot: 2 examples, λ = {trial.share:.2f}. Before and after are both told on the 418 clips" in (
            texts(page)
        )
        assert not page.exception and "Keep the sentences" not in texts(page)
    page.selectbox(key=state.REWRITE).set_value("kicking a drum").run()  # whose clips they are not
    assert page.multiselect(key=state.EXAMPLES).value == [] and "Not zero-shot" not in texts(page)


def test_a_film_of_ones_own_shows_a_class(empty_workspace, demo, clips):
    page, film = shown(rewrite=state.NEW_CLASS), clips[1][0]
    page.text_input(key=state.NEW_NAME).set_value("shoving").run()
    uploader = next(each for each in page.get("file_uploader") if "shoving" in each.label)
    uploader.upload(film.name, film.read_bytes()).run()
    with Decoder() as decoder:
        classifier = Classifier.of_run(DEMO)
        example = example_of(classifier.read(film, decoder), film.name, "0" * 64)
    trial = Workshop(demo.embeddings(), demo.weights).try_sentences("shoving", new=True, examples=[example])
    assert not page.exception and not page.error, page.error
    assert all_classes(page)[0] == percent(trial.after.top1) and "1 example, λ = 1.00." in texts(page)
    assert metrics(page)["Taken for it"][0] == str((trial.after.predicted_N == 21).sum())
    page.get("file_uploader")[0].upload("broken.mp4", b"no film").run()
    assert not page.exception and page.error and "Try again" in [each.label for each in page.button]


def test_an_address_opens_the_same_trial(empty_workspace, scored_again):
    page = shown(rewrite=CLASS, wording="\n".join(OTHER))
    assert page.text_area[0].value == "\n".join(OTHER)
    assert all_classes(page)[0] == percent(scored_again({CLASS: OTHER})[1].top1)


def test_a_new_class_takes_clips(empty_workspace, scored_again):
    page = shown(rewrite=state.NEW_CLASS)
    assert page.text_area[0].value == "" and "Give the new class a name" in texts(page)
    page.text_input(key=state.NEW_NAME).set_value("shoving").run()
    assert "Give the new class a sentence" in texts(page) and not page.metric
    page.text_area[0].set_value(OTHER[0]).run()
    _, after, now = scored_again({"shoving": OTHER[:1]})
    figures = metrics(page)
    assert (figures["All classes"][0], figures["This class"]) == (percent(after.top1), ("–", "no change"))
    assert figures["Taken for it"][0] == str((now == 21).sum())
    page.text_input(key=state.NEW_NAME).set_value("Kicking A Box").run()
    assert "is there already" in page.error[0].value.replace("\\", "") and not page.exception


def test_sentences_are_kept_and_gone_on_from(empty_workspace, scored_again):
    page = shown(rewrite=CLASS, wording=OTHER[0])
    for name in ("ucf101", "mine"):
        page.text_input(key="keep-in-").set_value(name)
        button(page, "Keep").click().run()
        assert not page.exception
        assert [each.value.replace("\\", "").count("ready-made") for each in page.error] == [1] * (name != "mine")
    first = {CLASS: OTHER[:1]}
    assert load_descriptions(labels.own_folder() / "mine.json") == KNOWN | first
    assert page.selectbox(key=state.WORDED).value == "mine" and page.selectbox(key=state.REWRITE).value == CLASS
    assert page.text_area[0].value == OTHER[0]
    assert all_classes(page) == (percent(scored_again(first)[1].top1), "no change")
    page.selectbox(key=state.REWRITE).set_value(state.NEW_CLASS).run()
    page.text_input(key=state.NEW_NAME).set_value("shoving")
    page.text_area[0].set_value("Somebody shoves a box.").run()
    both = first | {"shoving": ["Somebody shoves a box."]}
    now = percent(scored_again(both)[1].top1)
    assert all_classes(page)[0] == now
    button(page, "Keep").click().run()
    assert load_descriptions(labels.own_folder() / "mine.json") == KNOWN | both
    assert all_classes(page) == (now, "no change") and page.selectbox(key=state.REWRITE).value == "shoving"
    assert load_descriptions(DEMO / "prototypes.json") == KNOWN


def test_a_set_whose_run_has_no_weights_cannot_be_tried(empty_workspace):
    page = shown(on="demo-colour@demo")
    assert "weights of run 'demo-colour'" in page.error[0].value.replace("\\", "") and not page.text_area


def test_sentences_that_are_nowhere_are_replaced(empty_workspace, scored_again):
    """The demo's scores, kept as older versions did: without their sentences."""
    shutil.copytree(DEMO, empty_workspace / "runs" / "demo")
    kept = shutil.copytree(models.SHIPPED / "scores" / "demo@demo", empty_workspace / "scores" / "demo@demo")
    (kept / "descriptions.json").unlink()
    page = shown(rewrite=CLASS)
    assert page.text_area[0].value == "" and "not kept with these scores" in texts(page)
    page.text_area[0].set_value(OTHER[0]).run()
    assert all_classes(page)[0] == percent(scored_again({CLASS: OTHER[:1]})[1].top1)
