"""Captioners: small ones with random weights, saved in the genuine format, against transformers called directly."""

import json
import shutil

import pytest
import torch
import transformers as hf
from PIL import Image
from safetensors.torch import load_file, save_file

from cezsar.encoders import card, for_captions, located
from cezsar.encoders.captioners import Captioner, load_captioner
from cezsar.errors import FormatError, InputError, MissingWeightsError


def directly(folder, picture):
    """What transformers says of one picture."""
    kind = {"blip": hf.BlipForConditionalGeneration, "git": hf.GitForCausalLM}[folder.name]
    processor = hf.AutoProcessor.from_pretrained(folder)
    pixels = processor(images=Image.fromarray(picture), return_tensors="pt")
    tokens = kind.from_pretrained(folder).eval().generate(**pixels, num_beams=3, max_new_tokens=30)
    return " ".join(processor.decode(tokens[0], skip_special_tokens=True).split()) + "."


@pytest.mark.parametrize("name", ["blip", "git"])
def test_captions_are_transformers_own_of_every_second_picture(name, captioner_folders, frames):
    captioner = load_captioner(f"caption:{captioner_folders[name]}", device="cpu", batch=2)
    wanted = [directly(captioner_folders[name], frames[number].image) for number in (1, 3, 4)]
    assert captioner.captions(iter(frames)) == wanted and len(set(wanted)) == 3
    assert captioner.captions([]) == [] and captioner.sampling.fps == pytest.approx(2 / 3)
    assert captioner.captions(frames[:1]) == [directly(captioner_folders[name], frames[0].image)]


def test_equal_captions_in_a_row_are_one_and_empty_ones_none():
    every = Captioner("none", torch.nn.Identity(), None, 2.5, device="cpu")
    assert every.entries(["A.", "A.", "", "A.", "B."], 11.04) == [
        {"sentence": "A.", "timestamp": [0, 5]}, {"sentence": "A.", "timestamp": [7.5, 10]},
        {"sentence": "B.", "timestamp": [10, 11.04]},
    ]  # fmt: skip
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(InputError, match="give seconds above 0"):
            Captioner("none", torch.nn.Identity(), None, wrong)


def test_where_captioners_are_and_what_identifies_them(captioner_folders, tmp_path):
    assert for_captions() is None and card("git").needs == "cezsar fetch git" and not card("git").present
    assert (card("caption:org/model").repository, card("caption:org/model").kind) == ("org/model", "captions")
    with pytest.raises(MissingWeightsError, match=r"cezsar fetch blip\. .*--weights FOLDER\)$"):
        load_captioner("blip")
    place = tmp_path / "home/models/git-base-coco"
    shutil.copytree(captioner_folders["git"], place)
    assert for_captions() == "git" and located("git") == place
    fetched, given = load_captioner("git"), load_captioner("blip", captioner_folders["git"])
    assert fetched.fingerprint == given.fingerprint != load_captioner("blip", captioner_folders["blip"]).fingerprint


def test_what_is_no_captioner_is_refused_and_its_code_never_run(captioner_folders, clip_folder, tmp_path):
    code, part, pickled, film = (shutil.copytree(captioner_folders["git"], tmp_path / name) for name in "abcd")
    (code / "model.py").write_text(f"open({str(tmp_path / 'was run')!r}, 'w')\nclass Model: pass")
    own = dict.fromkeys(("AutoConfig", "AutoModelForImageTextToText"), "model.Model")
    changed = {"model_type": "own", "auto_map": own}
    (code / "config.json").write_text(json.dumps(json.loads((code / "config.json").read_text()) | changed))
    tensors = load_file(part / "model.safetensors")
    tensors.pop("git.encoder.layer.0.output.dense.bias")
    save_file(tensors, part / "model.safetensors", {"format": "pt"})
    (pickled / "model.safetensors").unlink()
    torch.save(torch.nn.Linear(2, 2), pickled / "pytorch_model.bin")
    config = json.loads((film / "config.json").read_text())
    (film / "config.json").write_text(json.dumps(config | {"num_image_with_embedding": 6}))
    for name, kind, said in (
        ("bit", InputError, r"is no captioner: blip, git, or caption:<model>"),
        (f"caption:{clip_folder}", InputError, "holds CLIPModel; captions are written by BLIP or GIT"),
        (f"caption:{film}", InputError, "BLIP or GIT for pictures"),
        (f"caption:{code}", FormatError, "cannot be loaded by transformers"),
        (f"caption:{part}", FormatError, r"lack git\.encoder\.layer\.0\.output\.dense\.bias"),
        (f"caption:{pickled}", FormatError, "cannot be loaded by transformers"),
    ):
        with pytest.raises(kind, match=said):
            load_captioner(name)
    assert not (tmp_path / "was run").exists()
