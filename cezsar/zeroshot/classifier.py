"""From a video file to ranked labels: what `cezsar.load` gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cezsar import encoders
from cezsar.arrays import FloatArray, IntArray
from cezsar.data.datasets import named_descriptions
from cezsar.data.descriptions import described
from cezsar.data.documents import printable
from cezsar.data.labels import parse_labels
from cezsar.data.sentence_cache import open_encoder
from cezsar.encoders.base import FrameEncoder, ObjectHead
from cezsar.encoders.objects import RULES, Recognised, in_words, top_objects
from cezsar.errors import InputError, VideoError
from cezsar.formats import digest
from cezsar.training.runs import OodDistance, Run
from cezsar.video import Decoder
from cezsar.zeroshot import spaces
from cezsar.zeroshot.examples import ACROSS_GAP, Example, KeptLabels, Label, prototypes_with, read_labels
from cezsar.zeroshot.fusion import Weights, cosine, parts, rank
from cezsar.zeroshot.rejection import RejectionLimits, Rejector, goes_with
from cezsar.zeroshot.scores import Embeddings, Scores
from cezsar.zeroshot.spaces import OBJECTS, Descriptions, Space, rows_of

Labels = Sequence[str] | Mapping[str, Sequence[str] | Label] | None
"""Names, or name -> descriptive sentences, or a `Label` that has examples, too; by default the classifier's own, else
Kinetics-400's. A name that the classifier has a description of is ranked by that description, another by its own
words."""
Prototypes = tuple[list[str], FloatArray, IntArray]

WINDOW_S = 3  # a second is scored with its neighbours: one alone shows too little movement
BLOCK = 120  # seconds whose windows are embedded at once
STANDING = "kinetics400"  # whose classes are ranked where neither a person nor the run names any
SAMPLED = 1000  # names of a vocabulary that tell its mean vector
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
    """The answer for one clip."""

    path: str
    model: str  # the run or encoder that answered
    labels: list[tuple[str, float]]  # (name, cosine similarity in [-1, 1]), best first, as many as asked for
    margin: float  # similarity of the first label minus that of the second; 0 with one label
    contributions: dict[str, list[float]]  # modality -> its part of each label's similarity; they sum to it
    per_second: FloatArray | None  # (T, len(labels)) of the window around each second, by VE and O; None without these
    objects: list[tuple[str, str, float]]  # the most probable ones: (name, definition, probability)
    reasons: tuple[str, ...] = ()  # limits that speak against the ranking, in words (see `rejection.RejectionLimits`)
    warning: str = ""  # the same in one sentence, and what may be done, or ""
    # What the run's rejector says: of each of `labels` its probability among all labels that were ranked, whether the
    # clip shows none of all these, which is a warning and no guarantee, and what that rests on. None and "" where the
    # run has none, or other weights or a caption count than it was chosen with.
    probabilities: list[float] | None = None
    none_of_these: bool | None = None
    judgement: str = ""
    notes: tuple[str, ...] = ()  # of a long clip, how it was taken; of a damaged one, what could not be read


class Classifier:
    """A frame encoder, a space, and the labels it ranks unless told others: `cezsar.load(run)` or `of_encoder(name)`.
    Not thread-safe, but for `features` by a decoder of the thread's own."""

    def __init__(
        self, encoder: FrameEncoder, space: Space, *, name: str, trust: str, weights: Weights,
        head: ObjectHead | None = None, descriptions: Descriptions | None = None, objects: int = OBJECTS,
        object_rule: str = "sentence", ood: OodDistance | None = None, rejector: Rejector | None = None,
        run: Run | None = None,
    ) -> None:  # fmt: skip
        self.run = run
        self.encoder, self.space, self.head, self.ood = encoder, space, head, ood
        self.name, self.trust = name, trust  # of the run, else of the encoder; one line on what it may be trusted for
        self.weights, self.rejector = weights, rejector  # α, β, γ of Eq. 9; says "none of these" of rankings with them
        self.descriptions = dict(descriptions or {})  # the default labels; Kinetics-400's are ranked without any
        self.objects, self.object_rule = objects, object_rule  # how O is made, by one of `encoders.objects.RULES`
        self.limits = RejectionLimits()
        self.middle = False  # rank a clip that is longer than the model takes by its middle, the paper's rule
        self._decoder = Decoder()
        self._told: dict[tuple[str, tuple[str, ...]], FloatArray] = {}  # (P, E) of the last labels, by their sentences
        self._examples: dict[tuple[str | int, ...], Example] = {}  # by path, size and time, and how they were embedded

    @classmethod
    def of_run(cls, folder: str | Path, *, weights: str | Path | None = None, device: str | None = None) -> Classifier:
        """The full method, from a trained run; `weights` of the frame encoder, where they are not in their usual place.
        Raises `FormatError` without a sound run, `MismatchError` for another encoder here, `MissingWeightsError`."""
        run = Run.open(folder)
        config = run.config
        encoder = encoders.create(config.feature_encoder["name"], weights=weights, device=device)
        run.check_feature_encoder(encoder.name, encoder.fingerprint)
        space = spaces.space_of(run, open_encoder(config.sentence_encoder["name"], device), device)
        kernel = config.model.recipe == "kernel"
        trust = (
            f"{run.name} was trained on {config.domain}, with {encoder.name} features ({encoder.domain}); trust it "
            + ("where objects and places give the action away" if kernel else "for clips like those")
        )
        return cls(
            encoder, space, name=run.name, trust=trust, weights=Weights(**config.fusion),
            head=spaces.object_head(run, encoder), descriptions=run.descriptions(), objects=config.objects,
            object_rule=config.object_rule, ood=run.ood_distance(),
            rejector=Rejector.of_run(run.folder), run=run,
        )  # fmt: skip

    @classmethod
    def of_encoder(
        cls, name: str, *, weights: str | Path | None = None, device: str | None = None,
        prompts: Sequence[str] | None = None,
    ) -> Classifier:  # fmt: skip
        """Without any training: a model of pictures and words (`video:`, `open_clip:`, `clip:`), whose `prompts` have
        {} for a bare label, or recognised objects. Raises `MissingWeightsError`, or `InputError` where it can do
        neither."""
        encoder = encoders.create(name, weights=weights, device=device)
        head = encoder.object_head
        if isinstance(encoder, spaces.TextEncoder):
            trust = f"{encoder.name} is a frozen model of pictures and words ({encoder.domain}); {encoder.trust}"
            space: Space = spaces.ImageTextSpace(encoder, prompts)
            by_name, fusion = False, Weights.only("VE")
        elif head is None:
            raise InputError(
                f"encoder {name} neither reads text nor names objects, so it cannot rank labels without a run; "
                "give --run, or use a clip: or bit encoder"
            )
        else:
            by_name, sentences = True, open_encoder("minilm", device)
            trust = (
                f"objects recognised by {encoder.name} ({encoder.domain}) against your labels, without training; "
                "trust it where objects give the action away"
            )
            some = list(head.names[:: -(-len(head.names) // SAMPLED)])
            space, fusion = spaces.SentenceSpace(sentences, sentences.encode(some).mean(0)), Weights.only("O")
        count, rule = (spaces.MOST_OBJECTS["names"], "names") if by_name else (OBJECTS, "sentence")
        return cls(encoder, space, name=name, trust=trust, weights=fusion, head=head, objects=count, object_rule=rule)

    def classify(self, path: str | Path, labels: Labels = None, *, top: int = 5,
                 weights: Weights | None = None) -> Ranking:  # fmt: skip
        """`rank` of a clip that is read first. Raises `VideoError` where it cannot, `InputError` without labels."""
        return self.rank(self.read(path), labels, top=top, weights=weights)

    def read(self, path: str | Path, decoder: Decoder | None = None) -> EmbeddedClip:
        """Decode and embed a clip: the slow part, needed once however often. `decoder` as of `features`."""
        decoder = decoder or self._decoder
        features_TD, found = self.features(path, decoder), decoder.reading
        return self.embed(str(path), features_TD, "" if found is None else found.words)

    def features(self, path: str | Path, decoder: Decoder | None = None) -> FloatArray:
        """(T, D) features of a clip, one row per second; `decoder` for callers that have one of their own."""
        decoder = decoder or self._decoder
        if self.encoder.in_decoder:
            return decoder.run(path, self.encoder.sampling, self.encoder.encode)
        return self.encoder.encode(decoder.frames(path, self.encoder.sampling))

    def embed(self, path: str, features_TD: FloatArray, reading: str = "") -> EmbeddedClip:
        """A clip from (T, D) features of this classifier's encoder; `reading`: what of the file could not be read."""
        rows, objects, windows = self._rows([features_TD])
        visual_E, objects_E = (rows[name][0] if name in rows else None for name in ("VE", "O"))
        seconds, distance = self.seconds(features_TD), self.distance(features_TD)
        return EmbeddedClip(path, features_TD, objects[0], visual_E, objects_E, seconds, distance, windows[0], reading)

    def seconds(self, features_TD: FloatArray, window_s: int = WINDOW_S) -> dict[str, FloatArray]:
        """ "VE", "O" -> (T, E) embeddings of the window around each second; at the clip's ends it is shorter."""
        before, after = window_s // 2, (window_s + 1) // 2
        windows = [features_TD[max(0, t - before) : t + after] for t in range(len(features_TD))]
        blocks = [self._rows(windows[first : first + BLOCK])[0] for first in range(0, len(windows), BLOCK)]
        return {modality: np.concatenate([block[modality] for block in blocks]) for modality in blocks[0]}

    def distance(self, features_TD: FloatArray) -> float | None:
        """Out-of-distribution distance to the training clips; None if they are not known."""
        return None if self.ood is None else self.ood.distance(features_TD)

    def rank(
        self, clip: EmbeddedClip, labels: Labels = None, *, top: int = 5, weights: Weights | None = None,
        caption: str = "", limits: RejectionLimits | None = None,
    ) -> Ranking:  # fmt: skip
        """Rank labels for a clip that was read before; `caption` is C(v), a sentence about it, which counts by γ."""
        weights, limits = weights or self.weights, limits or self.limits
        names, *_ = found = self.prototypes(labels, weights)
        by_example = self.by_example(labels)
        rows = {"VE": clip.visual_E, "O": clip.objects_E}
        if caption.strip():
            rows["C"] = rows_of(self.space, [caption.strip()])[0]
        scores = self._scores([clip.path], {name: row[None] for name, row in rows.items() if row is not None}, found)
        cosine_C = cosine(scores, weights)[0]
        best, margin = rank(cosine_C, names, top)
        first = np.array([names.index(name) for name, _ in best])
        per_second_TC = None
        if any(weights.of(name) > 0 for name in clip.seconds):
            per_second_TC = self.similarities(clip.seconds, labels, weights)[1][:, first]
        unlike = limits.unlike(self.name, clip.distance)
        weak = limits.weak(*best[0], margin if len(names) > 1 else None)
        reasons = (unlike, *weak) if unlike else tuple(weak)
        chances, none_of_these, judgement = None, None, ""
        if self.rejector is not None and not by_example and goes_with(weights, self.weights, scores.modalities):
            chances_C, none_of_these, judgement = self.rejector.judge(cosine_C)
            chances = chances_C[first].tolist()
        long = f"all {len(clip.features_TD)} s count, as {clip.windows} windows of at most {self.space.limit_s} s"
        return Ranking(
            clip.path, self.name, best, margin,
            {modality: part_NC[0, first].tolist() for modality, part_NC in parts(scores, weights).items()},
            per_second_TC, clip.objects[:SHOWN_OBJECTS], reasons, warning_of(reasons, unlike),
            chances, none_of_these, judgement,
            tuple(filter(None, (long if clip.windows > 1 else "", clip.reading, by_example))),
        )  # fmt: skip

    def similarities(
        self, seconds: Mapping[str, FloatArray], labels: Labels = None, weights: Weights | None = None
    ) -> tuple[list[str], FloatArray]:
        """Label names, and (T, C) cosine similarities of the windows around each second, in [-1, 1]."""
        found = self.prototypes(labels, weights)
        ids = [str(second) for second in range(len(next(iter(seconds.values()))))]
        return found[0], cosine(self._scores(ids, seconds, found), weights or self.weights)

    def prototypes(self, labels: Labels = None, weights: Weights | None = None) -> Prototypes:
        """What `rank` compares clips with: names, (P, E) prototypes, and (P,) the name's index of each. Examples of
        labels have part in them as `weights` say, by default the classifier's. Labels of the last set are not embedded
        again, where their sentences stay."""
        described, shown = self.described(labels), self._shown(labels)
        told = {name: tuple(sentences) for name, sentences in described.items() if sentences}
        if bare := [name for name in described if name not in told and name not in shown]:
            raise InputError(f"label {bare[0]!r} has neither a sentence nor an example that counts; give it one")
        new = {name: sentences for name, sentences in told.items() if (name, sentences) not in self._told}
        if new or not (told or shown):
            _, rows_PE, owner_P = spaces.prototypes_of(self.space, new)
            self._told |= {each: rows_PE[owner_P == index] for index, each in enumerate(new.items())}
        self._told = {each: self._told[each] for each in told.items()}
        if len(shown) == 1 and self._gap:
            if len(told) < len(described):
                raise InputError(
                    f"label {next(iter(shown))!r} has examples alone, and to compare {self.name} needs two labels with "
                    "some; give it a sentence, or show another label, too"
                )
            shown = {}
        if shown and self._gap and len(told) == 1 and (alone := next(iter(told))) not in shown:
            raise InputError(
                f"label {alone!r} alone has sentences, and to compare {self.name} needs two labels with some; give it "
                "examples, or another label sentences"
            )
        rows = {name: rows_PE for (name, _), rows_PE in self._told.items()}
        if shown:
            names = list(described)
            return names, *prototypes_with(names, rows, shown, weights or self.weights, self._gap)
        owner_P = np.repeat(np.arange(len(rows)), list(map(len, rows.values())))
        return list(rows), np.concatenate([*rows.values()]), owner_P

    def described(self, labels: Labels) -> dict[str, Sequence[str]]:
        """Name -> sentences of the labels that are asked for, as `classify` takes them; examples left out."""
        if labels is None:
            return dict(self.descriptions or named_descriptions(STANDING))
        if isinstance(labels, Mapping):
            return {
                name: told.sentences if isinstance(told, Label) else [told] if isinstance(told, str) else told
                for name, told in labels.items()
            }
        return described(parse_labels(labels).names if isinstance(labels, str) else labels, self.descriptions)

    def example(self, path: str | Path, clip: EmbeddedClip | None = None) -> Example:
        """A film or picture that shows a label, as this classifier embeds it; `clip`, if it was read before. Raises
        `VideoError` where it cannot be read."""
        try:
            if not Path(path).is_file():
                raise VideoError(f"{printable(str(path))} is no file; check the path of the example")
            stat = Path(path).stat()
            key = (str(Path(path).resolve()), stat.st_size, stat.st_mtime_ns, self.object_rule, self.middle)
            if key not in self._examples:
                with Path(path).open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
                self._examples[key] = example_of(clip or self.read(path), Path(path).name, content)
        except (OSError, ValueError) as error:  # the latter for a name that no file can have
            raise VideoError(f"{printable(str(path))} cannot be read: {error}; check the path") from error
        return self._examples[key]

    def shown(self, labels: Labels) -> dict[str, Label]:
        """The same labels, whose examples are embedded: each file is read once. Raises `VideoError`, `InputError`."""
        given = labels if isinstance(labels, Mapping) else {}
        whole = {name: told if isinstance(told, Label) else Label(told) for name, told in given.items()}
        whole = whole or {name: Label(told) for name, told in self.described(labels).items()}
        return {name: replace(label, examples=self._examples_of(name, label)) for name, label in whole.items()}

    def _examples_of(self, name: str, label: Label) -> list[Example]:
        """The examples of a label, embedded, each content once."""
        try:
            found = [each if isinstance(each, Example) else self.example(each) for each in label.examples]
        except VideoError as error:
            raise InputError(f"an example of label {name!r} cannot be used: {error}") from error
        return list({each.content: each for each in found}.values())

    def by_example(self, labels: Labels) -> str:
        """What should be said of labels that are shown by examples; "" where none is."""
        shown = self._shown(labels)
        if not shown or not isinstance(labels, Mapping):
            return ""
        if len(shown) == 1 and self._gap:
            return (
                f"the examples of {next(iter(shown))!r} do not count: this model compares those of two or more labels"
            )
        are = "is" if len(shown) == 1 else "are"
        return f"{len(shown)} of {len(labels)} labels {are} shown by examples: not zero-shot"

    def _shown(self, labels: Labels) -> dict[str, Label]:
        """Those that have examples and count them."""
        given = labels if isinstance(labels, Mapping) else {}
        some = {name: told for name, told in given.items() if isinstance(told, Label) and told.examples}
        return {name: label for name, label in self.shown(some).items() if label.share != 0} if some else {}

    def label_set(self, labels: Labels) -> KeptLabels:
        """Labels as they can be kept, and given to others: with embedded examples, without films."""
        return KeptLabels(self.shown(labels), self.name, self.fingerprint)

    def labels_of(self, source: str | Path | KeptLabels) -> dict[str, Label]:
        """A label set that was kept, or whatever `read_labels` reads. Raises `MismatchError` for one that another model
        was shown."""
        if not isinstance(source, KeptLabels) and Path(source).suffix.lower() != ".safetensors":
            return read_labels(source)
        kept = source if isinstance(source, KeptLabels) else KeptLabels.load(source)
        kept.check(self.name, self.fingerprint)
        return dict(kept.labels)

    @property
    def _gap(self) -> bool:
        return self.space.name in ACROSS_GAP

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that embeddings of examples depend on."""
        by = self.run.fingerprint if self.run else self.name
        return digest([by, self.encoder.fingerprint, self.object_rule, self.objects, self.middle])

    def named(self, clip: EmbeddedClip) -> list[tuple[str, str, float]]:
        """Those of a clip's recognised objects that count in O."""
        return clip.objects[: self.objects]

    def use_objects(self, rule: str) -> None:
        """Make O of the objects by another of `cezsar.encoders.objects.RULES`, of as many objects as it is made for."""
        if rule not in RULES:
            raise InputError(f"object rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
        if rule != self.object_rule:
            self.object_rule, self.objects = rule, spaces.MOST_OBJECTS.get(rule, OBJECTS)
            self.rejector = None  # it was chosen with the other rule

    def close(self) -> None:
        """End the decoder's worker process."""
        self._decoder.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _scores(self, ids: list[str], rows: Mapping[str, FloatArray], prototypes: Prototypes) -> Scores:
        names, rows_PE, owner = prototypes
        return Scores.from_embeddings(Embeddings(ids, [""] * len(ids), names, dict(rows), rows_PE, owner))

    def _rows(self, clips: Sequence[FloatArray]) -> tuple[dict[str, FloatArray], list[Recognised], list[int]]:
        """Of N clips, or windows of one, of (T_i, D) features: modality -> (N, E), objects, windows that VE is of."""
        rows: dict[str, FloatArray] = {}
        visual_NE, windows = self.visual(clips)
        if visual_NE is not None:
            rows["VE"] = visual_NE
        if self.head is None:
            return rows, [[] for _ in clips], windows
        logits_TK = self.head.logits(np.concatenate(clips))  # of all at once: many small products are slow
        most, ends = max(OBJECTS, self.objects), np.cumsum([len(clip_TD) for clip_TD in clips])[:-1]
        tops = [top_objects(clip_TK, most, self.object_rule) for clip_TK in np.split(logits_TK, ends)]
        objects = [in_words(self.head, *top) for top in tops]
        return rows | {"O": spaces.object_rows(self.space, objects, self.object_rule, self.objects)}, objects, windows

    def visual(self, clips: Sequence[FloatArray]) -> tuple[FloatArray | None, list[int]]:
        """(N, E) VE, and of how many equal windows each is the mean: one, unless it is longer than the model takes."""
        limit_s = None if self.middle else self.space.limit_s
        counts = [1 if limit_s is None else -(-len(clip_TD) // limit_s) for clip_TD in clips]
        windows = [part for clip_TD, n in zip(clips, counts, strict=True) for part in np.array_split(clip_TD, n)]
        embedded = self.space.clips(windows)
        if embedded is None or max(counts, default=1) == 1:
            return embedded, counts
        lengths, first = np.array([len(part) for part in windows], np.float32), np.cumsum([0, *counts[:-1]])
        summed = np.add.reduceat(embedded * lengths[:, None], first)
        return (summed / np.add.reduceat(lengths, first)[:, None]).astype(np.float32), counts


def example_of(clip: EmbeddedClip, name: str, content: str) -> Example:
    """What is kept of a clip that shows a label; `content` is the SHA-256 (hex) of its file. Raises `VideoError` where
    nothing is seen in it."""
    rows = {kind: row for kind, row in (("VE", clip.visual_E), ("O", clip.objects_E)) if row is not None}
    if not any(row.any() for row in rows.values()):
        raise VideoError(f"{name} shows nothing that this model sees; take another example")
    return Example(name, content, rows)


def warning_of(reasons: Sequence[str], unlike: str) -> str:
    """What to say of a clip that is rejected for these reasons; where it is unlike training, with the next step."""
    if not reasons:
        return ""
    card = encoders.card(encoders.FOR_REAL_VIDEO)
    advice = (
        f"; do not trust the ranking. For real video the run photographs is there, and {card.name} ranks better "
        f"({card.size} once, `cezsar fetch {card.name}`)"
    )
    return "none of these: " + "; ".join(reasons) + (advice if unlike else "")
