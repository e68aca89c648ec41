"""What the encoders' list says, without a model, a network or a heavy import."""

import pytest
from huggingface_hub import constants

from cezsar import encoders
from cezsar.errors import MissingWeightsError


def test_embedded_encoders_are_present_and_the_others_say_how_to_get_them(tmp_path):
    cards = {card.name: card for card in encoders.CARDS.values()}
    assert set(cards) == set(encoders.CARDS)
    assert cards["motion"].present and cards["minilm"].present and cards["minilm"].needs == ""
    for name in ("bit", "bit-released", "clip:clip-ViT-B-32", "distilroberta"):
        assert not cards[name].present and "GB" in cards[name].size
        assert cards[name].needs == f"cezsar fetch {name}" and cards[name].where.startswith(str(tmp_path / "home"))


def test_a_model_is_found_in_the_hub_cache_and_in_a_folder_of_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = tmp_path / "models--sentence-transformers--clip-ViT-B-32"
    weights = model / "snapshots" / "abc" / "0_CLIPModel" / "pytorch_model.bin"
    weights.parent.mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc")
    assert not encoders.present("clip:clip-ViT-B-32")  # the weights are still to come
    weights.write_bytes(b"")
    assert encoders.present("clip:clip-ViT-B-32")
    assert encoders.located("clip:clip-ViT-B-32") == model / "snapshots" / "abc"
    (tmp_path / "home" / "models" / "bit").mkdir(parents=True)
    assert not encoders.present("bit")  # an empty folder is not weights
    (tmp_path / "home" / "models" / "bit" / "model.safetensors").write_bytes(b"")
    assert encoders.present("bit") and encoders.present("bit-released")


def test_the_best_encoder_for_real_video_that_is_here_is_taken(tmp_path):
    assert encoders.for_real_video() is None
    for name in ("bit", "clip:clip-ViT-B-32", "open_clip:PE-Core-B-16", "video:google/videoprism-lvt-base-f16r288"):
        folder = tmp_path / "home" / "models" / encoders.card(name).repository.rpartition("/")[2]
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"")
        assert encoders.for_real_video() == name


def test_facts_are_told_as_far_as_they_are_known():
    best = encoders.card(encoders.FOR_REAL_VIDEO)
    for part in ("licence Apache-2.0", "65.6% top-1 on Kinetics-400, zero-shot (Bolya et al. 2025", "ms of a CPU core"):
        assert part in best.facts
    assert encoders.card("motion").facts == encoders.card("clip:org/model").facts == ""
    assert not any(map(encoders.present, ("clip:/no/such/folder", "open_clip:none", "video:none", "x/y/z")))
    for name in ("timm:resnet18.a1_in1k", "clip:org/model", "all-mpnet-base-v2"):
        assert encoders.card(name).needs == f"cezsar fetch {name}"


@pytest.mark.parametrize("name, size", [("bit", "1.3 GB"), ("distilroberta", "0.33 GB")])
def test_missing_weights_say_what_where_and_how(name, size, tmp_path):
    with pytest.raises(MissingWeightsError) as raised:
        (encoders.load_sentence_encoder if name == "distilroberta" else encoders.create)(name)
    repository = encoders.card(name).repository
    place, why = tmp_path / "home" / "models" / repository.rpartition("/")[2], "could not be fetched: no network"
    for part in (repository, size, str(place), f"cezsar fetch {name}.", "--weights", "motion and minilm", why):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)
