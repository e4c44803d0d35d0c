"""File names as text: what people and line-based programs read, and back to the very bytes."""

import re

_ESCAPE = re.compile(rb"\\(\\|x[0-9a-fA-F]{2})")


def escape(name: bytes) -> str:
    r"""`name` as one line of printable text that no terminal takes for a command.

    What is not printable, or not UTF-8, is written byte for byte as \xHH, and a backslash as two: different names give
    different texts, and `unescape` undoes it.
    """
    text = name.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    return "".join(character if character.isprintable() else _bytes_of(character) for character in text)


def _bytes_of(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape"))


def unescape(text: bytes) -> bytes:
    r"""The name of which `escape` made `text`. A backslash that begins neither \\ nor \xHH stands for itself."""
    return _ESCAPE.sub(lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1][1:], 16)]), text)
