"""FILE sections: byte strings that no network models, compressed by LZMA2; and single blobs, compressed the same way.

The first byte gives the coding of the body: 0 plain, or b for one raw LZMA2 stream with a dictionary of 2^b bytes that ends
where the section ends. The body of a FILE section is

    classes     runs of (class index, items), varints, until all items are covered; neighbouring runs differ
    lengths     a varint for each item, in bytes
    contents    concatenated, so that data shared by items is coded once
"""

import lzma
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, groupby

from acncodec.archive.fields import FieldReader, FieldWriter
from acncodec.archive.limits import MAX_CLASSES, MAX_DICTIONARY_BITS
from acncodec.errors import DamagedError

WHAT = "A section FILE of the archive"
PLAIN = 0
MIN_DICTIONARY_BITS = 12  # LZMA2's smallest
ITEM_BYTES = 16  # of an item's index entry, at most: class 3, run 4, length 9
STEP_BYTES = 2**20
WHOLE_BYTES = 2**27  # of contents that stay in memory unpacked: twice what a writer packs together


def pack_store(items: Sequence[tuple[int, bytes]]) -> bytes:
    """The bytes of a FILE section of `items` (class index, content), in order.

    Equal input gives equal bytes with the same liblzma.  Raises ValueError for a class index out of range.
    """
    head = FieldWriter()
    for index, run in groupby(index for index, _ in items):
        if index >= MAX_CLASSES:
            raise ValueError(f"class index {index} is not below {MAX_CLASSES}")
        head.varint(index)
        head.varint(sum(1 for _ in run))
    for _, content in items:
        head.varint(len(content))
    return pack_blob(b"".join([head.to_bytes(), *(content for _, content in items)]))


class Store:
    """The items of a FILE section: the index at its beginning is read at once, contents are unpacked on demand.

    `classes` and `lengths` (bytes) have an entry for each item. Contents of up to WHOLE_BYTES together are unpacked once
    and kept in memory. Larger ones are streamed piece by piece, from the beginning of the section unless items are
    requested in order. Any number of threads may read.
    """

    def __init__(self, pieces: Callable[[], Iterator[bytes]], count: int, limit: int) -> None:
        """`count` items with contents of at most `limit` bytes together; `pieces()` yields the section from its start.

        Raises DamagedError for anything that `pack_store` does not write.
        """
        self._pieces = pieces
        body = _Body(pieces(), WHAT)
        self.classes, self.lengths, start = _read_index(body, count, limit)
        if not count:
            body.end()
        self._ends = list(accumulate(self.lengths, initial=start))
        self._cursor: _Body | None = None

    def chunks(self, item: int) -> Iterator[bytes]:
        """The content of an item, in pieces. Raises DamagedError, at the latest at the end of the last item."""
        start, end = self._ends[item], self._ends[item + 1]
        if self._ends[-1] - self._ends[0] <= WHOLE_BYTES:
            yield self._whole[start - self._ends[0] : end - self._ends[0]]
            return
        body, self._cursor = self._cursor, None
        if body is None or body.position > start:
            body = _Body(self._pieces(), WHAT)
        while body.position < start:
            body.read(min(STEP_BYTES, start - body.position))
        while body.position < end:
            try:
                yield body.read(min(STEP_BYTES, end - body.position))
            except GeneratorExit:  # no more of it is wanted; the next item goes on from here
                self._cursor = body
                raise
        if item == len(self.lengths) - 1:
            body.end()
        self._cursor = body

    @cached_property
    def _whole(self) -> bytes:
        body = _Body(self._pieces(), WHAT)
        body.read(self._ends[0])
        contents = body.read(self._ends[-1] - self._ends[0])
        body.end()
        return contents


def _read_index(body: "_Body", count: int, limit: int) -> tuple[list[int], list[int], int]:
    """Classes and lengths of a section's items, and the offset of their contents."""
    size = 2**16
    while True:
        head = body.peek(size)
        try:
            return _parse_index(head, count, limit)
        except DamagedError:
            if len(head) < size or size >= ITEM_BYTES * count:
                raise
        size *= 16  # the index may continue beyond what was peeked at


def _parse_index(head: bytes, count: int, limit: int) -> tuple[list[int], list[int], int]:
    # Each item has a length, so this also bounds the memory that runs can claim.
    if count > len(head):
        raise DamagedError(f"{WHAT} is damaged: it has fewer than {count} items.")
    reader = FieldReader(head, WHAT)
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
    return indices, lengths, reader.position


def pack_blob(body: bytes) -> bytes:
    """`body` plain or as LZMA2, whichever is shorter: at most one byte more than `body`."""
    # No larger than the body needs: the decoder always allocates all of it.
    bits = min(max((len(body) - 1).bit_length(), MIN_DICTIONARY_BITS), MAX_DICTIONARY_BITS)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": 1 << bits}]
    coded = lzma.compress(body, format=lzma.FORMAT_RAW, filters=filters)
    return bytes([bits]) + coded if len(coded) < len(body) else bytes([PLAIN]) + body


def unpack_blob(data: bytes, limit: int, what: str) -> bytes:
    """Inverse of `pack_blob` if the body has at most `limit` bytes, else DamagedError about `what`.

    Takes memory for the dictionary (at most 64 MiB) and for twice the output.
    """
    body = _Body(iter([data]), what)
    found = body.peek(limit + 1)  # one byte more, to detect a body that is longer
    if len(found) > limit:
        raise DamagedError(f"{what} is damaged: it is longer than expected.")
    return found


class _Body:
    """Streaming inverse of `pack_blob`. Takes memory for the dictionary, at most 64 MiB."""

    def __init__(self, pieces: Iterator[bytes], what: str) -> None:
        """`pieces` are the packed bytes in order."""
        self._pieces, self._what = pieces, what
        self._decoder: lzma.LZMADecompressor | None = None
        self._buffer = bytearray()
        self.position = 0  # offset of the next byte in the body
        first = next((piece for piece in pieces if piece), b"")
        if not first:
            raise DamagedError(f"{what} is damaged: there is no data.")
        method, self._input = first[0], first[1:]
        if MIN_DICTIONARY_BITS <= method <= MAX_DICTIONARY_BITS:
            filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << method}]
            self._decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters)
        elif method != PLAIN:
            raise DamagedError(f"{what} is damaged: coding method {method} is unknown.")

    def peek(self, count: int) -> bytes:
        """The next `count` bytes or, if the body ends before, all that are left; they are not consumed."""
        while len(self._buffer) < count and self._unpack(count - len(self._buffer)):
            pass
        with memoryview(self._buffer) as view:
            return bytes(view[:count])

    def read(self, count: int) -> bytes:
        """The next `count` bytes."""
        found = self.peek(count)
        if len(found) < count:
            raise DamagedError(f"{self._what} is damaged: it ends too early.")
        del self._buffer[:count]
        self.position += count
        return found

    def end(self) -> None:
        """Raises DamagedError unless the body ends here."""
        if self.peek(1):
            raise DamagedError(f"{self._what} is damaged: it has bytes too many at its end.")

    def _unpack(self, wanted: int) -> bool:
        """Unpack one more step; False at the end of the body."""
        if self._decoder is None:
            piece, self._input = self._input or next(self._pieces, b""), b""
            self._buffer += piece
            return bool(piece)
        if self._decoder.eof:
            excess = len(self._decoder.unused_data) + len(self._input) + sum(map(len, self._pieces))
            if excess:
                raise DamagedError(f"{self._what} is damaged: {excess} bytes too many at its end.")
            return False
        starved = self._decoder.needs_input and not self._input
        given, self._input = self._input or (next(self._pieces, b"") if starved else b""), b""
        try:
            step = self._decoder.decompress(given, max_length=min(STEP_BYTES, wanted))
        except lzma.LZMAError as error:
            raise DamagedError(f"{self._what} is damaged: {error}.") from error
        if starved and not step and not given and not self._decoder.eof:
            raise DamagedError(f"{self._what} is damaged: it ends too early.")
        self._buffer += step
        return True
