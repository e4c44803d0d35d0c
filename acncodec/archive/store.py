"""Files that no network models, kept byte for byte by a general codec.

The first byte says how the body follows: 0 plain, or b as one raw LZMA2 stream with a dictionary of 2^b bytes.
The body is the lengths of all files (varints, in bytes), then their contents one after the other, so that
what files share is coded once.
"""

import lzma
from collections.abc import Iterable

from acncodec.archive.wire import Reader, Writer
from acncodec.errors import DamagedError

WHAT = "The archive's stored files"
PLAIN = 0
# LZMA2's smallest dictionary, and that of xz -9: what a decoder must be ready to set aside.
MIN_DICTIONARY_BITS = 12
MAX_DICTIONARY_BITS = 26
MAX_LENGTH_BYTES = 10
STEP_BYTES = 2**20


def pack_stored(blobs: Iterable[bytes]) -> bytes:
    """Code files, in order; equal input gives equal bytes with the same liblzma."""
    contents = list(blobs)
    lengths = Writer()
    for content in contents:
        lengths.varint(len(content))
    body = b"".join([lengths.to_bytes(), *contents])
    # No larger than the body needs: the decoder allocates it whatever the body.
    bits = min(max((len(body) - 1).bit_length(), MIN_DICTIONARY_BITS), MAX_DICTIONARY_BITS)
    preset = 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": 1 << bits}]
    coded = lzma.compress(body, format=lzma.FORMAT_RAW, filters=filters)
    return bytes([bits]) + coded if len(coded) < len(body) else bytes([PLAIN]) + body


def unpack_stored(data: bytes, count: int, limit: int) -> list[bytes]:
    """Decode `count` files of at most `limit` bytes in all.

    Takes memory for the dictionary (at most 64 MiB) and for twice what comes out, whatever `data` claims.
    Raises DamagedError if `data` is anything else than `count` files within the limit.
    """
    if not data:
        raise DamagedError(f"{WHAT} are damaged: there is no data.")
    method = data[0]
    if method == PLAIN:
        body = data[1:]
    elif MIN_DICTIONARY_BITS <= method <= MAX_DICTIONARY_BITS:
        body = _decompress(data[1:], 1 << method, limit + MAX_LENGTH_BYTES * count)
    else:
        raise DamagedError(f"{WHAT} are damaged: coding method {method} is unknown.")
    reader = Reader(body, WHAT)
    lengths = [reader.varint(limit) for _ in range(count)]
    if sum(lengths) > limit:
        raise DamagedError(f"{WHAT} are damaged: they are longer than {limit} bytes.")
    contents = [reader.fixed(length) for length in lengths]
    reader.end()
    return contents


def _decompress(data: bytes, dictionary: int, limit: int) -> bytes:
    """The output of a raw LZMA2 stream that ends where `data` ends and gives at most `limit` bytes."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": dictionary}]
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=filters)
    out = bytearray()
    try:
        while not decoder.eof:
            # One byte more than allowed, to tell a stream that ends at the limit from one that goes on.
            step = decoder.decompress(data, max_length=min(STEP_BYTES, limit + 1 - len(out)))
            data = b""  # The decoder keeps what it has not used yet.
            out += step
            if len(out) > limit:
                raise DamagedError(f"{WHAT} are damaged: they are longer than expected.")
            if not step and not decoder.eof:
                raise DamagedError(f"{WHAT} are damaged: they end too early.")
    except lzma.LZMAError as error:
        raise DamagedError(f"{WHAT} are damaged: {error}.") from error
    if decoder.unused_data:
        raise DamagedError(f"{WHAT} are damaged: {len(decoder.unused_data)} bytes too many at their end.")
    return bytes(out)
