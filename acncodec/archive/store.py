"""FILE sections: byte strings that no network models, kept by a general codec; and single blobs, kept the same way.

The first byte says how the body follows: 0 plain, or b as one raw LZMA2 stream with a dictionary of 2^b bytes that
ends where the section ends.  The body of a FILE section is

    classes     runs of (class index, items), varints, until there are enough items; neighbouring runs differ
    lengths     a varint for each item, in bytes
    contents    one after the other, so that what items share is coded once
"""

import lzma
from collections.abc import Sequence
from itertools import groupby

from acncodec.archive.limits import MAX_CLASSES, MAX_DICTIONARY_BITS
from acncodec.archive.wire import Reader, Writer
from acncodec.errors import DamagedError

WHAT = "A section FILE of the archive"
PLAIN = 0
MIN_DICTIONARY_BITS = 12  # LZMA2's smallest
ITEM_BYTES = 16  # of an item beside its content, at most: class 3, run 4, length 9
STEP_BYTES = 2**20


def pack_store(items: Sequence[tuple[int, bytes]]) -> bytes:
    """The bytes of a FILE section of `items` (class index, content), in order.

    Equal input gives equal bytes with the same liblzma.  Raises ValueError for a class index out of range.
    """
    head = Writer()
    for index, run in groupby(index for index, _ in items):
        if index >= MAX_CLASSES:
            raise ValueError(f"class index {index} is not below {MAX_CLASSES}")
        head.varint(index)
        head.varint(sum(1 for _ in run))
    for _, content in items:
        head.varint(len(content))
    return pack_blob(b"".join([head.to_bytes(), *(content for _, content in items)]))


def unpack_store(data: bytes, count: int, limit: int) -> list[tuple[int, bytes]]:
    """Read a FILE section of `count` items whose contents have at most `limit` bytes together.

    Takes memory for the dictionary (at most 64 MiB), for twice what comes out and for `count` references, if there
    is data for so many, whatever the section claims.  Raises DamagedError for anything that `pack_store` does not write.
    """
    body = unpack_blob(data, limit + ITEM_BYTES * count, WHAT)
    # Each item has a length, so this also keeps runs from claiming memory for items that do not exist.
    if count > len(body):
        raise DamagedError(f"{WHAT} is damaged: it has fewer than {count} items.")
    reader = Reader(body, WHAT)
    indices: list[int] = []
    while len(indices) < count:
        index = reader.varint(MAX_CLASSES - 1)
        run = reader.varint(count - len(indices))
        if run == 0 or indices[-1:] == [index]:
            raise DamagedError(f"{WHAT} is damaged: its runs of classes are not valid.")
        indices += [index] * run
    lengths = [reader.varint(limit) for _ in range(count)]
    if sum(lengths) > limit:
        raise DamagedError(f"{WHAT} is damaged: its items are longer than {limit} bytes.")
    items = [(index, reader.fixed(length)) for index, length in zip(indices, lengths, strict=True)]
    reader.end()
    return items


def pack_blob(body: bytes) -> bytes:
    """`body` plain or as LZMA2, whichever is shorter: at most one byte more than `body`."""
    # No larger than the body needs: the decoder allocates it whatever the body.
    bits = min(max((len(body) - 1).bit_length(), MIN_DICTIONARY_BITS), MAX_DICTIONARY_BITS)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": 1 << bits}]
    coded = lzma.compress(body, format=lzma.FORMAT_RAW, filters=filters)
    return bytes([bits]) + coded if len(coded) < len(body) else bytes([PLAIN]) + body


def unpack_blob(data: bytes, limit: int, what: str) -> bytes:
    """Undo `pack_blob` if the body has at most `limit` bytes, else DamagedError about `what`.

    Takes memory for the dictionary (at most 64 MiB) and for twice what comes out.
    """
    if not data:
        raise DamagedError(f"{what} is damaged: there is no data.")
    method = data[0]
    if method == PLAIN:
        body = data[1:]
    elif MIN_DICTIONARY_BITS <= method <= MAX_DICTIONARY_BITS:
        body = _decompress(data[1:], 1 << method, limit, what)
    else:
        raise DamagedError(f"{what} is damaged: coding method {method} is unknown.")
    if len(body) > limit:
        raise DamagedError(f"{what} is damaged: it is longer than expected.")
    return body


def _decompress(data: bytes, dictionary: int, limit: int, what: str) -> bytes:
    """The output of a raw LZMA2 stream that ends where `data` ends; of a longer one, `limit` + 1 bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters)
    out = bytearray()
    try:
        # One byte more than allowed, to tell a stream that ends at the limit from one that goes on.
        while not decoder.eof and len(out) <= limit:
            step = decoder.decompress(data, max_length=min(STEP_BYTES, limit + 1 - len(out)))
            data = b""  # The decoder keeps what it has not used yet.
            out += step
            if not step and not decoder.eof:
                raise DamagedError(f"{what} is damaged: it ends too early.")
    except lzma.LZMAError as error:
        raise DamagedError(f"{what} is damaged: {error}.") from error
    if decoder.unused_data:
        raise DamagedError(f"{what} is damaged: {len(decoder.unused_data)} bytes too many at its end.")
    return bytes(out)
