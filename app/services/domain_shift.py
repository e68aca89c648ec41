"""Domain shift of a scored data set: which feature stores can be compared, and how far their clips are apart."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import streamlit as st

from app import cache
from app.library import holdings
from app.services import scored
from cezsar import workspace
from cezsar.analysis import gap, shift
from cezsar.errors import CezsarError, MismatchError
from cezsar.zeroshot.embed import Embedded
from cezsar.zeroshot.methods import Prepared
from cezsar.zeroshot.scored import Scored


@dataclass(frozen=True)
class Known:
    """A feature store of the workspace, told by what is in it.

    Attributes:
        fingerprint: of its content.
        encoder, encoder_fingerprint: of the model its features come from.
    """

    name: str
    folder: Path
    fingerprint: str
    videos: int
    encoder: str
    encoder_fingerprint: str


@dataclass(frozen=True)
class Sides:
    """What can be compared.

    Attributes:
        test: the store of the clips that were scored; None if it is not in the workspace.
        training: other stores of the same encoder, the one that the run was trained on first.
        own: fingerprint of that one; "" where no run says.
    """

    test: Known | None
    training: list[Known]
    own: str


def sides(item: Scored) -> Sides:
    """The feature stores of the workspace that a shift can be measured between."""
    stores = _stores()
    test = next((store for store in stores if store.fingerprint == item.about["store"]), None)
    run = item.run() if stores else None
    encoder = test.encoder_fingerprint if test else run.config.feature_encoder["fingerprint"] if run else ""
    own = str((run.record().get("triplets") or {}).get("store", "")) if run else ""
    others = [store for store in stores if store is not test and store.encoder_fingerprint == encoder]
    return Sides(test, sorted(others, key=lambda store: (store.fingerprint != own, store.name)), own)


def measured(item: Scored, test: Known, training: Known) -> dict[str, shift.Shift]:
    """Space -> the shift, "raw" and where the run is here "joint": directions only, one vector a video.

    Raises:
        CezsarError: a store is damaged, or the run's encoder of sentences is not here.
    """
    return cache.once(
        lambda: _measured(item, test, training), "shift", *_asked(item, test, training),
        words="Comparing training clips with these",
    )  # fmt: skip


def is_measured(item: Scored, test: Known, training: Known) -> bool:
    """Whether somebody has asked for it in this session."""
    return _asked(item, test, training) in st.session_state.get("shifts", ())


def ask(item: Scored, test: Known, training: Known) -> None:
    """For callbacks: measure it from now on."""
    st.session_state["shifts"] = {*st.session_state.get("shifts", ()), _asked(item, test, training)}


def _asked(item: Scored, test: Known, training: Known) -> tuple[str, str, str]:
    return item.fingerprint, test.fingerprint, training.fingerprint


def _measured(item: Scored, of_test: Known, of_training: Known) -> dict[str, shift.Shift]:
    from cezsar.data.features import FeatureStore
    from cezsar.report.study import domains_of

    train, test = FeatureStore(of_training.folder), FeatureStore(of_test.folder)
    if (train.fingerprint, test.fingerprint) != (of_training.fingerprint, of_test.fingerprint):
        raise MismatchError(f"{of_training.name} or {of_test.name} has changed meanwhile; load the page again")
    embedded = Embedded(scored.embeddings(item), [], [])
    ready = Prepared(item.method, "", embedded, scored.scores(item), item.weights, item.run(), test)
    found = {}
    for space, (training_ND, test_MD) in domains_of(train, ready, np.random.default_rng(0)).items():
        units = gap.directions(training_ND, "training clips"), gap.directions(test_MD, "test clips")
        found[space] = shift.measure(*units, np.random.default_rng(0))
    return found


def _stores() -> list[Known]:
    folders = sorted(path for path in workspace.folder("features").glob("[!.]*") if path.is_dir())
    words = "Reading feature stores"
    known = [
        cache.once(partial(_known, one), "store", str(one.absolute()), holdings.stamp(one), words=words)
        for one in folders
    ]
    return [store for store in known if store is not None]


def _known(folder: Path) -> Known | None:
    """None where it is damaged: the page Library says how."""
    from cezsar.data.features import FeatureStore

    try:
        store = FeatureStore(folder)
        encoder, fingerprint = (str(store.provenance[key]) for key in ("encoder", "fingerprint"))
        return Known(folder.name, folder, store.fingerprint, len(store), encoder, fingerprint)
    except CezsarError:
        return None
