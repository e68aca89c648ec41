"""One training run for each τ: started on the demo's videos, and what sweeps in the workspace reached."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.parts import models, preparation, show
from app.parts.choosers import one_of
from app.parts.jobs import follow
from app.parts.words import plain
from cezsar import jobs, workspace
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, arguments, numbers
from cezsar.demo.run import DOMAIN, Recipe
from cezsar.errors import CezsarError, InputError
from cezsar.report.figures import COLOURS, GREY, MARKS, layout
from cezsar.sweep import FILE, PAPER, Sweep, refuse_points
from cezsar.training.runs import Run
from cezsar.zeroshot.evaluation import load_all

KIND = "tau"
MOST_TAUS = 12
NEEDED = ("demo/train.json", "demo/descriptions.json", "demo/test", "features/demo-train", "features/demo-test")
LOOKS = (("square", COLOURS[1]), ("circle", COLOURS[0]), *zip(MARKS[2:], COLOURS[2:], strict=True))  # VE, VE + O, ...


def sweeps() -> None:
    st.subheader("One run for each τ", anchor=False)
    lost, there = lacking(), swept()
    charting, starting = st.columns([3, 2], gap="large")
    with starting:
        if lost:
            show.info("Runs are trained on the demo's videos, which are not in this workspace yet: prepare them below.")
        else:
            form()
        if unfinished := [job for job in jobs.jobs(KIND) if job.state != "done"]:
            follow(unfinished, "sweep-jobs")
    with charting:
        names = list(there)
        name = one_of("Sweep", names, state.SWEPT, width=420) if len(names) > 1 else "".join(names)
        if not names:
            st.caption(
                "`cezsar tau-sweep` trains a run for each τ, and for several seeds, on any captioned videos and tests "
                "them on any data set. What it writes into a folder of the workspace's `scores` is shown here."
            )
        chart(sweep := there.get(name))
    if sweep:
        head, *rows = sweep.cells()
        columns = [head[0], *(f"{name}, %" for name in sweep.modalities), *head[-4:-1]]
        short = f"Sentences with fewer than {sweep.about.get('negatives')} candidates at this τ."
        show.table(
            [dict(zip(columns, row, strict=False)) for row in rows],
            "For every τ: top-1 accuracies, sentences short of candidates, triplets and seconds",
            column_config={"short of candidates": st.column_config.TextColumn(help=short)},
        )
        for row in rows:
            if row[-1]:
                st.caption(f"τ = {row[0]}: {plain(row[-1])}.")
    if lost:
        preparation.prepare_demo()


# Starting one --------------------------------------------------------------------------------------------------------


def lacking() -> list[str]:
    """What a sweep needs of the built demo and the workspace does not have."""
    lost = [name for name in NEEDED if not (workspace.home() / name).exists()]
    return lost if recogniser() else [*lost, "runs/demo/objects.safetensors"]


def recogniser() -> Path | None:
    places = (workspace.folder("runs") / "demo", models.SHIPPED / "runs" / "demo")
    return next((path for place in places if (path := place / "objects.safetensors").is_file()), None)


def form() -> None:
    """The list of τ, the settings that its runs share, and the button that starts them."""
    recipe = Recipe()
    with st.form("sweep-form"):
        text = st.text_input("τ, with commas between them", "0.6, 0.7, 0.8, 0.9", key="sweep-taus")
        settings = (
            ("Epochs", 1, 200, int(recipe.training["epochs"]), "Passes over the triplets."),
            ("Negatives", 1, 200, recipe.mining.negatives, "Hard negatives for each positive."),
            ("Seed", 0, 9_999, 7, "Of sub-clips, negatives, weights and order."),
        )
        epochs, negatives, seed = (
            int(column.number_input(title, low, high, value, key=f"sweep-{title.lower()}", help=meaning))
            for column, (title, low, high, value, meaning) in zip(st.columns(3), settings, strict=True)
        )
        pressed = st.form_submit_button("Train one run per τ", type="primary", icon=":material/play_arrow:")
        st.caption(
            "On the demo's captioned videos, tested on its 21 unseen actions; all else as in the demo. Each run takes "
            "about a minute on two cores."
        )
    if pressed:
        with show.explained():
            st.session_state[state.SWEPT] = start(text, epochs, negatives, seed)
            st.rerun()


def start(text: str, epochs: int, negatives: int, seed: int) -> str:
    """Start `cezsar tau-sweep` on the demo, with its recipe, for a list of τ with commas. Returns the sweep's name.

    Raises `InputError` for no list of numbers in (0, 2], one given twice, too many, or where the demo is not built.
    """
    taus = numbers("τ", text, float)
    refuse_points(taus, [seed])
    if len(taus) > MOST_TAUS:
        raise InputError(f"{len(taus)} τ are given; give at most {MOST_TAUS}")
    lost, head = lacking(), recogniser()
    if lost or head is None:
        raise InputError(f"the demo has to be prepared first: there is no {lost[0]} in the workspace")
    name, recipe, home = time.strftime("tau-%Y%m%d-%H%M%S"), Recipe(), workspace.home().resolve()
    given = ["tau-sweep", str(home / "demo" / "train.json"), "--store", str(home / "features" / "demo-train")]
    given += ["--dataset", "demo", "--test-store", str(home / "features" / "demo-test")]
    given += ["--out", str(home / "scores" / name), "--taus", ",".join(f"{tau:g}" for tau in taus)]
    given += ["--seeds", str(seed), "--domain", DOMAIN, "--head", str(head.resolve())]
    given += arguments(MiningConfig, vars(replace(recipe.mining, negatives=negatives)))
    given += arguments(ModelConfig, recipe.model) + arguments(TrainingConfig, {**recipe.training, "epochs": epochs})
    given += arguments(UseConfig, vars(recipe.use))
    stages: dict[str, float] = {}
    for place, tau in enumerate(taus, start=1):
        run = f"τ = {tau:g}, seed {seed} ({place} of {len(taus)})"
        stages |= {f"{run}, mining": 8, f"{run}, training": 1.5 * epochs, f"{run}, evaluation": 6}
    title = "Runs for τ = " + ", ".join(f"{tau:g}" for tau in taus)
    jobs.start(KIND, title, [jobs.Step("sweep", given, stages)], about={"sweep": name})
    return name


# What was reached ----------------------------------------------------------------------------------------------------


def swept() -> dict[str, Sweep]:
    """What `cezsar tau-sweep` has left in folders of the workspace's scores, the newest first; broken ones left out."""
    files = workspace.folder("scores").glob(f"*/{FILE}")
    found = {}
    for path in sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            sweep = Sweep.load(path.parent)
        except CezsarError:
            continue  # `cezsar tau-sweep` says what is wrong with it
        if sweep.points:
            found[path.parent.name] = sweep
    return found


