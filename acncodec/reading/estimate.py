"""Estimate of how long restoring files of an archive will take on this machine, from a few of their blocks."""

from collections.abc import Sequence

from acncodec.block.directory import Entry
from acncodec.block.elements import count
from acncodec.block.estimate import Estimate, GroupWork, coding_seconds, is_long, writing_seconds
from acncodec.errors import AcnError
from acncodec.reading.reader import Archive

BLOCKS = 8  # that stand for all: an open archive caches as many, so that none is fetched twice


def estimate(part: Archive, entries: Sequence[Entry], share: float) -> Estimate | None:
    """For `share` times these files: None if they take no long work, or if that cannot be told."""
    try:
        return _of_blocks(part, _blocks(part, entries), share)
    except AcnError:
        return None  # restoring will say what is wrong


def _blocks(part: Archive, entries: Sequence[Entry]) -> list[int]:
    """The blocks that these files need."""
    every = range(len(part.header.blocks))
    if len(entries) == part.header.entries:
        return list(every)
    return sorted({part.section(entry.content) for entry in entries} & set(every))


def _of_blocks(part: Archive, blocks: list[int], share: float) -> Estimate | None:
    """For `share` times these blocks."""
    if not blocks:
        return None
    chosen = blocks[:: -(-len(blocks) // BLOCKS)]
    images = [sum(part.header.blocks[index] for index in some) for some in (blocks, chosen)]
    share *= images[0] / images[1]
    work, pictures = [], []
    for index in chosen:
        outline = part.outline(index)
        inside = [(part.classes[i], n) for i, n in outline.classes]
        pictures += inside
        counts = count([each for each, _ in inside], [n for _, n in inside])
        for (group, n), lanes in zip(counts.items(), outline.lanes, strict=False):
            work.append(GroupWork(group, n, min(n, lanes)))
    if not is_long(work, part.models, share):
        return None
    decoding = coding_seconds(work, part.models, part.side_by_side).decode + writing_seconds(pictures)
    names = tuple(part.models[i].name for i in sorted({each.group.model for each in work}))
    return Estimate(round(images[1] * share), names, None, decoding * share)
