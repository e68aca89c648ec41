"""Better words for a label, on the page Classify and in the workshop: what they tell is what the library tells."""

import json
import shutil

import pytest
from conftest import ACTIONS, button, fine, metrics, open_page, press, texts

from app import state
from app.parts import models
from app.parts.wording import LOOK_ALIKES, PATTERNS, signed
from cezsar.analysis.wording import Wording, patterns
from cezsar.data.descriptions import load_descriptions, parse_classes
from cezsar.data.sentence_cache import SentenceCache, open_encoder
from cezsar.encoders import load_sentence_encoder
from cezsar.training.runs import Run
from cezsar.world import DESCRIPTIONS
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.spaces import JointSpace

DEMO = models.SHIPPED / "runs" / "demo"
KNOWN = load_descriptions(DEMO / "prototypes.json")
CLASS, OTHER = "kicking a box", "A cardboard box is pushed away with the foot."


@pytest.fixture(scope="module")
def wording(tmp_path_factory):
    once = SentenceCache(load_sentence_encoder(), tmp_path_factory.mktemp("sentences"))
    return Wording(JointSpace(Run.open(DEMO).load_model(), once), KNOWN)


def opened(**query):
    page = fine(press(fine(open_page(**{"from": "Samples", "sample": "kicking a box 000"} | query)), "Better words"))
    return page


def sentences(page):
    return next(area for area in page.text_area if area.label.startswith("Its sentences"))


def tables(page):
    """Neighbours, and clips if there are any: those of the dialog."""
    found = [table.value for table in page.dataframe]
    neighbours = next(table for table in found if list(table.columns) == ["label", "before", "now"])
    return neighbours.to_dict("records"), [t.to_dict("records") for t in found if "best now" in t.columns]


def assert_hints(page, wording, name, now=()):
    """The nearest patterns, and what every word of the nearest labels does that is named."""
    said = texts(page)
    for found in patterns([name, *KNOWN.get(name, ())], open_encoder(), PATTERNS):
        assert found.sentences[0] in said and f"{found.name} · " in said
    for other, similarity in wording.neighbours(name, now)[:LOOK_ALIKES]:
        found = wording.contrast(name, other, now)
        assert (
            f"{other} :gray[· similarity {similarity:.2f}]" in said or f"{other} · similarity {similarity:.2f}" in said
        )
        for effects in (found.words, found.other_words):
            if effects and effects[0].change > 0.01:
                assert f":green-badge[{effects[0].word} {signed(effects[0].change)}]" in said
            if effects and effects[-1].change < -0.01:
                assert f":orange-badge[{effects[-1].word} {signed(effects[-1].change)}]" in said


def test_a_change_shows_at_once_what_it_does_and_is_put_into_the_label_box(empty_workspace, wording):
    page = opened()
    assert sentences(page).value == KNOWN[CLASS][0] and button(page, "Put into the label box").disabled
    assert_hints(page, wording, CLASS)
    sentences(page).set_value(OTHER).run()
    near, ((clip,),) = tables(fine(page))
    before, now = dict(wording.neighbours(CLASS)), wording.neighbours(CLASS, [OTHER])
    assert [each["label"] for each in near] == [name for name, _ in now[: len(near)]]
    assert [each["now"] for each in near] == pytest.approx([each for _, each in now[: len(near)]], abs=1e-5)
    assert [each["before"] for each in near] == pytest.approx([before[each["label"]] for each in near], abs=1e-5)
    assert metrics(page)["Nearest label"] == (f"{now[0].similarity:.2f}", now[0].name)
    assert_hints(page, wording, CLASS, [OTHER])
    press(page, "Back to its sentences")
    assert sentences(page).value == KNOWN[CLASS][0]
    sentences(page).set_value(OTHER).run()
    press(page, "Put into the label box")
    assert parse_classes(page.text_area(key=state.LABELS).value)[1] == KNOWN | {CLASS: [OTHER]}
    assert not any(area.label.startswith("Its sentences") for area in page.text_area)  # the dialog has closed
    shown = {row["label"]: row["similarity"] for row in page.dataframe[-1].value.to_dict("records")}
    assert shown[CLASS] == pytest.approx(clip["similarity now"], abs=1e-5) != clip["similarity before"]


