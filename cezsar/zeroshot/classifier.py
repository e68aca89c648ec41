"""From a video file to ranked labels: what `cezsar.load` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from cezsar import encoders
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.datasets import named_descriptions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical, spoken
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import RULES, Recognised, in_words, top_objects
from cezsar.errors import InputError
from cezsar.training.runs import OodDistance, Run
from cezsar.video import Decoder
from cezsar.zeroshot.embed import MOST_OBJECTS, OBJECTS, object_head, object_rows
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, cosine, parts, rank
from cezsar.zeroshot.rejection import RejectionLimits, Rejector, goes_with
from cezsar.zeroshot.scores import Scores
from cezsar.zeroshot.spaces import (
    ImageTextSpace,
    SentenceSpace,
    Space,
    TextEncoder,
    prototypes_of,
    rows_of,
    sampled_names,
    space_of,
)

Descriptions = Mapping[str, Sequence[str]]
Prototypes = tuple[list[str], FloatArray, IntArray]

WINDOW_S = 3  # a second is scored with its neighbours: one alone shows too little movement
BLOCK = 120  # seconds whose windows are embedded at once
STANDING = "kinetics400"  # whose classes are ranked where neither a person nor the run names any
SHOWN_OBJECTS = 5  # at most; by the rule "names" fifty of them count


@dataclass(frozen=True)
class EmbeddedClip:
    """What a clip became, computed once; ranking it against other labels needs nothing more."""

    path: str
    features_TD: FloatArray  # one row per second of video
    objects: Recognised  # those that count in O, and a few more, as (name, definition, probability), best first
    visual_E: FloatArray | None  # VE; None where the space has none
    objects_E: FloatArray | None  # O, likewise
    seconds: dict[str, FloatArray]  # "VE", "O" -> (T, E) embeddings of the window around each second
    distance: float | None  # out-of-distribution distance to the training clips, 1 being usual at most; None if unknown
    windows: int = 1  # how many stretches VE is the mean of; 1 unless the clip is longer than the model takes
    reading: str = ""  # what of the file could not be read, in words


@dataclass(frozen=True)
class Ranking:
    """The answer for one clip.

    Attributes:
        path: the clip.
        model: the run or encoder that answered.
        labels: (name, cosine similarity in [-1, 1]), best first, as many as asked for.
        margin: similarity of the first label minus that of the second; 0 with one label.
        contributions: modality -> its part of each label's similarity, in the order of `labels`; they sum to it.
        per_second: (T, len(labels)) cosine similarity of the window around each second, by VE and O as they are
            weighed; None where neither counts.
        objects: the most probable objects, as (name, definition, probability).
        reasons: the limits that speak against the ranking, in words (see `rejection.RejectionLimits`).
        warning: the same in one sentence, and what may be done, or "".
        probabilities: of each label, in the order of `labels`, among all labels that were ranked; None like the next.
        none_of_these: whether the run's rejector finds that the clip shows none of all the labels, which is a warning
            and no guarantee; None where it has none, or other weights or a caption count than it was chosen with.
        judgement: what `none_of_these` rests on, in words, or "".
        notes: what else should be said: of a long clip, how it was taken; of a damaged one, what could not be read.
    """

    path: str
    model: str
    labels: list[tuple[str, float]]
    margin: float
    contributions: dict[str, list[float]]
    per_second: FloatArray | None
    objects: list[tuple[str, str, float]]
    reasons: tuple[str, ...] = ()
    warning: str = ""
    probabilities: list[float] | None = None
    none_of_these: bool | None = None
    judgement: str = ""
    notes: tuple[str, ...] = ()


class Classifier:
    """A frame encoder, a space, and the labels it ranks unless told others.

    Use `cezsar.load(run)` or `Classifier.of_encoder(name)`. Not thread-safe: one per thread.

    Attributes:
        name: of the run, or of the encoder where there is none.
        trust: one line on what it was trained on and may be trusted for.
        weights: α, β, γ of Eq. 9.
        descriptions: class name -> sentences, the default labels; Kinetics-400's are ranked where there are none.
        limits: beyond which a ranking should not be trusted.
        rejector: says "none of these" of rankings with `weights`; None if the run brings none (see `cezsar calibrate`).
        object_rule: how O is made of objects, one of `cezsar.encoders.objects.RULES`; the paper's is "sentence".
        middle: rank a clip that is longer than the model takes by its middle, the paper's rule; by all of it if False.
    """

    def __init__(
        self,
        encoder: FrameEncoder,
        space: Space,
        *,
        name: str,
        trust: str,
        weights: Weights,
        head: ObjectHead | None = None,
        descriptions: Descriptions | None = None,
        objects: int = OBJECTS,
        object_rule: str = "sentence",
        ood: OodDistance | None = None,
        rejector: Rejector | None = None,
    ) -> None:
        self.encoder, self.space, self.head = encoder, space, head
        self.name, self.trust, self.weights = name, trust, weights
        self.descriptions = dict(descriptions or {})
        self.ood, self.limits, self.rejector = ood, RejectionLimits(), rejector
        self.objects, self.object_rule, self.middle = objects, object_rule, False
        self._decoder = Decoder()
        self._prototypes: dict[tuple[tuple[str, tuple[str, ...]], ...], Prototypes] = {}

    # Where classifiers come from ---------------------------------------------------------------------------------

    @classmethod
    def of_run(cls, folder: str | Path, *, weights: str | Path | None = None, device: str | None = None) -> Classifier:
        """The full method, from a trained run.

        Args:
            folder: a run.
            weights: file or folder of the frame encoder's weights, where they are not in their usual place.

        Raises:
            FormatError: no run there, or a damaged one, or its rejector is damaged.
            MismatchError: an encoder here differs from the one the run was trained with.
            MissingWeightsError: the frame encoder's weights are not here.
        """
        run = Run.open(folder)
        encoder = encoders.create(run.config.feature_encoder["name"], weights=weights, device=device)
        run.check_feature_encoder(encoder.name, encoder.fingerprint)
        space = space_of(run, open_encoder(run.config.sentence_encoder["name"], device), device)
        prototypes, kernel = run.folder / "prototypes.json", run.config.model.recipe == "kernel"
        return cls(
            encoder,
            space,
            name=run.name,
            trust=f"{run.name} was trained on {run.config.domain}, with {encoder.name} features ({encoder.domain}); "
            "trust it " + ("where objects and places give the action away" if kernel else "for clips like those"),
            weights=Weights(**run.config.fusion),
            head=object_head(run, encoder),
            descriptions=load_descriptions(prototypes) if prototypes.is_file() else None,
            objects=run.config.objects,
            object_rule=run.config.object_rule,
            ood=run.ood_distance(),
            rejector=Rejector.of_run(run.folder),
        )

    @classmethod
    def of_encoder(
        cls,
        name: str,
        *,
        weights: str | Path | None = None,
        device: str | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Classifier:
        """Without any training: a model of pictures and words (`video:`, `open_clip:`, `clip:`), or recognised objects.

        Args:
            prompts: what a model of pictures and words has a bare label put into, each with {}; its own by default.

        Raises:
            MissingWeightsError: its weights are not here and cannot be fetched.
            InputError: the encoder neither reads text nor names objects.
        """
        encoder = encoders.create(name, weights=weights, device=device)
        if isinstance(encoder, TextEncoder):
            joined = encoder.visual_dim < encoder.dim  # objects come from a classifier of their own, and so count
            return cls(
                encoder,
                ImageTextSpace(encoder, prompts),
                name=name,
                trust=f"{encoder.name} is a frozen model of pictures and words ({encoder.domain}); {encoder.trust}",
                weights=Weights(alpha=0.8, beta=0.2) if joined else Weights(alpha=1.0, beta=0.0),
                head=encoder.object_head,
                objects=MOST_OBJECTS["names"] if joined else OBJECTS,
                object_rule="names" if joined else "sentence",
            )
        if encoder.object_head is None:
            raise InputError(
                f"encoder {name} neither reads text nor names objects, so it cannot rank labels without a run; "
                "give --run, or use a clip: or bit encoder"
            )
        sentences = open_encoder("minilm", device)
        return cls(
            encoder,
            SentenceSpace(sentences, sentences.encode(sampled_names(encoder.object_head.names)).mean(0)),
            name=name,
            trust=f"objects recognised by {encoder.name} ({encoder.domain}) against your labels, without training; "
            "trust it where objects give the action away",
            weights=Weights(alpha=0.0, beta=1.0, gamma=0.0),
            head=encoder.object_head,
            objects=MOST_OBJECTS["names"],
            object_rule="names",
        )

    # What they do ------------------------------------------------------------------------------------------------

    def classify(
        self,
        path: str | Path,
        labels: Sequence[str] | Descriptions | None = None,
        *,
        top: int = 5,
        weights: Weights | None = None,
    ) -> Ranking:
        """Decode, encode and rank one clip.

        Args:
            path: a video file.
            labels: names, or name -> descriptive sentences; by default the classifier's own, else Kinetics-400's. A
                name that the classifier has a description of is ranked by that description, another by its own words.
            top: how many labels to return.
            weights: α, β, γ; the classifier's own by default.

        Raises:
            VideoError: the file cannot be decoded.
            InputError: no labels.
        """
        return self.rank(self.read(path), labels, top=top, weights=weights)

    def read(self, path: str | Path) -> EmbeddedClip:
        """Decode and embed a clip: the slow part, needed once however often it is ranked."""
        features_TD = self.features(path)
        found = self._decoder.reading
        return self.embed(str(path), features_TD, reading="" if found is None else found.words)

    def features(self, path: str | Path, decoder: Decoder | None = None) -> FloatArray:
        """(T, D) features of a clip, one row per second; `decoder` for callers that have one of their own."""
        decoder = decoder or self._decoder
        if self.encoder.in_decoder:
            return decoder.run(path, self.encoder.sampling, self.encoder.encode)
        return self.encoder.encode(decoder.frames(path, self.encoder.sampling))

    def embed(self, path: str, features_TD: FloatArray, reading: str = "") -> EmbeddedClip:
        """A clip from features that are already there, (T, D) of this classifier's encoder.

        Args:
            reading: what of the file could not be read, in words.
        """
        objects = self._recognised([features_TD])
        visual_NE, windows = self.visual([features_TD])
        return EmbeddedClip(
            path,
            features_TD,
            objects[0] if objects else [],
            None if visual_NE is None else visual_NE[0],
            object_rows(self.space, objects, self.object_rule, self.objects)[0] if objects else None,
            self.seconds(features_TD),
            self.distance(features_TD),
            windows[0],
            reading,
        )

    def seconds(self, features_TD: FloatArray, window_s: int = WINDOW_S) -> dict[str, FloatArray]:
        """ "VE", "O" -> (T, E) embeddings of the window around each second; at the clip's ends it is shorter."""
        before, after = window_s // 2, (window_s + 1) // 2
        windows = [features_TD[max(0, t - before) : t + after] for t in range(len(features_TD))]
        blocks = [self._rows(windows[first : first + BLOCK]) for first in range(0, len(windows), BLOCK)]
        return {modality: np.concatenate([block[modality] for block in blocks]) for modality in blocks[0]}

    def distance(self, features_TD: FloatArray) -> float | None:
        """Out-of-distribution distance to the training clips; None if they are not known."""
        return None if self.ood is None else self.ood.distance(features_TD)

    def rank(
        self,
        clip: EmbeddedClip,
        labels: Sequence[str] | Descriptions | None = None,
        *,
        top: int = 5,
        weights: Weights | None = None,
        caption: str = "",
        limits: RejectionLimits | None = None,
    ) -> Ranking:
        """Rank labels for a clip that was read before: a few inner products, whatever the labels.

        Args:
            caption: C(v), a sentence about the clip; counts by γ.
            limits: beyond which the ranking is none; the classifier's own by default.
        """
        names, *_ = found = self.prototypes(labels)
        weights, limits = weights or self.weights, limits or self.limits
        captions_E = rows_of(self.space, [caption.strip()])[0] if caption.strip() else None
        rows = {"VE": clip.visual_E, "O": clip.objects_E, "C": captions_E}
        scores = self._scores([clip.path], {name: row[None] for name, row in rows.items() if row is not None}, found)
        cosine_1C = cosine(scores, weights)
        ranked = rank(cosine_1C, names, top)[0]
        shown = np.array([names.index(name) for name, _ in ranked.labels])
        unlike = limits.unlike(self.name, clip.distance)
        weak = limits.weak(*ranked.labels[0], ranked.margin if len(names) > 1 else None)
        reasons = (unlike, *weak) if unlike else tuple(weak)
        judged = None
        if self.rejector is not None and goes_with(weights, self.weights, scores.modalities):
            judged = self.rejector.judge(cosine_1C[0])
        long = f"all {len(clip.features_TD)} s count, as {clip.windows} windows of at most {self.space.limit_s} s"
        per_second_TC = None
        if any(weights.of(name) > 0 for name in clip.seconds):
            per_second_TC = self.similarities(clip.seconds, labels, weights)[1][:, shown]
        return Ranking(
            clip.path,
            self.name,
            ranked.labels,
            ranked.margin,
            {modality: part_NC[0, shown].tolist() for modality, part_NC in parts(scores, weights).items()},
            per_second_TC,
            clip.objects[:SHOWN_OBJECTS],
            reasons,
            warning_of(reasons, unlike),
            None if judged is None else judged.probabilities_C[shown].tolist(),
            None if judged is None else judged.none_of_these,
            "" if judged is None else judged.words,
            tuple(note for note in (long if clip.windows > 1 else "", clip.reading) if note),
        )

    def similarities(
        self,
        seconds: Mapping[str, FloatArray],
        labels: Sequence[str] | Descriptions | None = None,
        weights: Weights | None = None,
    ) -> tuple[list[str], FloatArray]:
        """Label names, and (T, C) cosine similarities of the windows around each second, in [-1, 1].

        Raises:
            InputError: no labels, or weights that leave nothing.
        """
        found = self.prototypes(labels)
        ids = [str(second) for second in range(len(next(iter(seconds.values()))))]
        return found[0], cosine(self._scores(ids, seconds, found), weights or self.weights)

    def prototypes(self, labels: Sequence[str] | Descriptions | None = None) -> Prototypes:
        """What `rank` compares clips with: names, (P, E) prototypes, and (P,) the name's index of each."""
        descriptions = self.described(labels)
        key = tuple((name, tuple(sentences)) for name, sentences in descriptions.items())
        if key not in self._prototypes:
            self._prototypes = {key: prototypes_of(self.space, descriptions)}  # the last label set only
        return self._prototypes[key]

    def described(self, labels: Sequence[str] | Descriptions | None) -> Descriptions:
        """Name -> sentences of the labels that are asked for, as `classify` takes them."""
        if labels is None:
            return self.descriptions or named_descriptions(STANDING)
        if isinstance(labels, Mapping):
            return labels
        known = {canonical(name): sentences for name, sentences in self.descriptions.items()}
        return {label: known.get(canonical(label), [spoken(label)]) for label in labels}

    def named(self, clip: EmbeddedClip) -> list[tuple[str, str, float]]:
        """Those of a clip's recognised objects that count in O."""
        return clip.objects[: self.objects]

    def use_objects(self, rule: str) -> None:
        """Make O of the objects by another of `cezsar.encoders.objects.RULES`, with as many objects as it is made for.

        Raises:
            InputError: there is no such rule.
        """
        if rule not in RULES:
            raise InputError(f"object rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
        if rule != self.object_rule:
            self.object_rule, self.objects = rule, MOST_OBJECTS.get(rule, OBJECTS)
            self.rejector = None  # it was chosen with the other rule

    def close(self) -> None:
        """End the decoder's worker process."""
        self._decoder.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How -----------------------------------------------------------------------------------------------------------

    def _scores(self, ids: list[str], rows: Mapping[str, FloatArray], prototypes: Prototypes) -> Scores:
        names, rows_PE, owner = prototypes
        embedded = Embeddings(ids, [""] * len(ids), names, dict(rows), rows_PE, owner, self.space.name)
        return Scores.from_embeddings(embedded)

    def _rows(self, clips: Sequence[FloatArray]) -> dict[str, FloatArray]:
        """Embeddings of many clips, or windows of one, of (T_i, D) features: modality -> (N, E)."""
        visual_NE, _ = self.visual(clips)
        objects = self._recognised(clips)
        objects_NE = object_rows(self.space, objects, self.object_rule, self.objects) if objects else None
        found = {"VE": visual_NE, "O": objects_NE}
        return {modality: rows_NE for modality, rows_NE in found.items() if rows_NE is not None}

    def visual(self, clips: Sequence[FloatArray]) -> tuple[FloatArray | None, list[int]]:
        """(N, E) VE, and of how many equal windows each is the mean: one, unless it is longer than the model takes."""
        limit_s = None if self.middle else self.space.limit_s
        windows = [
            [clip_TD] if limit_s is None else np.array_split(clip_TD, -(-len(clip_TD) // limit_s)) for clip_TD in clips
        ]
        counts = [len(parts) for parts in windows]
        embedded = self.space.clips([part for parts in windows for part in parts])
        if embedded is None or max(counts, default=1) == 1:
            return embedded, counts
        lengths = np.array([len(part) for parts in windows for part in parts], np.float32)
        first = np.cumsum([0, *counts[:-1]])
        summed = np.add.reduceat(embedded * lengths[:, None], first)
        return (summed / np.add.reduceat(lengths, first)[:, None]).astype(np.float32), counts

    def _recognised(self, clips: Sequence[FloatArray]) -> list[Recognised]:
        """Objects of each clip, more than count in O where few do; nothing where none are recognised."""
        if self.head is None:
            return []
        logits_TK = self.head.logits(np.concatenate(clips))  # of all at once: many small products are slow
        most, ends = max(OBJECTS, self.objects), np.cumsum([len(clip_TD) for clip_TD in clips])[:-1]
        clips_TK = np.split(logits_TK, ends)
        return [in_words(self.head, *top_objects(clip_TK, most, self.object_rule)) for clip_TK in clips_TK]


def warning_of(reasons: Sequence[str], unlike: str) -> str:
    """What to say of a clip that is rejected for these reasons; where it is unlike training, with the next step."""
    if not reasons:
        return ""
    card = encoders.card(encoders.FOR_REAL_VIDEO)
    advice = (
        f"; do not trust the ranking. For real video the run photographs is there, and {card.name} ranks better "
        f"({card.size} once, `{card.command}`)"
    )
    return "none of these: " + "; ".join(reasons) + (advice if unlike else "")
