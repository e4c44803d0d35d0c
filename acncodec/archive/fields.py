"""Byte fields, little-endian, each value with exactly one encoding: written and read in sequence."""

from acncodec.errors import DamagedError

MAX_VARINT = 2**64 - 1
MAX_VARINT_BYTES = 10


class FieldWriter:
    """Collects fields; ValueError for a value that its field cannot hold."""

    def __init__(self) -> None:
        self._data = bytearray()

    def u8(self, value: int) -> None:
        """Append one byte, 0 to 255."""
        self._data.append(value)

    def varint(self, value: int) -> None:
        """Append an unsigned LEB128 integer, 0 to 2^64 - 1, in 1 to 10 bytes of 7 bits, low bits first."""
        if not 0 <= value <= MAX_VARINT:
            raise ValueError(f"{value} does not fit an unsigned integer of 64 bits")
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)

    def fixed(self, data: bytes) -> None:
        """Append bytes of a length that the reader knows."""
        self._data += data

    def blob(self, data: bytes) -> None:
        """Append a varint length in bytes, then the bytes."""
        self.varint(len(data))
        self._data += data

    def text(self, value: str) -> None:
        """Append a string as a blob of UTF-8; ValueError for a lone surrogate."""
        self.blob(value.encode())

    def to_bytes(self) -> bytes:
        """All fields so far."""
        return bytes(self._data)


class FieldReader:
    """Reads fields from `data` in the order written; every failure is a DamagedError naming `what`."""

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._data = memoryview(data)
        self._what = what
        self.position = 0

    def u8(self) -> int:
        """One byte, 0 to 255."""
        return self.fixed(1)[0]

    def varint(self, limit: int = MAX_VARINT) -> int:
        """An unsigned LEB128 integer of at most `limit`; padded encodings are rejected."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.u8()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if byte == 0 and index > 0:
                    raise DamagedError(f"{self._what} is damaged: an integer is padded.")
                break
        else:
            raise DamagedError(f"{self._what} is damaged: an integer is too long.")
        # Ten bytes hold 70 bits, so this also limits a value to 64.
        if value > min(limit, MAX_VARINT):
            raise DamagedError(f"{self._what} is damaged: an integer is out of range.")
        return value

    def fixed(self, count: int) -> bytes:
        """The next `count` bytes."""
        if count > len(self._data) - self.position:
            raise DamagedError(f"{self._what} is damaged: it ends too early.")
        start, self.position = self.position, self.position + count
        return bytes(self._data[start : self.position])

    def blob(self, limit: int) -> bytes:
        """Bytes after a varint length of at most `limit`."""
        return self.fixed(self.varint(limit))

    def text(self, limit: int) -> str:
        """A string of at most `limit` bytes of UTF-8."""
        try:
            return self.blob(limit).decode()
        except UnicodeDecodeError as error:
            raise DamagedError(f"{self._what} is damaged: a text is not UTF-8.") from error

    def end(self) -> None:
        """Check that nothing is left over."""
        left = len(self._data) - self.position
        if left:
            raise DamagedError(f"{self._what} is damaged: {left} bytes too many at its end.")
