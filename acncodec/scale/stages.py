"""The stages between a source and the parts of its archive: what one task of each does, in any process.

    codes       per shard: the code of every image, once
    exchange    per shard: its files, sorted by destination part
    code        per part: its files, from all shards, as an archive

Between `codes` and `exchange` runs `fit`, once for all shards. Tasks communicate only through the work folder.
"""

import itertools
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from acncodec import bundled
from acncodec.archive.header import NAMES_KEEP
from acncodec.coding.protocol import encode
from acncodec.coding.selftest import device_of
from acncodec.errors import InputError
from acncodec.images.picture import Picture, expand
from acncodec.images.source import Files
from acncodec.nets.model import Model
from acncodec.packing.collection import taken_apart
from acncodec.packing.compress import BLOCK_SAMPLES, Options, compress
from acncodec.packing.model_choice import PictureVariants, best_coding
from acncodec.planning import partition
from acncodec.progress import unwatched
from acncodec.reading.decompress import verifier
from acncodec.reading.info import describe_part
from acncodec.reading.parts import PartImages, sha256_of
from acncodec.reading.reader import Archive
from acncodec.scale import names
from acncodec.scale.shards import File, read_shard
from acncodec.scale.work import Work

KIND_SAMPLE = 8  # images of a kind by which a shard chooses the model that computes their codes
SAMPLE_SPARE = 4  # a shard up to this many times the average size still contributes its full share to the sample
CODE_TILES = 16  # tiles of a large image whose codes are averaged, at most
MODEL_DISTANCE = 64.0  # between codes of different models: exceeds distances within a model
APART, APART_AXES = 4, 4  # jitter amplitude and dimensions that spread identical images over parts; below other distances
BATCH = 256
READ_AT_A_TIME = 4096  # files of a shard, at most
NUMBERED = re.compile(rb"\d+(-+)\d")  # names that could collide with a part's numbered names
LENGTHS = struct.Struct("<IQ")  # of a name and of its file, in front of both
SLICE = struct.Struct("<QQI")  # start and end of a part's files, and a crc32: for each part, at the head of a batch
PLACE = struct.Struct("<QQ")  # start and end alone
HAND_BYTES = 1 << 26  # of files distributed to the parts at a time


@dataclass(frozen=True)
class Job:
    """What all tasks share: work folder, options and models; small, as it is sent to every process."""

    work: Work
    parts: int
    options: Options
    models: tuple[str, ...]  # names and files
    auto: bool
    sha256: tuple[bytes, ...]  # of these models as the driver loaded them
    verify: bool
    device: str

    @property
    def files(self) -> list[Path]:
        """The models that are files."""
        return bundled.files_among(self.models)

    def loaded(self) -> list[Model]:
        """Load the models in the process of a task. Raises InputError if this machine has other ones."""
        found = {model.sha256: model for model in models_of(self.models, self.auto, self.device)}
        if not found.keys() >= set(self.sha256):
            raise InputError(
                "not all machines of the cluster have the same models; install the same acncodec and model files"
            )
        return [found[each] for each in self.sha256]


@cache
def models_of(names: tuple[str, ...], auto: bool, device: str) -> list[Model]:
    """Load models, once per process. Raises InputError, ModelError."""
    return bundled.candidates(names, auto, device_of(device))


def sample_name(number: int) -> str:
    return f"codes/{number:06}.sample.npz"


def shard_name(number: int) -> str:
    return f"shards/{number:06}.json"


def codes(job: Job, number: int, count: int) -> None:
    """Codes of the images of one of `count` shards: float32 [n, D], and the indices of these images among its files."""
    work, models = job.work, job.loaded()
    found: list[np.ndarray] = []
    places: list[int] = []
    for pictures in _batches(read_shard(work.json(shard_name(number))), job.options.exact_files):
        for i, vector in _vectors(pictures, models):
            places.append(i)
            found.append(vector)
    order = np.argsort(places)
    vectors = np.stack(found)[order] if found else np.zeros((0, _width(models)), dtype=np.float32)
    vectors[:, -APART_AXES:] = apart(number, len(vectors))
    keep_codes(job, number, count, vectors, np.array(places, dtype=np.int64)[order])


def keep_codes(job: Job, number: int, count: int, vectors: np.ndarray, places: np.ndarray) -> None:
    """Write a shard's codes, and a sample for `fit`, drawn at random because the order of files may be periodic."""
    drawn = np.random.default_rng(number).permutation(len(vectors))
    drawn = drawn[: -(-SAMPLE_SPARE * partition.sample_size(job.parts) // count)]
    job.work.put_arrays(sample_name(number), codes=vectors[drawn], images=len(vectors))
    job.work.put_arrays(f"codes/{number:06}.npz", codes=vectors, places=places)


def apart(number: int, count: int) -> np.ndarray:
    """Jitter that spreads identical images of a shard over parts: float64 [count, APART_AXES]."""
    return np.random.default_rng(number).integers(APART << 8, size=(count, APART_AXES)) / 256


def _batches(files: Iterator[File], exact_files: bool) -> Iterator[dict[int, Picture]]:
    """The pictures among files, by file index, in batches of bounded memory."""
    batch: dict[int, Picture] = {}
    samples = 0
    for i, (_, data) in enumerate(files):
        picture = None if isinstance(data, str) else taken_apart(data, exact_files)
        if picture is None:
            continue
        if batch and (len(batch) == READ_AT_A_TIME or samples + picture.samples.size > BLOCK_SAMPLES):
            yield batch
            batch, samples = {}, 0
        batch[i] = picture
        samples += picture.samples.size
    yield batch


def _width(models: list[Model]) -> int:
    """Dimensions of an image's vector: those of its code, one per model, and APART_AXES of jitter."""
    return max((model.arch.code for model in models), default=0) + len(models) + APART_AXES


def _vectors(pictures: dict[int, Picture], models: list[Model]) -> Iterator[tuple[int, np.ndarray]]:
    """For each picture that a model can code, its index and its code with the model's axis: float32 [D]."""
    kinds: dict[tuple[int, ...], dict[int, PictureVariants]] = {}
    for i, picture in pictures.items():
        each = PictureVariants(picture, expand(picture))
        kinds.setdefault(each.kind, {})[i] = each
    for kind in kinds.values():
        found = best_coding(list(kind.values())[:KIND_SAMPLE], models)
        if found is None:
            continue
        coding, _ = found
        chosen = coding.planes[0].model
        members = list(kind)
        for start in range(0, len(members), BATCH):
            now = members[start : start + BATCH]
            elements = [[e for m, e in coding.elements(kind[i]) if m == chosen] for i in now]
            tiles = [own[:: -(-len(own) // CODE_TILES)] for own in elements]
            shapes = sorted({tile.shape for own in tiles for tile in own})
            sums, counts = np.zeros((len(now), models[chosen].arch.code)), np.zeros(len(now))
            for shape in shapes:
                owners = [k for k, own in enumerate(tiles) for tile in own if tile.shape == shape]
                stacked = np.stack([tile for own in tiles for tile in own if tile.shape == shape])
                np.add.at(sums, owners, encode(models[chosen], stacked))
                np.add.at(counts, owners, 1)
            vectors = np.zeros((len(now), _width(models)), dtype=np.float32)
            vectors[:, : sums.shape[1]] = np.rint(sums / counts[:, None])
            vectors[:, chosen - len(models) - APART_AXES] = MODEL_DISTANCE
            yield from zip(now, vectors, strict=True)


def fit(job: Job, count: int) -> None:
    """Fit the partition to samples of the codes of all `count` shards."""
    drawn = [job.work.arrays(sample_name(number)) for number in range(count)]
    images = [int(each["images"]) for each in drawn]
    share, first = min(1.0, partition.sample_size(job.parts) / max(1, sum(images))), 0
    sample = [np.zeros((0, _width(job.loaded())), dtype=np.float32)]
    for each, own in zip(drawn, images, strict=True):
        sample.append(each["codes"][: int((first + own) * share) - int(first * share)])
        first += own
    stacked = np.concatenate(sample)
    parts = min(job.parts, len(stacked))
    placed = partition.fit(stacked, parts) if parts else partition.Partition(np.zeros((1, 1)), np.zeros(1))
    job.work.put_arrays("partition.npz", **placed.arrays())


def exchange(job: Job, number: int, count: int) -> None:
    """A shard's files sorted by part; files without a code go to the part at the shard's relative position in `count`."""
    work = job.work
    known = work.arrays(f"codes/{number:06}.npz")
    placed = partition.Partition.of(work.arrays("partition.npz"))
    others = number * job.parts // count
    where = dict(zip(known["places"].tolist(), placed.assign(known["codes"]).tolist(), strict=True))
    unreadable = []

    def files() -> Iterator[tuple[int, bytes, bytes]]:
        for i, (name, data) in enumerate(read_shard(work.json(shard_name(number)))):
            if isinstance(data, str):
                unreadable.append([os.fsdecode(name), data])
            else:
                yield where.get(i, others), name, data

    work.put(f"exchange/{number:06}.files", _dealt(files(), job.parts))
    work.put_json(f"exchange/{number:06}.json", {"unreadable": unreadable})


def _dealt(files: Iterator[tuple[int, bytes, bytes]], parts: int) -> Iterator[bytes]:
    """Batches of about HAND_BYTES, each a table of slices followed by the files, sorted by part."""
    end, taken = 0, True
    while taken:
        taken, size = False, 0
        by_part: list[list[bytes]] = [[] for _ in range(parts)]
        for part, name, data in files:
            by_part[part] += [LENGTHS.pack(len(name), len(data)), name, data]
            taken, size = True, size + LENGTHS.size + len(name) + len(data)
            if size >= HAND_BYTES:
                break
        end += SLICE.size * parts
        for chunks in by_part:
            start, end = end, end + sum(map(len, chunks))
            yield SLICE.pack(start, end, _crc([PLACE.pack(start, end), *chunks]))
        yield from itertools.chain.from_iterable(by_part)


def code(job: Job, number: int, count: int) -> None:
    """One part: its files gathered from `count` shards, compressed, verified, and summarised for the manifest."""
    work = job.work
    files: dict[bytes, bytes] = {}
    for shard in range(count):
        for name, data in _gathered(work, shard, number, job.parts):
            if name in files:
                shown = os.fsdecode(name)
                raise InputError(f"two files of the source have the name '{shown}'; rename one and start over with --force")
            files[name] = data
    empty = [os.fsencode(name) for name in work.json("notes.json")["empty"]] if number == 0 else []
    device = device_of(job.device)
    inspect = verifier(job.files, device, unwatched) if job.verify else None
    path = work.path(part_name(number))
    done = compress(Files(files, empty), path, job.loaded(), job.options, unwatched, inspect)
    with Archive(path, job.files, device) as archive:
        header = archive.header
        listed = archive.directory
        stored = listed.named
        result = {
            "size": done.size,
            "sha256": sha256_of(path).hex(),
            "files": header.entries,
            "images": sum(header.blocks),
            "pictures": len(PartImages(archive).entries),
            "named": len(stored),
            "places": names.leave(work, number, listed),
            "sections": len(header.blocks) + len(header.stores),
            "models": [[model.name, model.sha256.hex()] for model in header.models],
            "source_bytes": done.collection.source_bytes,
            "unmodelled": done.stored,
            "info": describe_part(archive, job.files),
            # Stored beside numbered names, which must not collide with them.
            "dashes": 0 if job.options.names == NAMES_KEEP else _dashes([*stored, *listed.folders, *listed.empty]),
        }
    work.put_json(result_name(number), result)


def _gathered(work: Work, shard: int, part: int, parts: int) -> Iterator[tuple[bytes, bytes]]:
    """A part's files from one shard. Raises InputError if they are not as written by `exchange`."""
    name, table = f"exchange/{shard:06}.files", 0
    try:
        with work.path(name).open("rb") as file:
            while True:
                first, whole = table + SLICE.size * parts, os.fstat(file.fileno()).st_size
                file.seek(table + SLICE.size * part)
                start, end, crc = SLICE.unpack(file.read(SLICE.size))
                file.seek(first - SLICE.size)
                _, last, _ = SLICE.unpack(file.read(SLICE.size))
                if not first <= start <= end <= last <= whole:
                    raise work.unusable(name, "its table is damaged")
                file.seek(start)
                data = file.read(end - start)
                if _crc([PLACE.pack(start, end), data]) != crc:
                    raise work.unusable(name, "its checksum is wrong")
                yield from _unpacked(data)
                if last == first:  # a batch without files is the last
                    return
                table = last
    except (OSError, struct.error) as error:
        raise work.unusable(name, error) from error


def _unpacked(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        name_length, length = LENGTHS.unpack_from(data, at)
        at += LENGTHS.size
        yield data[at : at + name_length], data[at + name_length : at + name_length + length]
        at += name_length + length


def _crc(chunks: list[bytes]) -> int:
    crc = 0
    for chunk in chunks:
        crc = zlib.crc32(chunk, crc)
    return crc


def _dashes(names: Iterable[bytes]) -> int:
    """The longest run of dashes between two numbers at the start of any component of these paths."""
    found = (match for name in names for part in name.split(b"/") if (match := NUMBERED.match(part)))
    return max((len(match[1]) for match in found), default=0)


def part_name(number: int) -> str:
    return f"part-{number:05}.acn"


def result_name(number: int) -> str:
    return f"results/{number:06}.json"
