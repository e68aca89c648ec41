"""Options that several verbs have, those made from the hyperparameters of `cezsar.config`, and what arguments name."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from typer import Argument, Context, Option, Typer

from cezsar import workspace
from cezsar.atomic import refuse_unwritable
from cezsar.cli.console import Progress
from cezsar.config import settings as settings_of
from cezsar.data.annotations import Annotations, load_annotations
from cezsar.data.datasets import captions_of, is_name
from cezsar.errors import InputError

if TYPE_CHECKING:
    from cezsar.training.runs import Run
    from cezsar.zeroshot.methods import Prepared, Sources
    from cezsar.zeroshot.scored import Scored

Verb = TypeVar("Verb", bound=Callable[..., None])
Given = dict[type, dict[str, Any]]  # class of settings -> the values that were given
KINDS = {".json", ".csv", ".md", ".tex", ".html", ".pdf"}


def output(help: str, *names: str, suffix: str = "", beside: Collection[str] = (), folder: bool = False) -> Any:
    """An option that names an output: what would stop it from being written is said before the work. `suffix` is that
    of the file, "" for any; `beside` are those of files that are written beside it."""

    def check(path: Path | None) -> Path | None:
        if path and suffix and path.suffix.lower() in KINDS - {suffix}:
            told = f", {', '.join(beside)} {'is' if len(beside) == 1 else 'are'} written beside it" if beside else ""
            raise InputError(f"{path} would hold {suffix[1:].upper()}; give it the suffix {suffix}{told}")
        for each in (path, *(path.with_suffix(other) for other in beside)) if path else ():
            refuse_unwritable(each, folder)
        return path

    return Option(*names, help=help, callback=check)


AsInEvaluate = Annotated[str, Option(help="As in `cezsar evaluate`.")]
Captions = Annotated[list[Path] | None, Option(help="Caption files, one for each captioning model.")]
CaptionsAs = Annotated[Literal["joined", "averaged"], Option(
    help="Several captions a clip: one sentence, or the mean of their embeddings.")]  # fmt: skip
ComparisonOut = Annotated[Path | None, output(
    "Where to write everything as JSON; .csv, .md and .tex go beside it.", suffix=".json",
    beside=(".csv", ".md", ".tex"))]  # fmt: skip
Device = Annotated[str | None, Option(help="cpu, cuda, ...; the best one by default.")]
Domain = Annotated[str, Option(help="One line on what the training videos show.")]
EncoderWeights = Annotated[Path | None, Option(help="File or folder of the frame encoder's weights.")]
Prototypes = Annotated[str | None, Option(help="Class descriptions, as in `cezsar evaluate`.")]
ScoredName = Annotated[str, Argument(
    help="What `cezsar evaluate --keep` wrote: a folder, or its name in the workspace.")]  # fmt: skip
SeveralSentences = Annotated[Literal["nearest", "mean"], Option(help="Several sentences a class: compare with which.")]
StoreOut = Annotated[Path, output("The feature store to make or go on with.", folder=True)]
Splits = Annotated[int, Option(min=1, help="Random splits.")]
Workspace = Annotated[Path | None, Option(help="Default: $CEZSAR_HOME, else ./workspace.")]
WorkspaceOut = Annotated[Path | None, output("Default: $CEZSAR_HOME, else ./workspace.", folder=True)]


def examples(*commands: str) -> str:
    """What stands below the help of a verb."""
    return "\n\n".join(["[bold]Examples[/bold]", *commands])


class Verbs(Typer):
    """Verbs of the command line."""

    def verb(self, *commands: str, **more: Any) -> Callable[[Verb], Verb]:
        """Make a verb of a function; `commands` are its examples."""
        return self.command(epilog=examples(*commands), **more)


def with_settings(*kinds: type, without: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn the parameter `settings` of a verb into an option for each setting of `kinds`; the verb gets a `Given`."""
    chosen = {
        setting.name: (kind, setting)
        for kind in kinds for setting in settings_of(kind).values() if setting.option and setting.name not in without
    }  # fmt: skip

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        own, parameters = signature(verb, eval_str=True), []
        for parameter in (each.replace(kind=Parameter.KEYWORD_ONLY) for each in own.parameters.values()):
            if parameter.name != "settings":
                parameters.append(parameter)
                continue
            for name, (_, setting) in chosen.items():
                annotation: Any = Annotated[type(setting.default), Option(help=f"{setting.label}. {setting.help}")]
                parameters.append(parameter.replace(name=name, default=setting.default, annotation=annotation))
        parameters.append(Parameter("context", Parameter.KEYWORD_ONLY, annotation=Context))

        @functools.wraps(verb)
        def command(context: Any, **values: Any) -> None:
            given: Given = {kind: {} for kind in kinds}
            for name, (kind, _) in chosen.items():
                value = values.pop(name)
                if context.get_parameter_source(name).name == "COMMANDLINE":
                    given[kind][name] = value
            verb(**values, settings=given)

        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return command

    return decorate


def scored_folder(name: str | Path) -> Path | None:
    """The folder of the scored data set in that folder, or of that name in the workspace or among those that come
    along."""
    folders = (Path(name), workspace.folder("scores") / name, workspace.ASSETS / "demo" / "scores" / name)
    return next((folder for folder in folders if (folder / "about.json").is_file()), None)


def open_scored(name: str) -> Scored:
    """The scored data set in that folder, or of that name in the workspace."""
    from cezsar.zeroshot.scored import Scored

    folder = scored_folder(name)
    if folder is None and not Path(name).exists():
        raise InputError(f"there is no scored data set {name}; check the name, or make it by `cezsar evaluate --keep`")
    return Scored.open(folder or name)


def annotated(name: str) -> tuple[str, Annotations]:
    """Timestamped captions of a file or a data set, and the file's name."""
    file = captions_of(name) if is_name(name) else Path(name)
    return file.name, load_annotations(file)


def of_run(run: Run | None, sentences: str) -> dict[str, str | None]:
    """Fingerprints of a run and its sentence encoder; without a run that of `sentences`."""
    from cezsar.data.sentence_cache import open_encoder

    encoder = run.config.sentence_encoder["fingerprint"] if run else open_encoder(sentences).fingerprint
    return {"run": run.fingerprint if run else None, "sentence encoder": encoder}


def opened_sources(
    dataset: str, stores: Collection[Path | None], captions: list[Path] | None, captions_as: str,
    prototypes: str | None, sentences: str, several: str, encoder_weights: Path | None = None,
) -> Sources:  # fmt: skip
    """`Sources.opened` of what a command line gives; the data set's warnings are printed."""
    from cezsar.zeroshot.methods import Sources

    sources = Sources.opened(
        dataset, prototypes, stores=[store for store in stores if store], captions=captions or [],
        averaged=captions_as == "averaged", sentences=sentences, several=several, encoder_weights=encoder_weights,
    )  # fmt: skip
    for warning in sources.dataset.warnings:
        print(f"{sources.dataset.name}: {warning}")
    return sources


def prepared(title: str, method: str | None, sources: Sources, run: Run | None) -> Prepared:
    """A method applied to a data set, with progress."""
    from cezsar.zeroshot.methods import prepare

    with Progress(title) as progress:
        return prepare(method, sources, run, progress)
