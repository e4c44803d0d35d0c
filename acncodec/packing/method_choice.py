"""Choice of the method by which each content is kept: under a model, as WebP, as raw samples, or as its file.

Pictures of one layout and size are one kind. A sample of each kind is priced exactly under every candidate; where all agree
the kind follows its sample, and where not every picture of it is priced by itself.
"""

import lzma
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch

from acncodec.archive.classes import METHOD_CODED, METHOD_FILE, METHOD_RAW, METHOD_WEBP, Class
from acncodec.archive.store import pack_blob
from acncodec.images.picture import Picture, expand, layout
from acncodec.images.raster import Layout
from acncodec.images.strips import raw_bytes
from acncodec.images.tiles import MAX_WHOLE
from acncodec.images.webp import pack_webp
from acncodec.nets.model import Model
from acncodec.packing.collection import Collection
from acncodec.packing.model_choice import Coding, PictureVariants, best_coding, copied_from

SAMPLE = 32  # pictures of a kind that are priced first
OTHERS = 480  # at most, from which these may be copied in models that look for copies,
OTHER_PIXELS = 1 << 18  # and pixels of kinds before
BATCH = 256  # pictures that are priced at a time
PIXELS_AT_ONCE = 1 << 24  # samples priced at a time, where pictures are large
RUN_BYTES = 1 << 20  # raw samples of a kind on which a general compressor is tried
RAW_HOPE = 1.3  # how much smaller a whole set may be than a run suggests, since it shares more
RAW_SURE = 0.8  # a run's raw size by its best prices, below which all are taken to be smallest raw
RAW_MAX = 1 << 28  # raw samples that are compressed in one piece
WEBP_NEAR = 1.03  # a large picture's WebP draft by other prices, above which no thorough one is made
FILES_MAX = 1 << 26  # bytes of files that are compressed in one piece, instead of what was chosen
FILES_HOPE = 1.3  # by how much a fast compressor may miss what a thorough one reaches
FILES_GAIN = 0.99  # of the archive: a small gain is not worth that `acncodec.open` finds no modelled images


@dataclass(frozen=True, eq=False)
class Choice:
    """How one content is kept: its class, and the samples uint8 [H, W, C] that are coded or raw, or WebP or strips.

    A file as it is has neither.
    """

    content_class: Class
    samples: np.ndarray | None = None
    data: bytes | None = None


FILE = Choice(Class(METHOD_FILE, 0, 0, b"", ()))


@dataclass(eq=False)
class _Priced(PictureVariants):
    """A picture with its best choice so far and that one's price in bits; `webp` is None until it is tried."""

    file_bits: float
    best: Choice = FILE
    bits: float = 0.0
    webp: Future[bytes | None] | None = None

    def begin(self) -> None:
        self.best, self.bits = FILE, self.file_bits

    def offer(self, choice: Choice, bits: float) -> None:
        if bits < self.bits:
            self.best, self.bits = choice, bits


Kind = list[_Priced]


