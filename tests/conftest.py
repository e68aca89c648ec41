"""What all tests share: one thread, no network, and a small stick-figure world with everything made from it."""

import functools
import json
import os
import shutil
from dataclasses import replace

os.environ.update(HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # several would only wait for each other where tests run side by side


@pytest.fixture(scope="session", autouse=True)
def _one_minilm():
    """MiniLM is loaded once, however often it is asked for."""
    from cezsar.encoders import sentences

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sentences, "MiniLM", functools.cache(sentences.MiniLM))
        yield


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory):
    """A workspace in which the whole demo has run, small: (folder, report)."""
    from cezsar.demo import Recipe, run_demo

    home = tmp_path_factory.mktemp("workspace")
    recipe = Recipe(videos=10, clips_per_class=1, training={"lr": 1e-3, "epochs": 2, "batch": 32, "standardise": True})
    return home, run_demo(home, seed=5, recipe=recipe)


@pytest.fixture(scope="module")
def opened(small_demo):
    """The small demo's classifier."""
    from cezsar.zeroshot.classifier import Classifier

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CEZSAR_HOME", str(small_demo[0]))
        with Classifier.of_run(small_demo[0] / "runs/demo") as classifier:
            yield classifier


@pytest.fixture(scope="session")
def decoder():
    from cezsar.video import Decoder

    with Decoder() as shared:
        yield shared


@pytest.fixture
def workspace(small_demo, monkeypatch):
    """The small demo's workspace as `$CEZSAR_HOME`."""
    monkeypatch.setenv("CEZSAR_HOME", str(small_demo[0]))
    return small_demo[0]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty workspace, and an empty folder to be in; progress is told at every step."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CEZSAR_HOME", str(tmp_path / "ws"))
    monkeypatch.setenv("CEZSAR_PROGRESS_EVERY_S", "0")
    return tmp_path / "ws"


