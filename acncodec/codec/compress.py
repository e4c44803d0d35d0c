"""Directory in, one file out."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acncodec.archive import header as head
from acncodec.archive.atomic import refuse_occupied, write_atomically
from acncodec.archive.container import write_container
from acncodec.archive.store import pack_stored
from acncodec.codec.collection import Collection, Kind, collect
from acncodec.codec.ledger import pack_tally
from acncodec.codec.plan import GroupPlan, Way, cheapest, plan_group
from acncodec.coding.order import pack_order
from acncodec.coding.protocol import SeedExhaustedError, Tally, Task, alice
from acncodec.coding.selftest import exactness, quick_selftest
from acncodec.coding.stack import Stack
from acncodec.errors import InputError
from acncodec.images.names import pack_names
from acncodec.images.scan import read_file
from acncodec.nets.model import Model

Progress = Callable[[str, int], Callable[[int], None]]  # (what is done, how many units) -> called with units done


@dataclass(frozen=True)
class Compressed:
    """What `compress` did: the sorted directory, the way that was chosen, and the file's size in bytes."""

    collection: Collection
    way: Way
    size: int


def compress(
    root: Path,
    target: Path,
    models: dict[int, Model],
    *,
    names: bool = True,
    way: Way | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Compressed:
    """Compress the directory `root` into the file `target`.

    `models` maps levels (2, 256) to the model for such images; images without one are stored. `names` keeps every path;
    without it the images come back numbered. `way` None takes the cheapest. Raises InputError, OutputError,
    ExactnessError; the target is written whole or not at all.
    """
    for model in models.values():
        quick_selftest(model.networks.device)
    refuse_occupied(target, overwrite)  # now, not after hours of work
    collection = collect(root, target, progress("read", 0))
    if max(collection.images, len(collection.names)) > head.MAX_IMAGES or collection.dims > head.MAX_ALL_PIXELS:
        raise InputError("there are more files or pixels than one archive may hold; compress parts of the directory")
    for kind in [kind for kind in collection.groups if kind.levels not in models]:
        collection.stored = sorted(collection.stored + collection.groups.pop(kind))
        del collection.pixels[kind]
    plans = {}
    advance = progress("plan", len(collection.groups))
    for kind, pixels in collection.pixels.items():
        plans[kind] = plan_group(models[kind.levels], pixels)
        advance(1)
    way = way or cheapest(list(plans.values()), names)
    sections = _sections(collection, plans, way, names, progress)
    size = write_atomically(target, write_container(sections), overwrite)
    return Compressed(collection, way, size)


def _sections(
    collection: Collection, plans: dict[Kind, GroupPlan], way: Way, names: bool, progress: Progress
) -> list[tuple[str, bytes]]:
    words, seed, tally = _code(collection, plans, way, progress)
    used = list(dict.fromkeys(plan.model for plan in plans.values()))
    groups = [
        head.Group(
            *(kind.mode, kind.container, kind.height, kind.width),
            count=plan.schedule.count,
            lanes=plan.schedule.lanes,
            model=used.index(plan.model),
            digest=digest(collection.pixels[kind][plan.order(way)]),
        )
        for kind, plan in plans.items()
    ]
    header = head.Header(
        names=head.NAMES_KEEP if names else head.NAMES_DROP,
        order=head.ORDER_TOUR if way.tour else head.ORDER_NAMES,
        prior=head.PRIOR_CONDITIONAL if way.conditional else head.PRIOR_UNCONDITIONAL,
        seed_words=seed,
        models=[head.Model(model.name, model.sha256) for model in used],
        groups=groups,
        stored=len(collection.stored),
        files=len(collection.names) if names else 0,
        exactness=exactness(),
    )
    kept = collection.names if names else [collection.names[i] for i in collection.stored]
    sections = {"HEAD": head.encode(header)}
    if plans:
        sections["BITS"] = words.astype("<u4").tobytes()
        sections["LEDG"] = pack_tally(tally)
    sections["NAME"] = pack_names(kept)
    if names:
        sections["ORDR"] = _order(collection, plans, way)
    if collection.stored:
        blobs = (read_file(collection.root, collection.names[i]) for i in collection.stored)
        sections["FILE"] = pack_stored(blobs)
    return [(tag, payload) for tag, payload in sections.items() if payload]


def _code(
    collection: Collection, plans: dict[Kind, GroupPlan], way: Way, progress: Progress
) -> tuple[np.ndarray, int, Tally]:
    """All groups on one stack: the words to store, the words of seed they need, and the tally."""
    widest = max((plan.schedule.lanes * plan.model.arch.code for plan in plans.values()), default=0)
    seed = 64 + widest // 4  # 8 bits a latent of the widest step: rarely too little
    while True:
        stack, tally = Stack.seeded(seed), Tally()
        advance = progress("encode", sum(plan.schedule.count for plan in plans.values()))
        try:
            for kind, plan in reversed(plans.items()):
                order = plan.order(way)
                task = Task(plan.model, plan.schedule, kind.height, kind.width, way.conditional, advance)
                tally += alice(stack, collection.pixels[kind][order], plan.codes[order], task)
        except SeedExhaustedError:
            seed *= 4
            continue
        return *stack.finish(seed), tally


def _order(collection: Collection, plans: dict[Kind, GroupPlan], way: Way) -> bytes:
    """Which name belongs to which group or to a stored file, and where each group's tour led."""
    kinds = np.full(len(collection.names), len(plans), dtype=np.int64)
    for number, members in enumerate(collection.groups.values()):
        kinds[members] = number
    counts = [plan.schedule.count for plan in plans.values()]
    if collection.stored:
        counts.append(len(collection.stored))
    return pack_order(kinds, counts, [plan.tour for plan in plans.values()] if way.tour else [])


def digest(pixels: np.ndarray) -> bytes:
    """Hash of a group's pixels uint8 [N, H, W] in coding order: 16 bytes of sha256 over every image's sha256."""
    whole = hashlib.sha256()
    for image in np.ascontiguousarray(pixels):
        whole.update(hashlib.sha256(image).digest())
    return whole.digest()[: head.DIGEST_BYTES]