class MethodChoice:
    """Prices of contents, given as (file size in bytes, picture or None), under any models.

    What does not depend on models is computed once.
    """

    def __init__(self, contents: Sequence[tuple[int, Picture | None]]) -> None:
        self.count = len(contents)
        pictures = {i: (size, picture) for i, (size, picture) in enumerate(contents) if picture is not None}
        self._priced = {i: _Priced(picture, expand(picture), 8.0 * size) for i, (size, picture) in pictures.items()}
        kinds: dict[tuple[int, ...], Kind] = {}
        for each in self._priced.values():
            kinds.setdefault(each.kind, []).append(each)
        self._kinds = list(kinds.values())
        self._packed: dict[tuple[int, ...], int] = {}  # bytes of raw samples under LZMA, by the pictures themselves

    def choose(self, models: list[Model], advance: Callable[[int], None]) -> tuple[list[Choice], float]:
        """A choice for each content, and what all pictures cost, in bits.

        `advance` is called with the number of contents done.
        """
        advance(self.count - len(self._priced))
        forms: set[bytes] = set()
        left: list[tuple[Kind, Coding | None]] = []  # of kinds that are better raw, by all that their samples tell
        with _WebpEncoder() as webps:
            samples, seen = [], _Seen(models)
            for kind in self._kinds:
                sample = _sample(kind)
                coding, coded = best_coding(sample, models, seen.others(kind, sample)) or (None, None)
                webps.begin(sample, coded)
                samples.append((sample, coding, coded))
                seen.add(kind)
                advance(len(sample))
            seen = _Seen(models)
            for kind, (sample, coding, coded) in zip(self._kinds, samples, strict=True):
                _offer(sample, coding, coded, forms)
                rest, coding = _follow_sample(kind, sample, coding)
                seen.add(kind)
                if rest and self._raw_share(kind) < RAW_SURE:
                    left.append((rest, coding))
                else:
                    _price(rest, coding, forms, seen, webps)
                advance(len(kind) - len(sample))
            hopeful = [each for kind in self._kinds if self._raw_share(kind) < RAW_HOPE for each in kind]
            saved = self._raw_if_smaller(hopeful)
            if left and not saved:
                for rest, coding in left:
                    _price(rest, coding, forms, seen, webps)
                saved = self._raw_if_smaller(hopeful)
        bits = sum(each.bits for each in self._priced.values()) - saved
        return [self._priced[i].best if i in self._priced else FILE for i in range(self.count)], bits

    def prices(self) -> list[float]:
        """What each content costs by the last choice, in bits; 0 for what is no picture."""
        return [self._priced[i].bits if i in self._priced else 0.0 for i in range(self.count)]

    def elements_by_model(self, models: list[Model], limit: int) -> dict[int, list[np.ndarray]]:
        """What each model would code if no other codec were smaller: by its index uint8 [N, H, W, colours], a size each.

        Of every kind of pictures so many that all have at most `limit` samples together, spread evenly.
        """
        total = sum(each.picture.samples.size for each in self._priced.values())
        stride = max(1, -(-total // limit))
        found: dict[tuple[int, int, int], list[np.ndarray]] = {}
        for kind in self._kinds:
            best = best_coding(_sample(kind), models)
            for each in kind[::stride]:
                for model, element in best[0].elements(each) if best else ():
                    found.setdefault((model, *element.shape[:2]), []).append(element)
        by_model: dict[int, list[np.ndarray]] = {}
        for (model, _, _), group in found.items():
            by_model.setdefault(model, []).append(np.stack(group))
        return by_model

    def _raw_share(self, kind: Kind) -> float:
        """Size of a run of the kind's raw samples under LZMA, relative to the best prices so far."""
        length = max(1, RUN_BYTES // len(_raw(kind[0].picture)))
        start = max(0, len(kind) - length) // 2
        run = kind[start : start + length]
        return 8 * self._raw_bytes(run) / max(1.0, sum(each.bits for each in run))

    def _raw_if_smaller(self, hopeful: Kind) -> float:
        """Keep all samples raw in one piece, compressed together, if that is smaller; returns by how many bits."""
        if not hopeful or sum(each.picture.samples.size for each in hopeful) > RAW_MAX:
            return 0.0
        forms: set[bytes] = set()
        bits = 8 * self._raw_bytes(hopeful) + sum(_form_bits(each.picture.form, forms) for each in hopeful)
        before = sum(each.bits for each in hopeful)
        if bits >= before:
            return 0.0
        for each in hopeful:
            height, width, _ = each.picture.samples.shape
            raw = Class(METHOD_RAW, height, width, each.picture.form, ())
            samples, kept = each.picture.samples, _raw(each.picture)
            each.best = Choice(raw, samples) if len(kept) == samples.size else Choice(raw, data=kept)
        return before - bits

    def _raw_bytes(self, run: Kind) -> int:
        key = tuple(map(id, run))  # which live as long as this
        if key not in self._packed:
            self._packed[key] = len(pack_blob(b"".join(_raw(each.picture) for each in run)))
        return self._packed[key]


def smaller_as_files(found: Collection, choices: list[Choice], size: int) -> bool:
    """Whether all files as they are, compressed together, take less than `size`, the bytes of what was chosen.

    Tried only where some files are kept as they are, which may share more than pixels with the files of pictures.
    """
    kept = sum(choice.content_class.method == METHOD_FILE for choice in choices)
    if not 0 < kept < len(choices) or sum(each.size for each in found.contents) > FILES_MAX:
        return False
    data = b"".join(found.read(each) for each in found.contents)
    fast = [{"id": lzma.FILTER_LZMA2, "preset": 1, "dict_size": max(1 << 12, len(data))}]
    if len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=fast)) > FILES_HOPE * size:
        return False
    return len(pack_blob(data)) < FILES_GAIN * size


class _Seen:
    """Pictures of kinds before, from which models that look for copies may copy."""

    def __init__(self, models: list[Model]) -> None:
        self._wanted = any(model.arch.candidates for model in models)
        self._kinds: list[np.ndarray] = []

    def others(self, pictures: Kind, but: Kind) -> list[np.ndarray]:
        """These too, of one kind, but for some: OTHERS of them, evenly spread."""
        if not self._wanted:
            return []
        rest = _without(pictures, but)
        return [*self._kinds, *copied_from(rest[:: max(1, -(-len(rest) // _at_most(pictures, OTHERS)))])]

    def add(self, kind: Kind) -> None:
        """A kind is done; of those before only the last OTHER_PIXELS are kept."""
        if self._wanted and kind[0].picture.samples[..., 0].size <= MAX_WHOLE:
            self._kinds += copied_from(kind[-OTHERS:])
            while sum(each[..., 0].size for each in self._kinds) > OTHER_PIXELS and len(self._kinds) > 1:
                del self._kinds[0]


def _sample(kind: Kind) -> Kind:
    return kind[:: -(-len(kind) // _at_most(kind, SAMPLE))]


def _without(kind: Kind, some: Kind) -> Kind:
    left_out = set(map(id, some))
    return [each for each in kind if id(each) not in left_out]


class _WebpEncoder:
    """Encodes pictures as WebP in the background, each once: it takes as long as pricing them under models."""

    def __enter__(self) -> "_WebpEncoder":
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._threads)
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(self, kind: Kind, coded: np.ndarray | None) -> None:
        """Begin to encode pictures whose price under a coding is `coded`, float64 [N], bits, if there is one."""
        begun = []
        for i, each in enumerate(kind):
            if each.webp is None:
                other = each.file_bits if coded is None else min(each.file_bits, float(coded[i]))
                each.webp = self._pool.submit(_webp_if_near, each.picture.samples, other)
                begun.append(each.webp)
        if self._threads == 1:  # and that one does nothing else meanwhile
            wait(begun)


def _webp_if_near(samples: np.ndarray, other: float) -> bytes | None:
    """A picture as WebP, unless a draft is clearly dearer than `other`, the price of other ways in bits."""
    if samples.shape[0] * samples.shape[1] > MAX_WHOLE:
        draft = pack_webp(samples, draft=True)
        if draft is None or 8 * len(draft) > WEBP_NEAR * other:
            return None
    return pack_webp(samples)


def _follow_sample(kind: Kind, sample: Kind, coding: Coding | None) -> tuple[Kind, Coding | None]:
    """If all of a kind's sample are best coded, so are the others; else these are returned with the coding to try.

    Until they are priced they have the sample's mean price.
    """
    rest = _without(kind, sample)
    coded = [each.best.content_class.method == METHOD_CODED for each in sample]
    for each in rest:
        each.bits = float(np.mean([each.bits for each in sample]))
        if coding is not None and all(coded):
            each.best = _coded(coding, each)
    return [] if all(coded) else rest, coding if any(coded) else None


def _price(kind: Kind, coding: Coding | None, forms: set[bytes], seen: _Seen, webps: _WebpEncoder) -> None:
    """Price each picture as WebP and, given a coding, coded; `forms` holds those of earlier pictures."""
    coded = None
    if coding is not None and kind:
        batch = _at_most(kind, BATCH)
        parts = [(kind[i : i + batch], kind[max(0, i - batch) : i]) for i in range(0, len(kind), batch)]
        coded = np.concatenate([coding.bits(part, seen.others(before, [])) for part, before in parts])
    webps.begin(kind, coded)
    _offer(kind, coding, coded, forms)


def _offer(kind: Kind, coding: Coding | None, coded: np.ndarray | None, forms: set[bytes]) -> None:
    """Let each picture take the cheapest of file, WebP and, given a coding, coded for `coded`, float64 [N], bits."""
    for i, each in enumerate(kind):
        each.begin()
        height, width, _ = each.picture.samples.shape
        form_bits = _form_bits(each.picture.form, forms)
        data = each.webp.result() if each.webp else None
        if data is not None:
            webp = Class(METHOD_WEBP, height, width, each.picture.form, ())
            each.offer(Choice(webp, data=data), 8 * len(data) + form_bits)
        if coding is not None and coded is not None:
            choice = _coded(coding, each)
            own = choice.content_class.form
            each.offer(choice, coded[i] + (form_bits if own == each.picture.form else _form_bits(own, forms)))


def _coded(coding: Coding, each: _Priced) -> Choice:
    return Choice(coding.class_of(each), coding.picture(each).samples)


def _at_most(kind: Kind, number: int) -> int:
    """How many pictures of a kind may be taken at once, `number` if they are small."""
    return max(1, min(number, PIXELS_AT_ONCE // kind[0].picture.samples.size)) if kind else 1


def _form_bits(form: bytes, forms: set[bytes]) -> float:
    """Price of a form, bits; 0 if it occurred before."""
    if form in forms:
        return 0.0
    forms.add(form)
    return 8.0 * len(zlib.compress(form, 9))


def _raw(picture: Picture) -> bytes:
    return raw_bytes(picture.samples, layout(picture.form) == Layout.BILEVEL)
