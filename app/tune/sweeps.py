"""One training run for each τ: started on the demo's videos, and what sweeps in the workspace reached."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import plotly.graph_objects as go
import streamlit as st

from app import state
from app.parts import models, preparation, show
from app.parts.choosers import one_of
from app.parts.jobs import follow
from app.parts.words import plain
from cezsar import jobs, workspace
from cezsar.config import MiningConfig, ModelConfig, TrainingConfig, UseConfig, arguments, numbers
from cezsar.demo import DOMAIN, Recipe
from cezsar.errors import CezsarError, InputError
from cezsar.report.figures import COLOURS, GREY, MARKS, layout, shown
from cezsar.sweep import FILE, PAPER, Sweep, refuse_points

MOST_TAUS = 12
NEEDED = ("demo/train.json", "demo/descriptions.json", "demo/test", "features/demo-train", "features/demo-test")
LOOKS = (("square", COLOURS[1]), ("circle", COLOURS[0]), *zip(MARKS[2:], COLOURS[2:], strict=True))  # VE, VE + O, ...


def sweeps() -> None:
    st.subheader("One run for each τ", anchor=False)
    built, there = all((workspace.home() / name).exists() for name in NEEDED), swept()
    charting, starting = st.columns([3, 2], gap="large")
    with starting:
        if built:
            form()
        follow([job for job in jobs.jobs("tau") if job.state != "done"], "sweep-jobs")
    with charting:
        if there:
            name = one_of("Sweep", list(there), state.SWEPT, width=420)
        else:
            st.caption(
                "`cezsar tau-sweep` trains a run for each τ, and for several seeds, on any captioned videos and tests "
                "them on any data set. What it writes into a folder of the workspace's `scores` is shown here."
            )
        chart(sweep := there[name] if there else None)
    if sweep:
        shown, short = sweep.table(), f"Sentences with fewer than {sweep.about.get('negatives')} candidates at this τ."
        shown = shown.rename(columns={name: f"{name}, %" for name in sweep.modalities})
        show.table(
            shown.to_dict("records"),
            "For every τ: top-1 accuracies, sentences short of candidates, triplets and seconds",
            column_config={"short of candidates": st.column_config.TextColumn(help=short)},
        )
    if not built:
        preparation.prepare_demo("Runs are trained on the demo's videos: prepare them first")


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
    Raises `InputError` for no list of numbers in (0, 2], one given twice, or too many."""
    taus = numbers("τ", text, float)
    refuse_points(taus, [seed])
    if len(taus) > MOST_TAUS:
        raise InputError(f"{len(taus)} τ are given; give at most {MOST_TAUS}")
    head = next(folder for folder in models.run_folders() if folder.name == "demo") / "objects.safetensors"
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
    jobs.start("tau", title, [jobs.Step("sweep", given, stages)], about={"sweep": name})
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


def chart(sweep: Sweep | None) -> None:
    """Accuracy against τ: a sweep with its deviations, and the paper's curve in grey."""
    rows = sweep.accuracies() if sweep else {}
    spread = "splits" if any(each.splits is not None for found in rows.values() for each in found.values()) else "seeds"
    figure, told = go.Figure(), []
    _line(figure, "paper: VE + O, UCF-101", sorted(PAPER.items()), GREY, "diamond", "dot")
    for modality, (symbol, colour) in zip(sweep.modalities if sweep else [], LOOKS, strict=False):
        done = [(tau, found[modality]) for tau, found in rows.items() if modality in found]
        _line(figure, shown(modality), [(at, accuracy.mean) for at, accuracy in done], colour, symbol)
        said = [accuracy.percent() for _, accuracy in done]
        bars = [100 * (getattr(accuracy, spread) or 0) for _, accuracy in done]
        figure.data[-1].update(
            error_y={"array": bars, "thickness": 1.5, "width": 4}, hovertext=said,
            hovertemplate=f"{shown(modality)}, τ = %{{x:g}}: %{{hovertext}}<extra></extra>",
        )  # fmt: skip
        told += [f"{modality} {at:g}: {text} %" for (at, _), text in zip(done, said, strict=True)]
    layout(figure, 380, "τ, upper bound on the cosine distance of a hard negative", "top-1 accuracy in %")
    for tau, found in rows.items():
        if not found:
            figure.add_vline(x=tau, line={"color": GREY, "width": 1, "dash": "dot"})
            figure.add_annotation(x=tau, y=0.02, yref="paper", text="no run", showarrow=False, xanchor="left")
    figure.update_xaxes(zeroline=False)
    none = "no run has finished yet; the paper's 47.8 % at 0.7, 50.9 % at 0.8 and 48.3 % at 0.9"
    show.figure(figure, "sweep-chart", f"Top-1 accuracy against τ: {'; '.join(told) or none}")
    about = f"{plain(sweep.title())}. Bars are one standard deviation over {spread} to either side. " if sweep else ""
    st.caption(f"{about}The paper's are of UCF-101 with its 101 classes: only the shape of its curve compares.")


def _line(figure: go.Figure, name: str, found: Sequence[tuple[float, float]], colour: str, symbol: str,
          dash: str = "solid") -> None:  # fmt: skip
    figure.add_scatter(
        x=[tau for tau, _ in found], y=[100 * accuracy for _, accuracy in found], name=name,
        mode="lines+markers", line={"color": colour, "width": 2, "dash": dash},
        marker={"symbol": symbol, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
        hovertemplate=f"{name}, τ = %{{x:g}}: %{{y:.1f}} %<extra></extra>",
    )  # fmt: skip
