"""The names of all parts: an index of which part holds which name, and collisions of names across parts.

Each part leaves two sorted lists of hashes: of its names, and of all places (paths) that they occupy, files and
directories. A task reads a range of all lists, so that no process holds every name.
"""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from acncodec.archive import manifest as manifests
from acncodec.archive.manifest import BUCKET_KEYS, hashes
from acncodec.block.directory import ROOT, Directory, folder_of
from acncodec.errors import InputError
from acncodec.images.scan import EXAMPLES, Collisions, collisions, folded
from acncodec.reading.reader import Archive
from acncodec.scale.work import Work

BUCKETS_A_TASK = 64
PLACES_A_TASK = BUCKETS_A_TASK * BUCKET_KEYS
CLASHING = "clashing"  # stored beside a task's buckets: hashes of places at which names collide
CLASHES = "clashes"  # and the number of colliding places


def leave(work: Work, part: int, listed: Directory) -> int:
    """Write the sorted hashes of a part's names and places, rows of two. Returns the number of places."""
    places = np.unique(_rows(_taken(listed)), axis=0)
    for name, rows in ((_names(part), np.unique(hashes(listed.named), axis=0)), (_places(part), places)):
        work.put(name, [rows.astype("<u8").tobytes()])
    return len(places)


def tasks(buckets: int, places: int) -> int:
    """Number of `index` tasks for this many buckets of the index and places."""
    return max(1, -(-buckets // BUCKETS_A_TASK), -(-places // PLACES_A_TASK))


def index_name(number: int) -> str:
    return f"index/{number:06}.npz"


def index(work: Work, parts: int, buckets: int, count: int, number: int) -> None:
    """One of `count` tasks: its share of the `buckets` of the name index, and the colliding places in its range."""
    first, last = number * BUCKETS_A_TASK, min((number + 1) * BUCKETS_A_TASK, buckets)
    packed = {}
    if first < last:
        found = [_between(work.hashes(_names(part)), first, last, buckets) for part in range(parts)]
        keys, owners = np.concatenate(found), np.repeat(np.arange(parts), [len(rows) for rows in found])
        places = manifests.bucket_of(keys, buckets)
        for i in range(first, last):
            bucket = manifests.encode_bucket(keys[places == i], owners[places == i].tolist(), parts)
            packed[f"{i:08}"] = np.frombuffer(bucket, np.uint8)
    taken = [_between(work.hashes(_places(part)), number, number + 1, count) for part in range(parts)]
    clashing, clashes = _clashing(np.unique(np.concatenate(taken), axis=0))
    work.put_arrays(index_name(number), **packed, **{CLASHING: clashing, CLASHES: np.array([clashes])})


def buckets_of(work: Work, number: int) -> Iterator[bytes]:
    """The buckets made by one task of `index`."""
    made = work.arrays(index_name(number))
    return (made[name].tobytes() for name in sorted(made) if name not in (CLASHING, CLASHES))


def clashes(work: Work, parts: list[str], count: int) -> Collisions:
    """Names across these parts that collide on file systems that fold case, as `collisions` finds them in a single archive.

    Raises InputError if a file and a directory have the same name, which no file system can hold.
    """
    clashing = {int(place) for number in range(count) for place in work.arrays(index_name(number))[CLASHING]}
    total = sum(int(work.arrays(index_name(number))[CLASHES][0]) for number in range(count))
    if not clashing:
        return Collisions(0, [])
    found: dict[bytes, bytes] = {}  # for every colliding place, a name that occupies it
    for part in parts:
        path = work.path(part) if work.has(part) else work.target / part  # publishing may have been interrupted
        with Archive(path) as archive:
            listed = archive.directory
        taken = _taken(listed)
        mine = {each for each, key in zip(taken, _keys(taken), strict=True) if key in clashing}
        for name in (*listed.named, *_folders(listed)):
            for each in mine.intersection(_way(name)):
                found.setdefault(each, name.removesuffix(b"/"))
    both = {each for each in found if each + b"/" in found}
    if both:
        shown = os.fsdecode(min(both))
        raise InputError(
            f"'{shown}' is the name of a file and of a directory in the source; rename one and start over with --force"
        )
    return Collisions(total, collisions(sorted(set(found.values()))).examples)


def _folders(listed: Directory) -> list[bytes]:
    """A part's directories besides the parents of its named files, each with a trailing '/'."""
    return [folder + b"/" for folder in {*listed.folders, *listed.empty} if folder != ROOT]


def _taken(listed: Directory) -> list[bytes]:
    """The places that a part occupies: files by name, and all directories, with a trailing '/'."""
    folders = {folder_of(name) + b"/" for name in listed.named} - {ROOT + b"/"}
    return [*listed.named, *sorted({each for folder in folders.union(_folders(listed)) for each in _way(folder)})]


def _way(name: bytes) -> list[bytes]:
    """All parent directories of a name, with a trailing '/', and the name itself."""
    cuts = [i + 1 for i, character in enumerate(name) if character == ord("/")]
    return [*(name[:cut] for cut in cuts), name]


def _rows(places: list[bytes]) -> np.ndarray:
    """The hashes of each place's case-folded and of its own name: uint64 [N, 2]; the latter is odd for directories."""
    own, directory = hashes(places)[:, 0], np.array([place.endswith(b"/") for place in places], dtype=np.uint64)
    return np.stack([np.array(_keys(places), dtype=np.uint64), own & ~np.uint64(1) | directory], 1)


def _clashing(rows: np.ndarray) -> tuple[np.ndarray, int]:
    """Folded hashes shared by several of these rows, and the number of rows that collide with an earlier one.

    Those shared by a file and a directory are all returned, of the others EXAMPLES.
    """
    keys, times = np.unique(rows[:, 0], return_counts=True)
    directories = np.bincount(np.searchsorted(keys, rows[:, 0]), rows[:, 1] & np.uint64(1), len(keys))
    mixed = keys[(directories > 0) & (directories < times)]
    return np.concatenate([mixed, keys[times > 1][:EXAMPLES]]), len(rows) - len(keys)


def _keys(places: Iterable[bytes]) -> list[int]:
    """Hashes of places as seen by file systems that fold case, the same for files and directories."""
    return hashes([folded(each.removesuffix(b"/")).encode("utf-8", "surrogateescape") for each in places])[:, 0].tolist()


def _between(rows: np.ndarray, first: int, last: int, count: int) -> np.ndarray:
    """The rows, sorted, whose first hash lies in the buckets from `first` to before `last` of `count`."""
    start = np.searchsorted(rows[:, 0], manifests.first_hash(first, count))
    end = np.searchsorted(rows[:, 0], manifests.first_hash(last, count)) if last < count else len(rows)
    return np.array(rows[start:end], dtype=np.uint64)


def _names(part: int) -> str:
    return f"names/{part:06}.hashes"


def _places(part: int) -> str:
    return f"names/{part:06}.places"
