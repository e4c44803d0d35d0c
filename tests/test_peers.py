"""Tests of benchmarks/peers.py on a few of the bundled digits."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from acncodec import bundled
from acncodec.analysis import classical
from benchmarks import peers

pytestmark = pytest.mark.slow  # every peer codes
SAMPLE = Path(bundled.__file__).parent / "sample"
IMAGES = 12


def digits(root: Path, kinds: tuple[str, ...] = ("grey",)) -> Path:
    """A directory of the first digits of the sample, in folders by kind."""
    for kind in kinds:
        (root / kind).mkdir(parents=True)
        for path in sorted((SAMPLE / kind).rglob("*.png"))[: IMAGES // len(kinds)]:
            shutil.copy(path, root / kind)
    return root


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Results of one set, with a single archive of acncodec."""
    root = digits(tmp_path_factory.mktemp("digits") / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "ROWS", {"set": "drop"})
        found = peers.measure(root, sample=4)
    return {"mnist-8bit": {"limit": IMAGES, **found, "missing": classical.missing(), "provenance": {"date": "today"}}}


def test_every_peer_is_measured_in_and_out(results: dict[str, Any]) -> None:
    result = results["mnist-8bit"]
    assert (result["images"], result["samples"]) == (IMAGES, IMAGES * 28 * 28)
    rows = {peers.title(row): row for row in result["rows"]}
    assert len(rows) == len(result["rows"])
    assert {"xz 9e, solid", "bz2 9, solid", "PNG, per image", "WebP, per image", "acncodec, names: drop"} <= rows.keys()
    assert all(row["bits"] > 0 and row["encode_seconds"] > 0 and row["decode_seconds"] > 0 for row in rows.values())
    assert rows["WebP, per image"]["measured_on"] == 4
    assert rows["acncodec, names: drop"]["model_bytes"] == bundled.find("mnist-8bit").size


@pytest.mark.skipif(classical.imagecodecs is None, reason="JPEG XL needs imagecodecs")
def test_jpeg_xl_comes_in_both_arrangements(results: dict[str, Any]) -> None:
    found = {row["arrangement"] for row in results["mnist-8bit"]["rows"] if row["codec"] == "JPEG XL e7"}
    assert found == {"per image", "mosaic"}


def test_the_table_has_a_line_for_every_peer_the_smallest_first(results: dict[str, Any]) -> None:
    page = peers.markdown(results)
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "bits/image" not in line]
    rows = results["mnist-8bit"]["rows"]
    assert [int(line[1].replace(",", "")) for line in lines] == sorted(row["bits"] for row in rows)
    (webp,) = (line for line in lines if line[0] == "| WebP, per image")
    assert webp[5].endswith("(1x)")
    assert webp[6].endswith("(1x)")
    assert "one thread" in page
    assert "all\ncores" in page


def test_the_plot_is_a_picture_without_labels_that_overlap(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.text import Text

    boxes = []

    def watched(panel: Any, result: dict[str, Any]) -> None:
        label(panel, result)
        renderer = panel.figure.canvas.get_renderer()
        boxes.extend(Text.get_window_extent(text, renderer) for text in panel.texts)

    label = peers.label
    monkeypatch.setattr(peers, "label", watched)
    peers.plot(results, tmp_path / "peers.png")
    with Image.open(tmp_path / "peers.png") as image:
        image.load()
        assert image.format == "PNG"
        assert min(image.size) > 400
    assert len(boxes) == len(results["mnist-8bit"]["rows"])
    assert not any(box.count_overlaps(boxes[:number]) for number, box in enumerate(boxes))


def test_a_codec_that_does_not_give_back_its_input_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = digits(tmp_path / "root")
    honest = classical.picture_codec("WebP")
    wrong = classical.PictureCodec("WebP", honest.encode, lambda code, _: Image.new("L", (28, 28)))
    monkeypatch.setattr(classical, "picture_codecs", lambda: [wrong])
    with pytest.raises(RuntimeError, match="WebP did not give back"):
        peers.measure(root)
    monkeypatch.setattr(classical, "stream_codecs", lambda: [classical.StreamCodec("half", bytes, lambda code: code[1:])])
    with pytest.raises(RuntimeError, match="half did not give back"):
        peers.measure(root)


def test_sets_of_several_modes_have_no_mosaic(tmp_path: Path) -> None:
    root = digits(tmp_path / "root", ("grey", "bilevel"))
    found = list(peers.peers([Image.open(path) for path in sorted(root.rglob("*.png"))], 2))
    assert {each.arrangement for each in found} == {"solid", "per image"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    root = digits(tmp_path / "root")
    (root / "notes.txt").write_text("no image")
    with pytest.raises(RuntimeError, match="other files"):
        peers.measure(root)


def test_measured_sets_are_kept_unless_named(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    measured = []

    def make_set(name: str, root: Path, limit: int) -> None:
        measured.append(name)

    monkeypatch.setattr(peers, "SETS", ("mnist-8bit", "cifar10"))
    monkeypatch.setattr(peers, "make_set", make_set)
    known = {key: results["mnist-8bit"][key] for key in ("images", "samples", "rows")}
    monkeypatch.setattr(peers, "measure", lambda root: known)
    run = ["--output", str(tmp_path), "--limit"]
    for arguments, expected in (
        ([*run, "12", "--sets", "cifar10"], ["cifar10"]),
        ([*run, "12"], ["mnist-8bit"]),
        ([*run, "12"], []),
        ([*run, "12", "--sets", "cifar10"], ["cifar10"]),
        ([*run, "13"], ["mnist-8bit", "cifar10"]),
    ):
        measured.clear()
        done = CliRunner().invoke(peers.main, arguments, catch_exceptions=False)
        assert (done.exit_code, measured) == (0, expected)
    assert list(json.loads((tmp_path / "peers.json").read_text())) == ["mnist-8bit", "cifar10"]
    assert (tmp_path / "peers.md").read_text() in done.output
