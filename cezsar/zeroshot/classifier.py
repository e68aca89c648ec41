"""From a video file to ranked labels: what `cezsar.load` gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from cezsar import encoders
from cezsar.arrays import FloatArray, unit_rows
from cezsar.data.datasets import named_descriptions
from cezsar.data.descriptions import load_descriptions
from cezsar.data.labels import canonical, spoken
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import RULES, Recognised, in_words, top_objects
from cezsar.errors import InputError
from cezsar.training.runs import OodDistance, Run
from cezsar.video import Decoder, Limits
from cezsar.zeroshot.embed import MOST_OBJECTS, OBJECTS, object_head, object_rows
from cezsar.zeroshot.embeddings import Embeddings
from cezsar.zeroshot.fusion import Weights, cosine, parts, rank
from cezsar.zeroshot.rejection import Rejector
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
from cezsar.zeroshot.verdict import goes_with, judge, rejector_of

Descriptions = Mapping[str, Sequence[str]]

UNFAMILIAR = 2.0  # times the distance that 99 % of training sub-clips stay under
WINDOW_S = 3  # a second is scored with its neighbours: one alone shows too little movement
STANDING = "kinetics400"  # whose classes are ranked where neither a person nor the run names any
SHOWN_OBJECTS = 5  # at most; by the rule "names" fifty of them count


@dataclass(frozen=True)
class Clip:
    """What a clip became, computed once; ranking it against other labels needs nothing more.

    Attributes:
        features_TD: one row per second of video.
        objects: those that count in O, as (name, definition, probability), most probable first.
        windows: how many stretches VE is the mean of; 1 unless the clip is longer than the model takes.
        familiarity: distance to the training clips; above `UNFAMILIAR` it looks like none of them. None if not known.
        reading: what of the file could not be read, in words, or "".
    """

    path: str
    features_TD: FloatArray
    objects: Recognised
    visual_E: FloatArray | None
    seconds_TE: FloatArray | None
    objects_E: FloatArray | None
    familiarity: float | None
    windows: int = 1
    reading: str = ""

    @property
    def seconds(self) -> int:
        return len(self.features_TD)


@dataclass(frozen=True)
class Ranking:
    """The answer for one clip.

    Attributes:
        path: the clip.
        model: the run or encoder that answered.
        labels: (name, cosine similarity in [-1, 1]), best first, as many as asked for.
        margin: similarity of the first label minus that of the second; 0 with one label.
        contributions: modality -> its part of each label's similarity, in the order of `labels`; they sum to it.
        per_second: (T, len(labels)) cosine similarity of each second's VE; None where the space has no VE.
        objects: the most probable objects, as (name, definition, probability).
        warning: why the ranking should not be trusted, or "".
        probabilities: of each label, in the order of `labels`, among all labels that were ranked; None like the next.
        none_of_these: whether the clip seems to show none of all the labels, which is a warning and no guarantee; None
            where nothing says: the run has no rejector, or other weights or a caption count than it was chosen with.
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
    warning: str
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
        familiarity: OodDistance | None = None,
        limits: Limits | None = None,
        rejector: Rejector | None = None,
    ) -> None:
        self.encoder, self.space, self.head = encoder, space, head
        self.name, self.trust, self.weights = name, trust, weights
        self.descriptions = dict(descriptions or {})
        self.familiarity, self.rejector = familiarity, rejector
        self.objects, self.object_rule, self.middle = objects, object_rule, False
        self._decoder = Decoder(limits or Limits())
        self._prototypes: dict[tuple[tuple[str, tuple[str, ...]], ...], tuple[FloatArray, npt.NDArray[np.int64]]] = {}

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
        prototypes = run.folder / "prototypes.json"
        return cls(
            encoder,
            space,
            name=run.name,
            trust=f"{run.name} was trained on {run.config.domain}, with {encoder.name} features ({encoder.domain}); "
            + (
                "trust it where objects and places give the action away"
                if run.config.model.recipe == "kernel"
                else "trust it for clips like those"
            ),
            weights=Weights(**run.config.fusion),
            head=object_head(run, encoder),
            descriptions=load_descriptions(prototypes) if prototypes.is_file() else None,
            objects=run.config.objects,
            object_rule=run.config.object_rule,
            familiarity=run.ood_distance(),
            rejector=rejector_of(run.folder),
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

    def read(self, path: str | Path) -> Clip:
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

    def embed(self, path: str, features_TD: FloatArray, reading: str = "") -> Clip:
        """A clip from features that are already there, (T, D) of this classifier's encoder.

        Args:
            reading: what of the file could not be read, in words.
        """
        seconds = [features_TD[max(0, t - WINDOW_S // 2) : t + WINDOW_S // 2 + 1] for t in range(len(features_TD))]
        objects = self._recognised([features_TD])
        visual_NE, windows = self.visual([features_TD])
        return Clip(
            path,
            features_TD,
            objects[0] if objects else [],
            None if visual_NE is None else visual_NE[0],
            self.space.clips(seconds),
            object_rows(self.space, objects, self.object_rule, self.objects)[0] if objects else None,
            None if self.familiarity is None else self.familiarity.distance(features_TD),
            windows[0],
            reading,
        )

    def rows(self, clips: Sequence[FloatArray]) -> dict[str, FloatArray]:
        """Embeddings of many clips, or windows of one, of (T_i, D) features: modality -> (N, E)."""
        visual_NE, _ = self.visual(clips)
        objects = self._recognised(clips)
        objects_NE = object_rows(self.space, objects, self.object_rule, self.objects) if objects else None
        found = {"VE": visual_NE, "O": objects_NE}
        return {modality: rows_NE for modality, rows_NE in found.items() if rows_NE is not None}

    def rank(
        self,
        clip: Clip,
        labels: Sequence[str] | Descriptions | None = None,
        *,
        top: int = 5,
        weights: Weights | None = None,
        caption: str = "",
    ) -> Ranking:
        """Rank labels for a clip that was read before: a few inner products, whatever the labels.

        Args:
            caption: C(v), a sentence about the clip; counts by γ.
        """
        names, prototypes, owner = self.prototypes(labels)
        weights = weights or self.weights
        scores = self._scores(clip, names, prototypes, owner, caption.strip())
        cosine_1C = cosine(scores, weights)
        ranked = rank(cosine_1C, names, top)[0]
        shown = np.array([names.index(name) for name, _ in ranked.labels])
        verdict = None
        if self.rejector is not None and goes_with(weights, self.weights, scores.modalities):
            verdict = judge(self.rejector, cosine_1C[0])
        return Ranking(
            clip.path,
            self.name,
            ranked.labels,
            ranked.margin,
            {modality: part_NC[0, shown].tolist() for modality, part_NC in parts(scores, weights).items()},
            self._per_second(clip, prototypes, owner, shown),
            clip.objects[:SHOWN_OBJECTS],
            self.warning(clip.familiarity),
            None if verdict is None else verdict.probabilities_C[shown].tolist(),
            None if verdict is None else verdict.none_of_these,
            "" if verdict is None else verdict.words,
            self._notes(clip),
        )

    def prototypes(
        self, labels: Sequence[str] | Descriptions | None = None
    ) -> tuple[list[str], FloatArray, npt.NDArray[np.int64]]:
        """What `rank` compares clips with: names, (P, E) prototypes, and (P,) the name's index of each."""
        return self._prototypes_of(self.described(labels))

    def described(self, labels: Sequence[str] | Descriptions | None) -> Descriptions:
        """Name -> sentences of the labels that are asked for, as `classify` takes them."""
        if labels is None:
            return self.descriptions or named_descriptions(STANDING)
        if isinstance(labels, Mapping):
            return labels
        known = {canonical(name): sentences for name, sentences in self.descriptions.items()}
        return {label: known.get(canonical(label), [spoken(label)]) for label in labels}

    def named(self, clip: Clip) -> list[tuple[str, str, float]]:
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

    def _prototypes_of(self, descriptions: Descriptions) -> tuple[list[str], FloatArray, npt.NDArray[np.int64]]:
        key = tuple((name, tuple(sentences)) for name, sentences in descriptions.items())
        if key not in self._prototypes:
            _, prototypes, owner = prototypes_of(self.space, descriptions)
            self._prototypes = {key: (prototypes, owner)}  # the last label set only
        return list(descriptions), *self._prototypes[key]

    def _scores(
        self, clip: Clip, names: list[str], prototypes: FloatArray, owner: npt.NDArray[np.int64], caption: str
    ) -> Scores:
        captions_E = rows_of(self.space, [caption])[0] if caption else None
        found = {"VE": clip.visual_E, "O": clip.objects_E, "C": captions_E}
        rows = {modality: row[None] for modality, row in found.items() if row is not None}
        return Scores.from_embeddings(Embeddings([clip.path], [""], names, rows, prototypes, owner, self.space.name))

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

    def _notes(self, clip: Clip) -> tuple[str, ...]:
        long = f"all {clip.seconds} s count, as {clip.windows} windows of at most {self.space.limit_s} s"
        return tuple(note for note in (long if clip.windows > 1 else "", clip.reading) if note)

    def _per_second(
        self, clip: Clip, prototypes: FloatArray, owner: npt.NDArray[np.int64], shown: npt.NDArray[np.int64]
    ) -> FloatArray | None:
        """(T, shown) cosine similarity of VE of the few seconds around each second; nearest of several prototypes."""
        if clip.seconds_TE is None:
            return None
        cosine_TP = unit_rows(clip.seconds_TE) @ unit_rows(prototypes).T
        return np.stack([cosine_TP[:, owner == index].max(1) for index in shown], axis=1)

    def warning(self, familiarity: float | None) -> str:
        """Why no ranking of a clip so familiar should be trusted, or ""."""
        if familiarity is None or familiarity < UNFAMILIAR:
            return ""
        card = encoders.card(encoders.FOR_REAL_VIDEO)
        return (
            f"this clip looks like nothing this run knows ({familiarity:.1f} times the usual distance): do not "
            f"trust the ranking. For real video the run photographs is there, and {card.name} ranks better "
            f"({card.size} once, `{card.command}`)"
        )
