"""Any single wrong byte, any wrong bit near the start and any truncation of an archive is told as an AcnError."""

import pytest
from conftest import CPU, make_pngs, no_progress

from acncodec.codec.compress import compress
from acncodec.codec.decompress import files, parse_archive
from acncodec.errors import AcnError, DamagedError, UnsupportedError


@pytest.fixture(scope="module")
def archive(tmp_path_factory, models):
    root = tmp_path_factory.mktemp("corruption") / "in"
    make_pngs(root, 3, 2, 2, "1")
    make_pngs(root, 2, 1, 1, "L")
    (root / "x").write_bytes(b"stored")
    compress(root, root.with_suffix(".acn"), models, progress=no_progress)
    return root.with_suffix(".acn").read_bytes()


def refused(data, model_files):
    """The error that reading `data` to its end raises; any that was not raised on purpose comes through."""
    try:
        list(files(parse_archive(data), model_files, CPU, no_progress))
    except AcnError as error:
        return error
    return None


def test_the_archive_itself_is_right(archive, model_files):
    assert refused(archive, model_files) is None
    assert 200 < len(archive) < 2000


def test_every_wrong_byte_is_told(archive, model_files):
    for position in range(len(archive)):
        damaged = bytearray(archive)
        damaged[position] ^= 0xFF
        assert isinstance(refused(bytes(damaged), model_files), DamagedError | UnsupportedError), position


def test_every_wrong_bit_near_the_start_is_told(archive, model_files):
    for position in range(200):
        for bit in range(8):
            damaged = bytearray(archive)
            damaged[position] ^= 1 << bit
            assert isinstance(refused(bytes(damaged), model_files), DamagedError | UnsupportedError), (position, bit)


def test_every_truncation_is_told(archive, model_files):
    for length in range(len(archive)):
        assert isinstance(refused(archive[:length], model_files), DamagedError), length


def test_every_byte_left_out_or_put_in_is_told(archive, model_files):
    for position in range(len(archive)):
        assert refused(archive[:position] + archive[position + 1 :], model_files), position
        assert refused(archive[:position] + b"\0" + archive[position:], model_files), position


def test_what_follows_the_archive_is_told(archive, model_files):
    for tail in (b"\0", b"\n", archive):
        assert isinstance(refused(archive + tail, model_files), DamagedError)
