"""Encoding and decoding of a block: pictures that are decodable with the archive's header, classes and models alone."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch

from acncodec.archive import block as blocks
from acncodec.archive.block import DIGEST_BYTES, Block
from acncodec.archive.classes import Class
from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.limits import MAX_FOLDERS, MAX_STEP_PIXELS
from acncodec.block.elements import Group, count, cut, join
from acncodec.block.plan import BlockPlan, PlanOptions, plan_block
from acncodec.coding.candidates import History
from acncodec.coding.order import order_bits, pack_order, unpack_order
from acncodec.coding.protocol import GroupTask, SeedExhaustedError, Tally, alice, all_offers, bob
from acncodec.coding.stacks import Stacks, stack_count
from acncodec.errors import DamagedError
from acncodec.nets.model import Model
from acncodec.planning.schedule import Schedule
from acncodec.progress import Advance, Portion

SIDE_BY_SIDE = 8  # blocks in parallel on CUDA, of up to 512 lanes each: fewer leave it idle between small kernels
SMALL_BLOCK = 64  # pictures, up to which a block's lanes keep only one thread busy


def side_by_side(pictures: int, device: torch.device) -> int:
    """How many blocks to decode in parallel: on a CPU one, unless their `pictures` are too few to use several threads."""
    if device.type == "cuda":
        return SIDE_BY_SIDE
    return torch.get_num_threads() if pictures <= SMALL_BLOCK else 1


@dataclass(frozen=True)
class Order:
    """Class, folder and name rank of a block's pictures, in coded order.

    `classes` int64 [N]: index of each one's class. `folders` int64 [N]: of each one's folder, None unless folders alone are
    kept. `ranks` int64 [N]: each one's rank by name within the block, None unless names are kept.
    """

    classes: np.ndarray
    folders: np.ndarray | None
    ranks: np.ndarray | None

    @cached_property
    def positions(self) -> np.ndarray:
        """Position of each picture in the coded order, int64 [N], in the order of names if these are kept."""
        return np.arange(len(self.classes)) if self.ranks is None else np.argsort(self.ranks)


@dataclass(frozen=True)
class Members:
    """The pictures to be coded as one block, in the order of names.

    `samples` are uint8 [H, W, C]. `classes` int64 [N]: index of each one's class. `folders` int64 [N]: of each one's folder
    where folders alone are kept, else None. `named`: whether every name is kept. `bits`: what coding them may take.
    """

    samples: list[np.ndarray]
    classes: np.ndarray
    folders: np.ndarray | None
    named: bool
    bits: float

    def tour_bits(self) -> float:
        """What it costs, beside classes, to restore the order of names, or the folders, of pictures along a tour: bits."""
        if self.named:
            return order_bits([], [len(self.samples)])
        return 0.0 if self.folders is None else order_bits([_counts(self.folders)], [])


def encode_block(
    members: Members, classes: list[Class], models: list[Model], advance: Advance, options: PlanOptions
) -> tuple[Block, np.ndarray]:
    """Code a block of an archive with these `classes` and `models`; `advance` takes numbers of elements, fractions too.

    Returns the block and the coded order: int64 [N], indices into `members`.
    """
    used, local = np.unique(members.classes, return_inverse=True)
    elements, owners = cut([classes[i] for i in used], local, members.samples, [model.arch for model in models])
    plan = plan_block(models, elements, owners, members.tour_bits(), options)
    widest = max(max(each.schedule(plan.way).sizes) for each in plan.groups.values())
    # Blocks for random access are decoded side by side.
    stacks = 1 if options.quick else stack_count(members.bits, widest)
    coded, tally = _push(plan, elements, models, advance, stacks)
    folders = None if members.folders is None else members.folders[plan.order]
    order = Order(local[plan.order], folders, plan.order if members.named else None)
    block = Block(
        classes=list(zip(used.tolist(), np.bincount(local).tolist(), strict=True)),
        tour=plan.way.tour,
        conditional=plan.way.conditional,
        lanes=[each.schedule(plan.way).lanes for each in plan.groups.values()],
        seed_words=[seed for _, seed in coded],
        digest=digest([members.samples[i] for i in plan.order]),
        tally=_whole_bits(tally),
        order=_pack(order, plan.way.tour),
        bits=[words.astype("<u4").tobytes() for words, _ in coded],
    )
    return block, plan.order


def decode_block(
    block: Block, classes: list[Class], order: Order, models: list[Model], advance: Advance
) -> list[np.ndarray]:
    """Undo `encode_block`: samples uint8 [H, W, C] in coded order; `advance` takes shares of the block.

    Raises DamagedError.
    """
    own = [classes[i] for i, _ in block.classes]
    counts = count(own, [n for _, n in block.classes])
    if len(block.lanes) != len(counts):
        raise DamagedError("a block's lanes do not fit its images; the archive is damaged")
    for (group, n), lanes in zip(counts.items(), block.lanes, strict=True):
        if lanes > n or (lanes > 1 and lanes * group.height * group.width > MAX_STEP_PIXELS):
            raise DamagedError("a block's lanes do not fit its images; the archive is damaged")
    schedules = [Schedule(n, lanes) for n, lanes in zip(counts.values(), block.lanes, strict=True)]
    tasks = _tasks(counts, schedules, block.conditional, models, advance)
    stacks = Stacks.load(block.bits)
    elements = {group: bob(stacks, task) for group, task in tasks.items()}
    stacks.check_seeds(block.seed_words)
    local = np.searchsorted([i for i, _ in block.classes], order.classes)
    pictures = join(own, local, elements)
    if digest(pictures) != block.digest:
        raise DamagedError("the decoded pixels are not those that were encoded")
    return pictures


def _tasks(
    counts: dict[Group, int], schedules: list[Schedule], conditional: bool, models: list[Model], advance: Advance
) -> dict[Group, GroupTask]:
    """A task for each group of so many elements; `advance` takes shares of the block, by pixels."""
    pixels = sum(n * group.height * group.width for group, n in counts.items())
    histories = _histories(counts, models)
    tasks = {}
    for group, schedule in zip(counts, schedules, strict=True):
        size = group.height, group.width
        done = partial(_advance_elements, advance, group.height * group.width, pixels)
        tasks[group] = GroupTask(models[group.model], schedule, *size, conditional, done, histories[group])
    return tasks


def _histories(counts: dict[Group, int], models: list[Model]) -> dict[Group, History | None]:
    """Each group's source of copy candidates, shared by groups of as many colours; None for models without candidates."""
    sizes: dict[int, list[tuple[int, int, int]]] = {}
    for group, n in counts.items():
        if models[group.model].arch.candidates:
            sizes.setdefault(models[group.model].arch.colours, []).append((n, group.height, group.width))
    histories = {colours: History(found, colours) for colours, found in sizes.items()}
    return {g: histories[models[g.model].arch.colours] if models[g.model].arch.candidates else None for g in counts}


