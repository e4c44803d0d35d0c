"""Streams over pieces: the same as a file in memory, with no more pieces taken than are needed."""

import io
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from acncodec.reading.stream import PieceStream

ACTIONS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 30)),
    st.tuples(st.just("seek"), st.integers(0, 60)),
    st.tuples(st.just("skip"), st.integers(0, 20)),
    st.tuples(st.just("end"), st.just(0)),
)


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(ACTIONS, max_size=12), st.booleans())
def test_like_a_file_in_memory(pieces: list[bytes], actions: list[tuple[str, int]], buffered: bool) -> None:
    raw = PieceStream(iter(pieces))
    stream: io.IOBase = io.BufferedReader(raw) if buffered else raw
    file = io.BytesIO(b"".join(pieces))
    for action, number in actions:
        for each in (stream, file):
            if action == "seek":
                each.seek(number)
            elif action == "skip":
                each.seek(number, io.SEEK_CUR)
            elif action == "end":
                each.seek(number, io.SEEK_END)
        if action == "read":
            assert stream.read(number) == file.read(number)  # type: ignore[attr-defined]
        assert stream.tell() == file.tell()


@given(st.integers(1, 100))
def test_only_what_is_read_is_taken(count: int) -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(20):
            taken += 10
            yield bytes(10)

    PieceStream(pieces()).read(count)
    assert taken == -(-count // 10) * 10
