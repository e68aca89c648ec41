"""`cezsar import-release`: the authors' released files, each kind by a verb of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Exit, Option, Typer

from cezsar.cli.console import Progress, save
from cezsar.cli.options import StoreOut, examples, output
from cezsar.data.labels import shared_classes

EXAMPLES = examples(
    "cezsar import-release checkpoint bestmodel.pt --out workspace/runs/released",
    "cezsar import-release features ucf101_features_bit_152/ --out features/ucf101 --index ucf101.json",
    "cezsar import-release descriptions ucf_101_texts_gemini/ --out ucf101.json",
    "cezsar import-release splits data/datasets/splits/ucf101_truezsl_splits.json --out splits/",
    "cezsar import-release captions observers/*.json --out ucf101-captions.json",
)
verbs = Typer(
    name="import-release",
    help="Import the authors' released files: features, checkpoint, class descriptions, splits, captions.",
    epilog=EXAMPLES,
    no_args_is_help=True,
)


@verbs.command(epilog=EXAMPLES)
def features(
    folder: Annotated[Path, Argument(help="A folder of .npy files, one a video, named after it.")],
    out: StoreOut,
    index: Annotated[Path | None, Option(help="Data set index (JSON, class name -> clip ids), for labels.")] = None,
    encoder: Annotated[str, Option(help="Name of the frame encoder that made them.")] = "bit-released",
    width: Annotated[int, Option(min=1, help="Of a row of features.")] = 4096,
) -> None:
    """Turn a folder of .npy features into a feature store. Goes on where it was stopped; broken files are listed."""
    from cezsar.data.authors_files import import_features

    with Progress("importing features") as progress:
        report = import_features(folder, out, encoder=encoder, width=width, index=index, on_progress=progress.failing)
    for failure in report.failed:
        print(f"  {failure.path}: {failure.reason}")
    print(f"{out}: {report.done} videos imported, {report.skipped} were there already, {len(report.failed)} failed")
    if report.failed:
        raise Exit(1)


@verbs.command(epilog=EXAMPLES)
def checkpoint(
    file: Annotated[Path, Argument(help="What the authors saved: a whole JointEmbeddingModel.")],
    out: Annotated[Path, output("Folder of the run to be made.", folder=True)],
    encoder: Annotated[str, Option(help="Frame encoder it was trained with.")] = "bit-released",
    sentences: Annotated[str, Option(help="Sentence encoder it was trained with.")] = "distilroberta",
    domain: Annotated[str | None, Option(help="What its training videos show, one line.")] = None,
) -> None:
    """Turn the authors' checkpoint into a run of the released recipe. Nothing that is in the file is run."""
    from cezsar.training.importing import DOMAIN, import_checkpoint

    run = import_checkpoint(file, out, features=encoder, sentences=sentences, domain=domain or DOMAIN)
    model = run.config.model
    widths = f"{model.feature_dim} -> {model.d_model} -> {model.d_emb}"
    shape = f"{widths}, {model.layers} layer{'s' * (model.layers > 1)}, {model.heads} heads"
    print(f"{out}: released recipe, {shape}; sentence vectors of {model.sentence_dim} dimensions")
    print(f"its encoders, {encoder} and {sentences}, are recorded by name: the file has no fingerprints of them")


@verbs.command(epilog=EXAMPLES)
def descriptions(
    folder: Annotated[Path, Argument(help="A folder of .txt files, one a class, in any encoding.")],
    out: Annotated[Path, output("JSON file to write, for --prototypes.")],
) -> None:
    """Turn a folder of class descriptions into one JSON file."""
    from cezsar.data.authors_files import import_descriptions

    (found,) = save({out: lambda path: import_descriptions(folder, path)})
    print(f"{out}: {len(found):,} classes, {sum(map(len, found.values())):,} sentences")


@verbs.command(epilog=EXAMPLES)
def splits(
    source: Annotated[Path, Argument(help="A split file, or a folder that holds nothing else with .json.")],
    out: Annotated[Path, output("Folder to write into; each file is one for --protocol.", folder=True)],
) -> None:
    """Check and copy split files. Classes that are in both parts are named."""
    from cezsar.data.authors_files import import_splits

    for name, split in import_splits(source, out).items():
        print(f"{out / name}.json: {len(split.get('training', []))} training, {len(split['testing'])} testing classes")
        if shared := shared_classes(split):
            print(f"  in both, so not unseen: {', '.join(shared)}")


@verbs.command(epilog=EXAMPLES)
def captions(
    files: Annotated[list[Path], Argument(help="Caption files, one for each captioning model.", metavar="FILE...")],
    out: Annotated[Path, output("JSON file to write, for --captions.")],
) -> None:
    """Join the captions of several models into one file."""
    from cezsar.data.authors_files import import_captions

    (found,) = save({out: lambda path: import_captions(files, path)})
    print(f"{out}: {sum(found.values()):,} captions of {len(found):,} videos, from {len(files)} files")
