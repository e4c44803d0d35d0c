"""Benchmark code that results depend on: comparing directories, and making and classifying corrupted archives."""

import io
import json
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image, PngImagePlugin
from trainings import trainer

pytest.importorskip("imagecodecs")

from acncodec.archive import block
from acncodec.errors import DamagedError
from benchmarks import compare, cuda_check, directories, fuzz, gpu_training
from benchmarks.directory_sets import spread
from benchmarks.fuzz_cases import make_material, mutate


def png(pixels, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", **options)
    return out.getvalue()


RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"
# The first was measured before its page had columns for the speeds of classical codecs; the others share a page.
OTHERWISE = {"ordered_vs_unordered", "long_training_coarse", "long_training_fine"}
GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


def text(value):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", value)
    return info


def test_an_image_written_anew_is_the_same_but_for_its_bytes():
    first, second = png(GREY, compress_level=0), png(GREY, compress_level=9)
    assert first != second
    assert compare.difference(first, second, exact=False) is None
    assert compare.difference(first, second, exact=True) == "the bytes differ"
    assert compare.content(first) == compare.content(second)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (png(GREY + 1), "pixels"),
        (png(GREY[:2]), "size"),
        (png(GREY > 5), "mode"),
        (png(GREY, dpi=(72, 72)), "metadata"),
        (png(GREY, pnginfo=text("b")), "metadata"),
        (png(GREY, transparency=3), "metadata"),
        (png(GREY, icc_profile=b"profile"), "metadata"),
    ],
)
def test_images_that_differ(other, what):
    assert what in (compare.difference(png(GREY, pnginfo=text("a")), other, exact=False) or "")
    assert compare.content(png(GREY)) != compare.content(other)


def test_damaged_images_count_by_their_bytes():
    whole = png(np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8))
    assert compare.image(whole[:-40]) is None
    assert compare.difference(whole[:-40], whole[:-41], exact=False)


def test_directories_that_differ(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    (a / "empty").mkdir(parents=True)
    (a / "sub").mkdir()
    (a / "sub" / "file").write_bytes(b"1")
    (a / "image.png").write_bytes(png(GREY, compress_level=0))
    shutil.copytree(a, b)
    (b / "image.png").write_bytes(png(GREY, compress_level=9))
    assert list(compare.differences(a, b)) == []
    assert CliRunner().invoke(compare.main, [str(a), str(b)]).exit_code == 0
    assert CliRunner().invoke(compare.main, [str(a), str(b), "--bytes"]).exit_code == 1
    (b / "empty").rmdir()
    (b / "sub" / "file").write_bytes(b"2")
    (b / "more").symlink_to("sub")
    assert [name for name, _ in compare.differences(a, b)] == [b"empty", b"more", b"sub/file"]
    done = CliRunner().invoke(compare.main, [str(a), str(b)])
    assert (done.exit_code, done.output.splitlines()[0]) == (1, "different: 3 of 4 paths")


@pytest.mark.parametrize("names", ["folders", "drop"])
def test_numbered_images_are_compared_as_sets(tmp_path, names):
    a, b = tmp_path / "a", tmp_path / "b"
    for root, name in ((a, "name.png"), (b, "0.png")):
        (root / "x").mkdir(parents=True)
        (root / "x" / name).write_bytes(png(GREY))
    directories.verify(a, b, names)
    (b / "x" / "1.png").write_bytes(png(GREY))
    with pytest.raises(RuntimeError):
        directories.verify(a, b, names)


def test_limits_spread_evenly():
    assert spread(10, 3) == [0, 4, 9]
    assert spread(3, None) == spread(3, 7) == [0, 1, 2]


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    return folder, make_material(folder)


def test_material_has_every_section(fuzzed):
    tags = {tag for each in fuzzed[1] for tag, _ in each.sections}
    assert tags == {"HEAD", "FORM", "NAME", "ORDR", "PLAC", "FLDR", "EMPT", "BLCK", "FILE", "MODL", "MANI", "NIDX"}
    assert all(len(each.files) == 19 for each in fuzzed[1])


def test_material_has_blocks_of_several_stacks(fuzzed):
    blocks = [block.decode(payload) for each in fuzzed[1] for tag, payload in each.sections if tag == "BLCK"]
    assert {len(each.bits) for each in blocks} == {1, 2}
    assert any(all(each.bits) and len(each.bits) == max(each.lanes) == 2 for each in blocks)


def test_cases_depend_on_seed_and_number_alone(fuzzed):
    cases = [mutate(fuzzed[1], np.random.default_rng([0, number]))[1:] for number in (1, 1, 2)]
    assert cases[0] == cases[1] != cases[2]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DamagedError("x"), "DamagedError"),
        (ValueError("x"), fuzz.FOREIGN),
        (BaseException("a panic"), fuzz.FOREIGN),
        (fuzz.LateError(), fuzz.HANG),
    ],
)
def test_outcomes(fuzzed, monkeypatch, error, outcome):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(fuzz, "read_all", fail)
    case = fuzz.run_case(fuzzed[1], fuzzed[0], 0, 0, fuzz.Watch())
    assert case.outcome == outcome
    summary = fuzz.Summary()
    summary.add([case])
    assert len(summary.failures) == (outcome in fuzz.FAILURES)
    assert summary.outcomes == {outcome: 1}


def test_wrong_pixels_are_detected(fuzzed, monkeypatch):
    folder, material = fuzzed
    decode = fuzz.reader.decode_block
    watch = fuzz.Watch()
    monkeypatch.setattr(fuzz.reader, "decode_block", watch)
    path = folder / "archive"
    path.write_bytes(b"".join(fuzz.write_container(material[0].sections)))
    models = sorted(folder.glob("*.safetensors"))
    assert fuzz.read_all(path, models, False) == (material[0].files, material[0].empty)
    assert not watch.wrong
    wrong = fuzz.Watch(lambda *arguments: [1 - picture for picture in decode(*arguments)], watch.known)
    monkeypatch.setattr(fuzz.reader, "decode_block", wrong)
    with pytest.raises(DamagedError):  # the palette has no such colour
        fuzz.read_all(path, models, False)
    assert wrong.wrong


def test_a_training_state_is_kept_in_small_files(tmp_path, monkeypatch):
    state = trainer(1).state()
    largest = max(tensor.nbytes for tensor in state.values())
    monkeypatch.setattr(gpu_training, "LARGEST", gpu_training.HEADERS + largest)
    gpu_training.save(tmp_path, "photo", state)
    files = list(tmp_path.iterdir())
    assert len(files) > 2
    assert all(path.stat().st_size <= gpu_training.LARGEST for path in files)
    found = gpu_training.load(tmp_path, "photo")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[key], state[key]) for key in state)
    state["counters"] += 1
    (tmp_path / "later").mkdir()
    gpu_training.save(tmp_path / "later", "photo", state)
    (tmp_path / "later" / "photo.checkpoint-1").replace(tmp_path / "photo.checkpoint-1")
    with pytest.raises(ValueError, match="different times"):
        gpu_training.load(tmp_path, "photo")
    monkeypatch.setattr(gpu_training, "LARGEST", gpu_training.HEADERS + largest - 1)
    with pytest.raises(ValueError, match="more than a file may have"):
        gpu_training.save(tmp_path, "photo", state)


@pytest.mark.parametrize("name", sorted(path.stem for path in RESULTS.glob("*.json") if path.stem not in OTHERWISE))
def test_the_tables_of_a_result_are_those_of_its_figures(name):
    figures = json.loads((RESULTS / f"{name}.json").read_text())
    module, _, of = name.partition("_") if name.startswith("recipe_") else name.partition("-")
    markdown = import_module(f"benchmarks.{'cuda_check' if module == 'cuda' else module}").markdown
    if module == "recipe":
        made = markdown(of, figures)
    elif module == "photographs":
        made = markdown(figures, grey=of == "grey")
    else:
        made = markdown(figures)

    def tables(page):
        return [line for line in page.splitlines() if line.startswith("|")]

    assert tables((RESULTS / f"{name}.md").read_text()) == tables(made) != []


def test_a_check_of_a_gpu_notes_failures_and_what_it_had_no_time_for():
    saved = []
    check = cuda_check.Check(torch.device("cpu"), 1e9, True, lambda result: saved.append(json.dumps(result)))
    check.each("part", ("good", "bad"), lambda name: {"way": {"us": 1234.6}} if name == "good" else 1 // 0)
    check.each("part", ("late",), pytest.fail, needed=2e9)
    assert json.loads(saved[-1])["part"] == check.result["part"]
    page = cuda_check.markdown(check.result)
    assert "| good, way | 1,235 |" in page
    assert "failed, ZeroDivisionError: " in page
    assert "left out" in page