def demo_point() -> tuple[float, dict[str, float]]:
    """τ of the demo's own run, and top-1 of each modality, none where it is not here: every sweep can be compared."""
    try:
        folder = next(folder for folder in models.run_folders() if folder.name == "demo")
        tau = Run.open(folder).record()["triplets"]["tau"]
        results = load_all(folder / "results" / "demo all.json")
    except (StopIteration, CezsarError, KeyError, TypeError):
        return 0.0, {}  # a run without such a record is no point of this curve
    return float(tau), {result.modality: result.figure("top1").mean for result in results}


def chart(sweep: Sweep | None) -> None:
    """Accuracy against τ: a sweep with its deviations, the paper's curve in grey, the demo's own run as open marks."""
    rows, (own_tau, own) = sweep.accuracies() if sweep else {}, demo_point()
    spread = "splits" if any(each.splits is not None for found in rows.values() for each in found.values()) else "seeds"
    figure, told = go.Figure(), []
    _line(figure, "paper: VE + O, UCF-101", sorted(PAPER.items()), GREY, "diamond", "dot")
    for modality, (symbol, colour) in zip(sweep.modalities if sweep else ["VE", "VE + O"], LOOKS, strict=False):
        if done := [(tau, found[modality]) for tau, found in rows.items() if modality in found]:
            _line(figure, modality, [(at, accuracy.mean) for at, accuracy in done], colour, symbol)
            said = [accuracy.percent() for _, accuracy in done]
            bars = [100 * (getattr(accuracy, spread) or 0) for _, accuracy in done]
            figure.data[-1].update(
                error_y={"array": bars, "thickness": 1.5, "width": 4}, hovertext=said,
                hovertemplate=f"{modality}, τ = %{{x:g}}: %{{hovertext}}<extra></extra>",
            )  # fmt: skip
            told += [f"{modality} {at:g}: {text} %" for (at, _), text in zip(done, said, strict=True)]
        if modality in own:
            _line(figure, f"the demo's run: {modality}", [(own_tau, own[modality])], colour, f"{symbol}-open")
    layout(figure, 380, "τ, upper bound on the cosine distance of a hard negative", "top-1 accuracy in %")
    for tau, found in rows.items():
        if not found:
            figure.add_vline(x=tau, line={"color": GREY, "width": 1, "dash": "dot"})
            figure.add_annotation(x=tau, y=0.02, yref="paper", text="no run", showarrow=False, xanchor="left")
    figure.update_xaxes(zeroline=False)
    none = "no run has finished yet; the paper's 47.8 % at 0.7, 50.9 % at 0.8 and 48.3 % at 0.9"
    show.figure(figure, "sweep-chart", f"Top-1 accuracy against τ: {'; '.join(told) or none}")
    about = "The paper's accuracies are of UCF-101 with its 101 classes, so only the shape of its curve compares."
    if sweep:
        about = (
            f"{plain(sweep.title())}. Bars are one standard deviation over {spread} to either side; a difference "
            f"smaller than the deviation over seeds may be chance. {about}"
        )
    st.caption(about)


def _line(figure: go.Figure, name: str, found: Sequence[tuple[float, float]], colour: str, symbol: str,
          dash: str = "solid") -> None:  # fmt: skip
    figure.add_scatter(
        x=[tau for tau, _ in found], y=[100 * accuracy for _, accuracy in found], name=name,
        mode="lines+markers" if len(found) > 1 else "markers", line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
        hovertemplate=f"{name}, τ = %{{x:g}}: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip
