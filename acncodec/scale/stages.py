"""The stages between a source and the parts of its archive: what one task of each does, in whichever process.

    codes       of a shard: every image's code, once
    exchange    of a shard: its files, by the part that they go to
    code        of a part: its files, from all shards, as an archive

Between `codes` and `exchange` stands `fit`, of the whole. A task reads and writes the folder of work and tells no more.
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
from acncodec.codec.codings import Forms, best_coding
from acncodec.codec.collection import taken_apart
from acncodec.codec.compress import BLOCK_SAMPLES, Options, compress
from acncodec.codec.decompress import verifier
from acncodec.codec.info import describe_part
from acncodec.codec.parts import Pictures, sha256_of
from acncodec.codec.progress import unwatched
from acncodec.codec.reader import Archive
from acncodec.coding.protocol import encode
from acncodec.coding.selftest import device_of
from acncodec.errors import InputError
from acncodec.images.picture import Picture, expand
from acncodec.images.source import Files
from acncodec.nets.model import Model
from acncodec.planning import partition
from acncodec.scale import names
from acncodec.scale.shards import File, read_shard
from acncodec.scale.work import Work

KIND_SAMPLE = 8  # images of a kind by which a shard chooses the model that makes its codes
SAMPLE_SPARE = 4  # times the average: a shard that is so much larger than others still gives as large a share of its codes
CODE_TILES = 16  # of a large image, whose codes are averaged
MODEL_DISTANCE = 64.0  # between codes of different models: farther than those of one
APART, APART_AXES = 4, 4  # by how much equal codes differ at random, less than codes of other images; along so many axes
BATCH = 256
READ_AT_A_TIME = 4096  # files of a shard
NUMBERED = re.compile(rb"\d+(-+)\d")  # as images of a part may be called
LENGTHS = struct.Struct("<IQ")  # of a name and of its file, before both
SLICE = struct.Struct("<QQI")  # where a part's files begin and end, and a crc32: for each part, before all of a hand
PLACE = struct.Struct("<QQ")  # the former alone
HAND_BYTES = 1 << 26  # of files that are dealt out to the parts at a time


@dataclass(frozen=True)
class Job:
    """What all tasks know: where work is, and with which options; small, and sent to every process."""

    work: Work
    parts: int
    options: Options
    models: tuple[str, ...]  # names and files
    auto: bool
    sha256: tuple[bytes, ...]  # of the models that these were to whoever began
    verify: bool
    device: str

    @property
    def files(self) -> list[Path]:
        """Those of the models that are files."""
        return bundled.files_among(self.models)

    def loaded(self) -> list[Model]:
        """The models, wherever a task runs. Raises InputError if this machine has others."""
        found = {model.sha256: model for model in models_of(self.models, self.auto, self.device)}
        if not found.keys() >= set(self.sha256):
            raise InputError("not all machines of the cluster have the same models; give them the same acncodec and files")
        return [found[each] for each in self.sha256]


@cache
def models_of(names: tuple[str, ...], auto: bool, device: str) -> list[Model]:
    """Models, once a process. Raises InputError, ModelError."""
    return bundled.candidates(names, auto, device_of(device))


def sample_name(number: int) -> str:
    return f"codes/{number:06}.sample.npz"


def shard_name(number: int) -> str:
    return f"shards/{number:06}.json"


def codes(job: Job, number: int, count: int) -> None:
    """The codes of the images of one of `count` shards: float32 [n, D], and which of its files these are."""
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
    """Put down a shard's codes; and some for `fit`, drawn at random, as the order of files may have a period."""
    drawn = np.random.default_rng(number).permutation(len(vectors))
    drawn = drawn[: -(-SAMPLE_SPARE * partition.sample_size(job.parts) // count)]
    job.work.put_arrays(sample_name(number), codes=vectors[drawn], images=len(vectors))
    job.work.put_arrays(f"codes/{number:06}.npz", codes=vectors, places=places)


def apart(number: int, count: int) -> np.ndarray:
    """What tells equal codes of a shard apart, so that they can be shared out among parts: float64 [count, APART_AXES]."""
    return np.random.default_rng(number).integers(APART << 8, size=(count, APART_AXES)) / 256


def _batches(files: Iterator[File], exact_files: bool) -> Iterator[dict[int, Picture]]:
    """The pictures among files, by their places, as many at a time as memory can take."""
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
    """Dimensions of what stands for an image: those of a code, one for each model, and some that tell equal codes apart."""
    return max((model.arch.code for model in models), default=0) + len(models) + APART_AXES


def _vectors(pictures: dict[int, Picture], models: list[Model]) -> Iterator[tuple[int, np.ndarray]]:
    """For each picture that a model can code its code, beside the model's own axis: float32 [D]."""
    kinds: dict[tuple[int, ...], dict[int, Forms]] = {}
    for i, picture in pictures.items():
        each = Forms(picture, expand(picture))
        kinds.setdefault(each.kind, {})[i] = each
    for kind in kinds.values():
        coding = best_coding(list(kind.values())[:KIND_SAMPLE], models)
        if coding is None:
            continue
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
    """Where the parts lie among the codes of `count` shards: from some of each."""
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
    """A shard's files in the order of their parts; what has no code goes with the shard's place among `count` of them."""
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
    """Hands of as many files as memory can take, each with its table in front and the files in the order of their parts."""
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
    """One part: gathered from `count` shards, compressed, checked, and what the manifest has to say of it."""
    work = job.work
    files: dict[bytes, bytes] = {}
    for shard in range(count):
        for name, data in _gathered(work, shard, number, job.parts):
            if name in files:
                shown = os.fsdecode(name)
                raise InputError(f"two files of the source have the name '{shown}'; rename one and begin anew with --force")
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
            "pictures": len(Pictures(archive).entries),
            "named": len(stored),
            "places": names.leave(work, number, listed),
            "sections": len(header.blocks) + len(header.stores),
            "models": [[model.name, model.sha256.hex()] for model in header.models],
            "source_bytes": done.collection.source_bytes,
            "unmodelled": done.stored,
            "info": describe_part(archive, job.files),
            # Beside numbered names, which must not meet them.
            "dashes": 0 if job.options.names == NAMES_KEEP else _dashes([*stored, *listed.folders, *listed.empty]),
        }
    work.put_json(result_name(number), result)


def _gathered(work: Work, shard: int, part: int, parts: int) -> Iterator[tuple[bytes, bytes]]:
    """A part's files from one shard. Raises InputError if they are not as they were put there."""
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
                if last == first:  # a hand without files is the last
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
    """The longest run of dashes between two numbers at the beginning of a component of any of these paths."""
    found = (match for name in names for part in name.split(b"/") if (match := NUMBERED.match(part)))
    return max((len(match[1]) for match in found), default=0)


def part_name(number: int) -> str:
    return f"part-{number:05}.acn"


def result_name(number: int) -> str:
    return f"results/{number:06}.json"