def test_clips_on_the_page_are_gained_and_lost(workspace, clips):
    given = {"a": [DESCRIPTIONS[ACTIONS[1].name]], "b": ["a train arrives"], "c": ["a dog barks"]}
    with Classifier.of_run(workspace / "runs" / "demo") as classifier:
        read = [classifier.read(path) for path in clips[1][:2]]
        best = [classifier.rank(clip, given).labels[0][0] for clip in read]
        rival = next(name for name in given if name != best[0])

        def first(name, wins):
            """A sentence by which the first clip is the label's, or is not."""
            rankings = ((text, classifier.rank(read[0], given | {name: [text]})) for text in DESCRIPTIONS.values())
            return next([text] for text, ranking in rankings if (ranking.labels[0][0] == name) == wins)

        changed = {rival: first(rival, True), best[0]: first(best[0], False)}
        page = open_page(labels=json.dumps(given), model="demo")
        for number, path in enumerate(clips[1][:2]):
            page.file_uploader[0].upload(f"{number}.webm", path.read_bytes())
        press(page.run(), "Better words")
        for name in (best[0], rival):  # one that has a clip, one that has not
            page.selectbox(key=state.BETTER_LABEL).set_value(name).run()
            assert sentences(page).value == given[name][0]
            sentences(page).set_value(changed[name][0]).run()
            now = [classifier.rank(clip, given | {name: changed[name]}) for clip in read]
            after = [each.labels[0][0] for each in now]
            won = sum(new == name != old for new, old in zip(after, best, strict=True))
            lost = sum(old == name != new for new, old in zip(after, best, strict=True))
            assert won if name == rival else lost
            figures, (_, (rows,)) = metrics(fine(page)), tables(page)
            assert (figures["Clips gained"], figures["Clips lost"]) == ((str(won), "of 2"), (str(lost), "of 2"))
            for row in rows:
                index = int(row["clip"][0])
                assert (row["best before"], row["best now"]) == (best[index], after[index])
                assert row["similarity now"] == pytest.approx(dict(now[index].labels)[name], abs=1e-4)


def test_without_a_clip_and_for_a_model_that_reads_bare_names(empty_workspace, clip_folder):
    shutil.copytree(clip_folder, empty_workspace / "models" / "clip-ViT-B-32")
    page = press(open_page(labels="pouring tea, juggling, sleeping", model="clip-ViT-B-32"), "Better words")
    assert sentences(fine(page)).value == "pouring tea" and "Clips gained" not in metrics(page)
    button(page, "Take").click().run()
    (found,) = patterns(["pouring tea"], open_encoder(), 1)
    assert sentences(page).value == "\n".join(found.sentences)
    press(page, "Put into the label box")
    others = {name: [name] for name in ("juggling", "sleeping")}
    assert parse_classes(page.text_area(key=state.LABELS).value)[1] == {"pouring tea": found.sentences} | others


def test_the_workshop_has_the_same_patterns_and_words(empty_workspace, wording):
    page = fine(open_page("library", section=state.SECTIONS["workshop"], rewrite=CLASS, hints="true"))
    assert_hints(page, wording, CLASS)
    page.text_area[0].set_value(OTHER).run()
    assert_hints(fine(page), wording, CLASS, [OTHER])
    button(page, "Take").click().run()
    (found,) = patterns([CLASS, *KNOWN[CLASS]], open_encoder(), 1)
    assert page.text_area[0].value == found.sentences[0]
    page.selectbox(key=state.REWRITE).set_value(state.NEW_CLASS).run()
    page.text_input(key=state.NEW_NAME).set_value("juggling balls").run()
    assert "juggling balls · " in texts(fine(page)) and "words of" not in texts(page)  # as long as it says nothing
    button(page, "Take").click().run()
    assert_hints(fine(page), wording, "juggling balls", [page.text_area[0].value])
