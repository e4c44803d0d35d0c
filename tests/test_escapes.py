"""File names as printable text: one line, no control characters, and back to the same bytes."""

import codecs
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acncodec.images.escapes import escape, unescape, visible, write_escaped


@given(st.binary(max_size=40))
def test_every_name_comes_back(name: bytes) -> None:
    text = escape(name)
    assert text.isprintable()
    assert unescape(text.encode()) == name


@given(st.binary(max_size=40), st.sampled_from(["ascii", "latin-1", "cp1252"]))
def test_every_name_comes_back_from_any_encoding(name: bytes, encoding: str) -> None:
    codecs.register_error("tests.escaped", write_escaped)
    written = escape(name).encode(encoding, "tests.escaped")
    assert unescape(written.decode(encoding).encode()) == name


@given(st.binary(max_size=40))
def test_messages_have_no_control_characters(name: bytes) -> None:
    message = f"'{os.fsdecode(name)}'\n"
    assert all(line.isprintable() for line in visible(message).split("\n"))
    assert visible(f"{escape(name)}\n") == f"{escape(name)}\n"


@given(st.text(st.characters(categories=["Lu", "Ll", "Nd", "Po"], exclude_characters="\\"), max_size=20))
def test_what_can_be_read_stays_as_it_is(name: str) -> None:
    assert escape(name.encode()) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"c\xff.png", r"c\xff.png"),
        (rb"c\xff.png", r"c\\xff.png"),
        (b"a\x1b[31mred\n", r"a\x1b[31mred\x0a"),
        ("\u202e".encode(), r"\xe2\x80\xae"),
    ],
)
def test_escapes(name: bytes, text: str) -> None:
    assert escape(name) == text


@pytest.mark.parametrize("text", [b"\\", rb"a\b", rb"\x", rb"\xg0", rb"\x1"])
def test_other_backslashes_stand_for_themselves(text: bytes) -> None:
    assert unescape(text) == text
