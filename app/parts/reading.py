"""Films as models read them: each once for its content and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.parts import clips
from app.parts.clips import ClipFile
from app.parts.models import Model, engine
from cezsar.errors import VideoError

if TYPE_CHECKING:
    from cezsar.video import VideoInfo
    from cezsar.zeroshot.classifier import EmbeddedClip

FAILED = "clips that failed"  # in the session, until `try_again`: to fail anew at each click may take minutes


def look_at(model: Model, clip: ClipFile) -> tuple[EmbeddedClip, VideoInfo]:
    """The clip as the model reads it, and what its file says about itself."""
    key = (clip.digest, model.key, model.fingerprint)

    def made() -> tuple[EmbeddedClip, VideoInfo]:
        loaded = engine(model)
        with clips.opened(clip) as (path, decoder):
            info = decoder.probe(path)
            features = loaded.classifier.features(path, decoder)  # by what many may use at once
            reading = decoder.reading.words if decoder.reading else ""
        with loaded.lock:
            return loaded.classifier.embed(clip.name, features, reading), info

    failed: dict[tuple[str, ...], str] = st.session_state.setdefault(FAILED, {})
    if key in failed:
        raise VideoError(failed[key])
    try:
        return clips.once(made, clip, "clip", model.key, model.fingerprint)
    except VideoError as error:
        failed[key] = str(error)
        raise


def try_again() -> None:
    """For callbacks: read the clips that failed anew. The machine may have been busy, or the decoder been ended."""
    st.session_state.pop(FAILED, None)


def read(model: Model, clip: ClipFile) -> EmbeddedClip:
    """Decode and embed a clip. Raises `VideoError`: it cannot be decoded; `CezsarError`: the model cannot be used."""
    return look_at(model, clip)[0]
