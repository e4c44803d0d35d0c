"""File names as printable text, for people and line-based programs, and back to the same bytes."""

import re

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})")


def escape(name: bytes) -> str:
    r"""`name` as one line of printable text without control sequences.

    What is not printable, or not UTF-8, is written byte for byte as \xHH, and a backslash as two: different names give
    different texts, and `unescape` is the inverse.
    """
    return "".join(map(_printable, name.decode("utf-8", "surrogateescape").replace("\\", "\\\\")))


def visible(text: str) -> str:
    r"""`text` of any lines with \xHH for each byte of what is not printable; what `escape` made stays as it is."""
    return "\n".join("".join(map(_printable, line)) for line in text.split("\n"))


def write_escaped(error: UnicodeError) -> tuple[str, int]:
    """Handler for `codecs.register_error`: characters that an encoding lacks are written as `escape` writes bytes."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_bytes_of, error.object[error.start : error.end])), error.end


def _printable(character: str) -> str:
    return character if character.isprintable() else _bytes_of(character)


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: bytes) -> bytes:
    r"""The name from which `escape` made `text`. A backslash that begins neither \\ nor \xHH stands for itself."""
    return _ESCAPE.sub(lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1][1:], 16)]), text)