@pytest.fixture(scope="module")
def cross_run(small_demo):
    """A cross-modal run in the small demo's workspace, trained by the command."""
    from cezsar.cli import main
    from cezsar.training.runs import Run

    home, folder = small_demo[0], small_demo[0] / "runs" / "cross"
    given = ["train", "demo:train", "--method", "cross-modal", "--store", home / "features" / "demo-train"]
    given += ["--out", folder, "--prototypes", home / "demo" / "descriptions.json", "--domain", "drawn clips"]
    small = ["--epochs", 2, "--d-model", 16, "--ffn", 16, "--heads", 2, "--d-emb", 8]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setenv("CEZSAR_HOME", str(home))
        main([str(argument) for argument in given + small])
    assert not ended.value.code
    yield Run.open(folder)
    for path in (folder, home / "scores" / "cross@demo"):  # others share the workspace
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def scored_again():
    """The shipped demo scored anew, without a workshop, with sentences that replace those of their class or join them:
    {class: sentences} -> scores, figures over all classes, and predicted classes."""
    from cezsar.encoders.sentences import load_sentence_encoder
    from cezsar.training.runs import Run
    from cezsar.workspace import ASSETS
    from cezsar.zeroshot.evaluation import evaluate
    from cezsar.zeroshot.fusion import predict
    from cezsar.zeroshot.protocols import all_classes
    from cezsar.zeroshot.scored import Scored
    from cezsar.zeroshot.scores import Scores
    from cezsar.zeroshot.spaces import JointSpace

    item = Scored.open(ASSETS / "demo/scores/demo@demo")
    space = JointSpace(Run.open(ASSETS / "demo/runs/demo").load_model(), load_sentence_encoder())
    old = item.embeddings()

    def again(described, append=False):
        names = [*old.class_names, *(name for name in described if name not in old.class_names)]
        stays = np.array([append or names[owner] not in described for owner in old.prototype_class])
        made = [(space.sentences(texts), names.index(name)) for name, texts in described.items()]
        prototypes = np.concatenate([old.prototypes[stays], *(rows for rows, _ in made)])
        owner_P = np.concatenate([old.prototype_class[stays], *(np.full(len(rows), owner) for rows, owner in made)])
        scores = Scores.from_embeddings(replace(old, class_names=names, prototypes=prototypes, prototype_class=owner_P))
        return scores, evaluate(scores, all_classes(names), item.weights).runs[0], predict(scores, item.weights)

    return again


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A CLIP of 16 dimensions with its own vocabulary and image processor, saved by SentenceTransformer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    parts, folder = tmp_path_factory.mktemp("clip-parts"), tmp_path_factory.mktemp("clip") / "tiny-clip"
    letters = [chr(code) for code in range(33, 127)]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (parts / "vocab.json").write_text(json.dumps(vocabulary))
    (parts / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer.from_pretrained(str(parts), model_max_length=77)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**tower, "vocab_size": len(tokens), "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    torch.manual_seed(3)
    config = CLIPConfig(text_config=text, vision_config={**tower, "image_size": 32, "patch_size": 8}, projection_dim=16)
    CLIPModel(config).save_pretrained(parts)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(parts)
    SentenceTransformer(str(parts), device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def captioner_folders(tmp_path_factory):
    """Captioners of 16 dimensions and a few words, saved by transformers: name -> folder. As in the genuine ones, the
    first token of BLIP is outside of the vocabulary."""
    import transformers as hf

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "dog", "rides", "throws", "ball", "on", "field"]
    tokenizer = hf.BertTokenizer(vocab={word: index for index, word in enumerate(words)})
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sees = {**tower, "image_size": 32, "patch_size": 8, "initializer_range": 0.5}
    says = {**tower, "initializer_range": 0.5, "max_position_embeddings": 64}
    first, square = len(words), {"height": 32, "width": 32}
    own = {"vocab_size": first + 1, "bos_token_id": first, "sep_token_id": 3, "encoder_hidden_size": 16}
    config = hf.GitConfig(vision_config=sees, **says, vocab_size=first, bos_token_id=2, eos_token_id=3)
    cropped = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square)
    torch.manual_seed(12)
    blip = hf.BlipForConditionalGeneration(hf.BlipConfig(text_config={**says, **own}, vision_config=sees))
    git = hf.GitForCausalLM(config)
    with torch.no_grad():
        for ends in (blip.text_decoder.cls.predictions.bias, git.output.bias):
            ends[words.index("[SEP]")] = -20  # so that something is said, to the most tokens
    made = {
        "blip": (blip, hf.BlipProcessor(hf.BlipImageProcessor(size=square), tokenizer)),
        "git": (git, hf.GitProcessor(cropped, tokenizer)),
    }
    folders = {name: tmp_path_factory.mktemp("captioners") / name for name in made}
    for name, parts in made.items():
        for part in parts:
            part.save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def stage_places(small_demo, captioner_folders, tmp_path_factory):
    """What the commands of `stages` speak of: films, one of them broken and one cut off, and triplets."""
    from stages import Stage

    home, films = small_demo[0], tmp_path_factory.mktemp("films")
    drawn = sorted((home / "demo/test").glob("*/*"))[:8]
    for path in drawn:
        shutil.copy(path, films)
    (films / "broken.mp4").write_text("no film")
    (films / f"cut{drawn[0].suffix}").write_bytes(drawn[0].read_bytes()[: drawn[0].stat().st_size * 2 // 3])
    places = {"home": home, "demo": home / "demo", "films": films, "film": drawn[0], "triplets": ""}
    places["blip"] = captioner_folders["blip"]
    mining = Stage("mining", tmp_path_factory.mktemp("mined"), places)
    assert mining.end()[0] == 0
    return places | {"triplets": mining.out / "t.safetensors"}


@pytest.fixture
def stage(stage_places, tmp_path):
    """Make a `Stage` that works below the test's own folder."""
    from stages import Stage

    return lambda name: Stage(name, tmp_path / "out", stage_places)
