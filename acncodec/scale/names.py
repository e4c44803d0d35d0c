"""The names of all parts together: an index of which part has which, and whether all can stand beside each other.

Each part leaves two sorted lists of hashes: of its names, and of all places that they take, files and directories. A task
reads one range of all lists, so that no process holds every name.
"""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from acncodec.archive import manifest as manifests
from acncodec.archive.manifest import hashes
from acncodec.codec.directory import ROOT, Directory, folder_of
from acncodec.codec.reader import Archive
from acncodec.errors import InputError
from acncodec.images.scan import collisions, folded
from acncodec.scale.work import Work

BUCKETS_A_TASK = 64
CLASHING = "clashing"  # beside the buckets of a task: hashes of places that several names want for themselves
Pair = tuple[bytes, bytes]


def leave(work: Work, part: int, listed: Directory) -> None:
    """Put down what a part's names are: rows of two hashes each, sorted."""
    for name, rows in ((_names(part), hashes(listed.named)), (_places(part), _rows(_taken(listed)))):
        work.put(name, [np.unique(rows, axis=0).astype("<u8").tobytes()])


def index_name(first: int) -> str:
    return f"index/{first:08}.npz"


def index(work: Work, parts: int, count: int, first: int) -> None:
    """Some of the `count` buckets of the name index, from `first` on, and which places clash, from all parts' lists."""
    last = min(first + BUCKETS_A_TASK, count)
    start = manifests.first_hash(first, count) if first else None
    end = manifests.first_hash(last, count) if last < count else None
    found = [_between(work.hashes(_names(part)), start, end) for part in range(parts)]
    keys, owners = np.concatenate(found), np.repeat(np.arange(parts), [len(rows) for rows in found])
    buckets = manifests.bucket_of(keys, count) if count else np.zeros(len(keys), dtype=np.int64)
    packed = {}
    for i in range(first, last):
        bucket = manifests.encode_bucket(keys[buckets == i], owners[buckets == i].tolist(), parts)
        packed[f"{i:08}"] = np.frombuffer(bucket, np.uint8)
    rows = np.concatenate([_between(work.hashes(_places(part)), start, end) for part in range(parts)])
    places, times = np.unique(np.unique(rows, axis=0)[:, 0], return_counts=True)
    work.put_arrays(index_name(first), **packed, **{CLASHING: places[times > 1]})


def tasks(buckets: int) -> range:
    """Where tasks of `index` begin; one of them without any bucket, too."""
    return range(0, max(1, buckets), BUCKETS_A_TASK)


def buckets_of(work: Work, first: int) -> Iterator[bytes]:
    """The buckets that a task of `index` has made."""
    made = work.arrays(index_name(first))
    return (made[name].tobytes() for name in sorted(made) if name != CLASHING)


def collision(work: Work, parts: list[str], buckets: int) -> Pair | None:
    """A pair of names that a file system which folds case takes for one, if there is any in these parts.

    Raises InputError if a file and a directory have the same name, which no file system can hold.
    """
    clashing = {int(place) for first in tasks(buckets) for place in work.arrays(index_name(first))[CLASHING]}
    if not clashing:
        return None
    found: dict[bytes, bytes] = {}  # for every place that clashes a name that takes it
    for part in parts:
        path = work.path(part) if work.has(part) else work.target / part  # the end may have been cut short
        with Archive(path) as archive:
            listed = archive.directory
        taken = _taken(listed)
        mine = {each for each, key in zip(taken, _keys(taken), strict=True) if key in clashing}
        for name in (*listed.named, *(folder + b"/" for folder in listed.empty)):
            for each in mine.intersection(_way(name)):
                found.setdefault(each, name.removesuffix(b"/"))
    both = {each for each in found if each + b"/" in found}
    if both:
        raise InputError(f"'{os.fsdecode(min(both))}' is the name of a file and of a directory in the source; rename one")
    return collisions(sorted(set(found.values())))


def _taken(listed: Directory) -> list[bytes]:
    """The places that a part takes: files under their names, and all directories, with a '/' behind them."""
    folders = {folder_of(name) for name in listed.named} | {*listed.folders, *listed.empty}
    return [*listed.named, *sorted({each for folder in folders if folder != ROOT for each in _way(folder + b"/")})]


def _way(name: bytes) -> list[bytes]:
    """All places on the way to a name, directories with a '/' behind them, and the name itself."""
    cuts = [i + 1 for i, character in enumerate(name) if character == ord("/")]
    return [*(name[:cut] for cut in cuts), name]


def _rows(places: list[bytes]) -> np.ndarray:
    """For each place the hash of its folded name, and its own: uint64 [N, 2]. Places of one name differ in the latter."""
    return np.stack([np.array(_keys(places), dtype=np.uint64), hashes(places)[:, 0]], 1)


def _keys(names: Iterable[bytes]) -> list[int]:
    """Hashes of names as file systems see them that fold case, of files and directories alike."""
    return hashes([folded(name.removesuffix(b"/")).encode("utf-8", "surrogateescape") for name in names])[:, 0].tolist()


def _between(rows: np.ndarray, start: np.uint64 | None, end: np.uint64 | None) -> np.ndarray:
    """Those of sorted rows whose first hash is in a range."""
    first = 0 if start is None else int(np.searchsorted(rows[:, 0], start))
    last = len(rows) if end is None else int(np.searchsorted(rows[:, 0], end))
    return np.array(rows[first:last], dtype=np.uint64)


def _names(part: int) -> str:
    return f"names/{part:06}.hashes"


def _places(part: int) -> str:
    return f"names/{part:06}.places"
