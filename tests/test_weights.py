"""Packed models: entropy-coded integers, whole or as differences, come back byte for byte; others are refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import reader_models
from conftest import KINDS, tiny_model_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from acncodec import bundled
from acncodec.coding.weights import names_of, pack_model, unpack_model
from acncodec.errors import InputError, ModelError, ModelMissingError
from acncodec.nets.model import parse_model

LIMIT = 1 << 24


def nobody(sha256: bytes) -> bytes:
    raise LookupError("no base was to be asked for")


def file_of(**tensors: np.ndarray) -> bytes:
    return save(tensors, {"about": "these"})


values = st.one_of(st.integers(-128, 127), st.just(0), st.sampled_from([-128, -127, 127]))
lists = st.lists(values, max_size=700)


@settings(max_examples=60, deadline=None)
@given(lists, lists, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40), st.integers(0, 5))
def test_any_integers_come_back(first: list[int], second: list[int], wide: list[int], shift: int) -> None:
    plain = file_of(
        a=np.array(first, np.int8),
        b=np.array(second, np.int16) << shift,
        c=np.array(wide, np.int32),
        d=np.array(first, np.int8).view(np.uint8),
    )
    packed = pack_model(plain)
    assert unpack_model(packed, nobody, LIMIT) == plain
    assert names_of(packed) == (hashlib.sha256(plain).digest(), None)


fine = st.lists(st.integers(-2047, 2047), min_size=1, max_size=700)


@settings(max_examples=60, deadline=None)
@given(fine, fine, st.lists(st.integers(-(2**31), 2**31 - 1), max_size=40))
def test_fine_weights_come_back(first: list[int], second: list[int], wide: list[int]) -> None:
    size = min(len(first), len(second))
    base, plain = (
        file_of(a=np.array(each[:size], np.int16), b=np.array(wide, np.int32)[::step])
        for each, step in ((first, 1), (second, -1))
    )
    for packed in (pack_model(plain), pack_model(plain, base)):
        assert unpack_model(packed, lambda sha256: base, LIMIT) == plain
        assert reader_models.unpacked_model(packed, [base]) == plain


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=600))
def test_differences_come_back(pairs: list[tuple[int, int]]) -> None:
    base, plain = (file_of(a=np.array(each, np.int8)) for each in zip(*pairs, strict=True))
    packed = pack_model(plain, base)
    asked = []
    assert unpack_model(packed, lambda sha256: asked.append(sha256) or base, LIMIT) == plain
    assert asked == [hashlib.sha256(base).digest()] == [names_of(packed)[1]]


def test_small_differences_cost_little() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 20, 20_000).clip(-127, 127).astype(np.int8)
    changed = weights.copy()
    changed[::100] += 4
    whole, difference = pack_model(file_of(a=weights)), pack_model(file_of(a=changed), file_of(a=weights))
    entropy = np.log2(20 * np.sqrt(2 * np.pi * np.e)) * len(weights) / 8
    assert entropy < len(whole) < 1.03 * entropy + 200
    fine_weights = rng.normal(0, 320, 20_000).clip(-2047, 2047).astype(np.int16)
    whole, entropy = pack_model(file_of(a=fine_weights)), entropy + 4 * len(weights) / 8
    assert entropy < len(whole) < 1.03 * entropy + 200
    sparse = (0.01 * np.log2(100) + 0.99 * np.log2(1 / 0.99)) * len(weights) / 8
    assert sparse < len(difference) < 1.2 * sparse + 250


@pytest.mark.parametrize("path", sorted(bundled.FOLDER.glob("*.safetensors")), ids=lambda path: path.stem)
def test_bundled_models_are_packed(path: Path) -> None:
    model = bundled.load(path)
    assert hashlib.sha256(model.plain).digest() == model.sha256
    assert model.size == path.stat().st_size < 0.76 * len(model.plain)
    assert bundled.model_file(model.plain) == path.read_bytes()
    # The metadata can be read without unpacking.
    data = path.read_bytes()
    assert f'\\"name\\": \\"{model.name}\\"'.encode() in data[: 8 + int.from_bytes(data[:8], "little")]


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("with_base", [False, True])
def test_damage_is_refused(with_base: bool, fine: bool) -> None:
    base, plain = tiny_model_bytes(2, fine=fine), tiny_model_bytes(2, calm=True, fine=fine)
    packed = pack_model(plain, base) if with_base else pack_model(plain)
    find = (lambda sha256: base) if with_base else nobody
    assert unpack_model(packed, find, LIMIT) == plain
    for position in range(0, len(packed), 7):
        for bit in (1, 128):
            bad = bytearray(packed)
            bad[position] ^= bit
            refused_or_same(bytes(bad), find, plain)
    for length in range(0, len(packed), 5):
        refused_or_same(packed[:length], find, plain)
    refused_or_same(packed + b"\0\0\0\0", find, plain)


def refused_or_same(data: bytes, find: object, plain: bytes) -> None:
    """Damage without effect (in an unused last word) may pass; otherwise the result must be refused."""
    try:
        found = unpack_model(data, find, LIMIT)
    except (ModelError, LookupError):  # the latter from `nobody`, of whom no base was to be asked
        return
    assert found == plain


def test_a_model_that_would_be_too_large_is_refused() -> None:
    plain = file_of(a=np.zeros(1 << 20, np.int8))
    packed = pack_model(plain)
    assert len(packed) < 300
    assert unpack_model(packed, nobody, len(plain)) == plain
    with pytest.raises(ModelError):
        unpack_model(packed, nobody, len(plain) - 1)


def test_a_base_of_another_shape_is_refused() -> None:
    base, plain = file_of(a=np.ones(5, np.int8)), file_of(a=np.ones(6, np.int8))
    with pytest.raises(ValueError, match="other tensors"):
        pack_model(plain, base)
    packed = pack_model(plain, file_of(a=np.zeros(6, np.int8)))
    with pytest.raises(ModelError):
        unpack_model(packed, lambda sha256: base, LIMIT)


@pytest.mark.parametrize(("levels", "colours"), KINDS)
def test_model_files_of_every_form_are_one_model(levels: int, colours: int, tmp_path: Path, monkeypatch) -> None:
    base, plain = tiny_model_bytes(levels, colours=colours), tiny_model_bytes(levels, calm=True, colours=colours)
    (tmp_path / "plain.safetensors").write_bytes(plain)
    (tmp_path / "packed.safetensors").write_bytes(bundled.model_file(plain))
    (tmp_path / "base.safetensors").write_bytes(base)
    (tmp_path / "difference.safetensors").write_bytes(bundled.model_file(plain, base))
    monkeypatch.setenv("ACNCODEC_MODELS", str(tmp_path))
    sha256 = parse_model(plain).sha256
    for name in ("plain", "packed", "difference"):
        path = tmp_path / f"{name}.safetensors"
        model = bundled.find(name)
        assert (model.sha256, model.plain, model.size) == (sha256, plain, path.stat().st_size)
        assert bundled.find_sha256("it", sha256, [path]).plain == plain


def test_an_earlier_model_is_found_by_its_archives_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiny_model_bytes(2, calm=True)
    (tmp_path / "tiny.safetensors").write_bytes(bundled.model_file(plain))
    monkeypatch.setattr(bundled, "EARLIER", tmp_path)
    assert bundled.find_sha256("it", parse_model(plain).sha256, []).plain == plain
    assert tmp_path / "tiny.safetensors" not in bundled.model_files()


def test_a_missing_base_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, plain = tiny_model_bytes(2), tiny_model_bytes(2, calm=True)
    path = tmp_path / "difference.safetensors"
    path.write_bytes(bundled.model_file(plain, base))
    monkeypatch.setenv("ACNCODEC_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match=f"difference.*{hashlib.sha256(base).hexdigest()}"):
        bundled.load(path)


def test_differences_of_differences_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if each claims to be the other's base, which would go on for ever."""
    first, second = tiny_model_bytes(2), tiny_model_bytes(2, calm=True)
    for name, plain, base in (("a", first, second), ("b", second, first)):
        (tmp_path / f"{name}.safetensors").write_bytes(bundled.model_file(plain, base))
    monkeypatch.setenv("ACNCODEC_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match="difference"):
        bundled.find("a")


def test_a_packed_file_has_one_tensor() -> None:
    plain = tiny_model_bytes(2)
    tensors = load(bundled.model_file(plain))
    assert list(tensors) == ["packed"]
    assert unpack_model(tensors["packed"].tobytes(), nobody, LIMIT) == plain


def test_a_file_that_is_missing_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(InputError, match="cannot read the model"):
        bundled.load(path)
    path.write_bytes(tiny_model_bytes(2))
    monkeypatch.setattr(bundled, "MAX_MODEL_BYTES", path.stat().st_size - 1)
    with pytest.raises(ModelError, match="too large"):
        bundled.load(path)