def _advance_elements(advance: Advance, pixels: int, total: int, elements: float) -> None:
    """Tell `advance` the share of a block of `total` pixels that so many elements of `pixels` each make."""
    advance(elements * pixels / total)


def _push(
    plan: BlockPlan, elements: dict[Group, np.ndarray], models: list[Model], advance: Advance, count: int
) -> tuple[list[tuple[np.ndarray, int]], Tally]:
    """All groups on the same `count` stacks: for each the words to store and the words of seed it needs; and the tally."""
    counts = {group: len(each) for group, each in elements.items()}
    portion = Portion(advance, sum(counts.values()))
    schedules = [each.schedule(plan.way) for each in plan.groups.values()]
    tasks = _tasks(counts, schedules, plan.way.conditional, models, portion.advance)
    pixels = {group: elements[group][each.order(plan.way)] for group, each in plan.groups.items()}
    offers = {group: all_offers(pixels[group], task) for group, task in tasks.items()}
    widest = max(task.schedule.lanes * task.model.arch.code for task in tasks.values())
    seed = 64 + widest // 4  # 8 bits a latent of the widest step: rarely too little
    while True:
        stacks, tally = Stacks.seeded(count, seed), Tally()
        portion.restart()
        try:
            for group, each in reversed(plan.groups.items()):
                codes = each.codes[each.order(plan.way)]
                tally += alice(stacks, pixels[group], codes, tasks[group], offers[group])
        except SeedExhaustedError:
            seed *= 4
            continue
        return stacks.finish(seed), tally


def _whole_bits(tally: Tally) -> blocks.LedgerSums:
    """A block's sums, in whole bits."""
    sums = tally.residual, tally.prior, tally.posterior, tally.residual_theory, tally.latent_theory
    residual, prior, posterior, residual_theory, latent_theory = (max(0, round(value)) for value in sums)
    return residual, prior, posterior, residual_theory, latent_theory


def _counts(values: np.ndarray) -> list[int]:
    return np.unique(values, return_counts=True)[1].tolist()


def _pack(order: Order, tour: bool) -> bytes:
    """Encode a block's order: the folders that occur, then all sequences and the permutation in one stream."""
    out = FieldWriter()
    sequences = [(order.classes, np.bincount(order.classes).tolist())]
    if order.folders is not None:
        used, local, counts = np.unique(order.folders, return_inverse=True, return_counts=True)
        out.varint(len(used))
        for folder, n in zip(used.tolist(), counts.tolist(), strict=True):
            out.varint(folder)
            out.varint(n)
        if tour:
            sequences.append((local, counts.tolist()))
    permutations = [order.ranks] if tour and order.ranks is not None else []
    out.fixed(pack_order(sequences, permutations))
    return out.to_bytes()


def read_order(block: Block, keep: bool, folders: int) -> Order:
    """Undo `_pack`; `keep` is whether names are kept, `folders` the archive's number of folders. Raises DamagedError."""
    reader = FieldReader(block.order, "The order of a block's images")
    numbers = np.array([i for i, _ in block.classes])
    counts = [[n for _, n in block.classes]]
    total = sum(counts[0])
    used, sizes = [], []
    if folders:
        for _ in range(reader.varint(min(MAX_FOLDERS, total))):
            used.append(reader.varint(folders - 1))
            sizes.append(reader.varint(total))
        if sum(sizes) != total or 0 in sizes or sorted(set(used)) != used:
            raise DamagedError("the folders of a block's images are damaged")
        if block.tour:
            counts.append(sizes)
    rest = block.order[reader.position :]
    if len(rest) % 4:
        raise DamagedError("the order of a block's images is not whole words")
    sequences, permutations = unpack_order(rest, counts, [total] if keep and block.tour else [])
    local = sequences[1] if folders and block.tour else np.repeat(np.arange(len(used)), sizes)
    return Order(
        numbers[sequences[0]],
        np.array(used)[local] if folders else None,
        (permutations[0] if block.tour else np.arange(total)) if keep else None,
    )


def digest(pictures: list[np.ndarray]) -> bytes:
    """Hash of samples in coded order: 16 bytes of sha256 over every picture's sha256."""
    whole = hashlib.sha256()
    for samples in pictures:
        whole.update(hashlib.sha256(np.ascontiguousarray(samples).data).digest())
    return whole.digest()[:DIGEST_BYTES]
