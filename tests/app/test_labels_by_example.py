"""Labels that are shown on the page Classify: dropped, ranked as the library does, kept, used by another session."""

import pytest
from conftest import ACTIONS, fine, open_page, texts
from conftest import button as button_of

from app import state
from app.classify import examples
from app.parts import labels as label_sets
from cezsar.zeroshot.classifier import Classifier
from cezsar.zeroshot.examples import KeptLabels, Label

NAMES = [action.name for action in ACTIONS]
TYPED = ", ".join(NAMES)


def uploader(page, begins):
    return next(each for each in page.file_uploader if each.label.startswith(begins))


def ranked(page):
    (table,) = (each.value for each in page.dataframe if "what the clip looks like" in each.value)
    return dict(zip(table["label"], table["similarity"], strict=True))


@pytest.fixture
def films(clips):
    return [(path.name, path.read_bytes()) for path in clips[1]]


def asked(films, number=0):
    """The page with one film, three labels, and the tiny run."""
    page = open_page(model="demo", labels=TYPED)
    page.file_uploader[0].upload(*films[number])
    return fine(page.run())


def shown_by(page, label, *files):
    page.selectbox(key=state.SHOWN_LABEL).set_value(label).run()
    for name, content in files:
        uploader(page, "Drop clips or pictures").upload(name, content)
    return page.run()


def test_a_label_made_of_two_clips_is_ranked_kept_used_elsewhere_and_deleted(workspace, films, clips):
    page = asked(films)
    before = ranked(page)
    fine(shown_by(page, NAMES[1], *films[1:3]))
    with Classifier.of_run(workspace / "runs" / "demo") as classifier:
        told, paths = classifier.described(NAMES), clips[1]
        labels = {**told, NAMES[1]: Label(told[NAMES[1]], paths[1:3])}
        expected = dict(classifier.classify(paths[0], labels, top=3).labels)
        alone = {**told, NAMES[1]: Label((), paths[1:3])}
        by_examples = dict(classifier.classify(paths[0], alone, top=3).labels)
    assert ranked(page) == pytest.approx(expected, abs=1e-5) and expected != pytest.approx(before, abs=1e-5)
    assert "1 of 3 labels is shown by examples: not zero-shot" in texts(page)
    assert {films[1][0], films[2][0]} <= {button.label.replace("\\", "") for button in page.button}

    page.select_slider(key=f"share-{examples.canonical(NAMES[1])}").set_value(1.0).run()
    assert ranked(fine(page)) == pytest.approx(by_examples, abs=1e-5)
    page.select_slider(key=f"share-{examples.canonical(NAMES[1])}").set_value(examples.BY_NUMBER).run()

    page.text_input(key="name of a label set").set_value("my labels").run()
    button_of(page, "Keep").click().run()
    assert ranked(fine(page)) == pytest.approx(expected, abs=1e-5)
    kept = label_sets.own_folder() / "my labels.safetensors"
    assert KeptLabels.load(kept).labels.keys() == set(NAMES) and kept.stat().st_size < 20_000  # no film
    page.text_input(key="name of a label set").set_value("my labels").run()
    button_of(page, "Keep").click().run()
    assert "there are labels 'my labels' already" in page.error[0].value

    other = asked(films)  # of somebody else, who types nothing
    assert ranked(other) == pytest.approx(before, abs=1e-5)
    button_of(other, "Use").click().run()
    assert ranked(fine(other)) == pytest.approx(expected, abs=1e-5)
    for _ in range(2):
        next(button for button in other.button if str(button.key).startswith("remove-")).click().run()
    assert ranked(fine(other)) == pytest.approx(before, abs=1e-5)
    button_of(other, "Delete").click().run()
    assert not fine(other).exception and not kept.exists()


def test_an_exported_set_is_used_and_another_models_is_refused(workspace, films, tmp_path, monkeypatch):
    path = tmp_path / "theirs.safetensors"
    with Classifier.of_run(workspace / "runs" / "demo") as classifier:
        paths = [tmp_path / "one.webm"]
        paths[0].write_bytes(films[1][1])
        labels = {"theirs": Label(examples=paths), "words": ["A person waves."]}
        classifier.label_set(labels).save(path)
        paths += [tmp_path / "film.webm"]
        paths[1].write_bytes(films[0][1])
        expected = dict(classifier.classify(paths[1], labels, top=2).labels)
    page = asked(films)
    uploader(page, "Or use").upload(path.name, path.read_bytes())
    page.run()
    assert ranked(fine(page)) == pytest.approx(expected, abs=1e-5)
    kept = KeptLabels.load(path)
    KeptLabels(kept.labels, "another", "0" * 64).save(path)
    uploader(page, "Or use").upload(path.name, path.read_bytes())
    page.run()
    assert "is another one" in page.error[0].value
    uploader(page, "Or use").upload(path.name, b"no labels")
    page.run()
    assert "theirs" in page.error[0].value and "is damaged" in page.error[0].value


def test_any_share_and_names_that_are_numbers_are_used_as_they_were_kept(workspace, films, tmp_path):
    path, film = tmp_path / "theirs.safetensors", tmp_path / "film.webm"
    film.write_bytes(films[0][1])
    with Classifier.of_run(workspace / "runs" / "demo") as classifier:
        labels = {"0": Label(["A person jumps."], [film], 0.33), "1": Label(["A person waves."])}
        classifier.label_set(labels).save(path)
        expected = dict(classifier.classify(film, labels, top=2).labels)
    page = asked(films)
    uploader(page, "Or use").upload(path.name, path.read_bytes())
    assert ranked(fine(page.run())) == pytest.approx(expected, abs=1e-5)
    assert page.select_slider(key="share-0").value == 0.33
    page.selectbox(key=state.BESIDE_MODEL).set_value("run:photographs").run()  # which was not shown them
    assert "is another one" in page.error[0].value and ranked(page) == pytest.approx(expected, abs=1e-5)


def test_a_film_that_is_dropped_twice_counts_once(workspace, films):
    page = asked(films)
    fine(shown_by(page, NAMES[1], films[1]))
    once = ranked(page)
    fine(shown_by(page, NAMES[1], films[1], ("again.webm", films[1][1]), ("and again.webm", films[1][1])))
    assert ranked(page) == pytest.approx(once, abs=1e-6)
    fine(shown_by(page, NAMES[0], ("again.webm", films[1][1]), ("and again.webm", films[1][1])))  # of another label


def test_what_cannot_be_read_is_named_and_counts_for_nothing(workspace, films):
    page = asked(films)
    before = ranked(page)
    shown_by(page, NAMES[0], ("notes.mp4", b"dear diary\n" * 50))
    assert "notes" in page.error[0].value and ranked(page) == pytest.approx(before, abs=1e-5)
    next(button for button in page.button if str(button.key).startswith("remove-")).click().run()
    assert ranked(fine(page)) == pytest.approx(before, abs=1e-5)
