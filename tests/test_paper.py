"""The paper's tables and figures at toy size, on the sample digits of the package."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("matplotlib")

from trainings import SMALL_ARCH, run, trainer

from acncodec import bundled
from acncodec.training import step as training
from acncodec.training.trainer import Trainer
from benchmarks.paper import __main__ as paper
from benchmarks.paper import context
from benchmarks.paper.models import SIZES, VARIANTS, staleness

STEPS = ("costs", "classification", "algorithm", "order", "context")


def digits(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The sample's images uint8 [N, 28, 28] and labels."""
    paths = sorted((bundled.SAMPLE / kind).rglob("*.png"))
    return np.stack([np.asarray(Image.open(path)).astype(np.uint8) for path in paths]), np.array(
        [int(path.parent.name) for path in paths]
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks, few variants, and the sample in the place of MNIST."""
    grey, labels = digits("grey")
    monkeypatch.setattr(paper, "mnist", lambda part: grey)
    monkeypatch.setattr(paper, "mnist_labels", lambda part: labels)
    monkeypatch.setitem(SIZES, "ours", {"levels": 2, **SMALL_ARCH})
    for name in [name for name in VARIANTS if name in ("acn-10", "acn-50", "acn-100", "acn-1000")]:
        monkeypatch.delitem(VARIANTS, name)
    monkeypatch.setattr(paper, "COUNTS", (20, 60))
    monkeypatch.setattr(context, "STEPS", 20)


def invoke(out: Path, *arguments: str) -> Any:
    done = CliRunner().invoke(paper.main, ["--budget", "0.01", "--out", str(out), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_steps_make_tables_and_figures_once(tmp_path: Path) -> None:
    only = [part for name in STEPS for part in ("--only", name)]
    invoke(tmp_path, *only)
    state = json.loads((tmp_path / "state.json").read_text())
    assert set(state["steps"]) == set(STEPS)
    text = (tmp_path / "tables.md").read_text()
    with (tmp_path / "costs.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert set(rows) == {*(variant.title for variant in VARIANTS.values()), "the paper's ACN"}
    assert rows["Gated PixelCNN, no latents"]["KL, unconditional"] == rows["Gated PixelVAE"]["ordered"] == ""
    acn = {key: float(value) for key, value in rows["ACN, K = 5"].items() if key != "model"}
    assert acn["ordered"] == pytest.approx(acn["residual"] + acn["KL, improved tour"])
    assert f"{acn['ordered']:.3f}" in text
    for name in ("costs.png", "order.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 400
    before = (tmp_path / "state.json").read_bytes()
    invoke(tmp_path, "--only", "order")
    again = json.loads((tmp_path / "state.json").read_text())
    assert again["steps"]["costs"] == state["steps"]["costs"]
    assert again["steps"]["order"]["text"] == json.loads(before)["steps"]["order"]["text"]  # files are the same bits


def test_tables_go_between_the_marks_of_the_page() -> None:
    step = {"text": "| new |\n", "provenance": {"date": "today", "commit": "abc", "machine": "one"}}
    page = "a\n<!-- costs -->\n| old |\n<!-- end -->\nb\n<!-- order -->\n| kept |\n<!-- end -->\n"
    done = paper.filled(page, {"steps": {"costs": step, "context": step}})
    assert (
        done
        == "a\n<!-- costs -->\n\n| new |\n\ntoday, commit abc, one\n\n<!-- end -->\nb\n" + page[page.index("<!-- order") :]
    )
    assert paper.filled(done, {"steps": {"costs": step}}) == done


def test_the_page_has_a_place_for_every_step_and_its_latest_tables() -> None:
    page = paper.PAGE.read_text()
    assert all(page.count(f"<!-- {name} -->\n") == 1 for name in paper.STEPS)
    assert page.count("<!-- end -->") == len(paper.STEPS)
    assert paper.filled(page, json.loads((paper.RESULTS / "state.json").read_text())) == page


def test_a_model_without_pixels_sees_none() -> None:
    """A feed-forward decoder's distributions do not depend on the image, those of the others do."""
    t = trainer(1)
    z = torch.zeros(2, 3)
    pixels = torch.zeros(2, 8, 8, 1, dtype=torch.uint8)
    pixels[1] = 1
    for name, alike in (("vae", True), ("pixelvae", False)):
        with VARIANTS[name].within():
            logits = t.exact_networks().distributions(pixels, z)[0].logits
        assert torch.equal(logits[0], logits[1]) == alike


def test_excluding_the_own_code_is_what_the_variant_undoes() -> None:
    codes = torch.arange(60, dtype=torch.int8).view(20, 3)
    with VARIANTS["acn-own"].within():
        parents = training.neighbours(codes, torch.arange(20), torch.zeros(20))
    assert torch.equal(parents, codes.float())


def test_codes_age_only_while_networks_learn() -> None:
    t: Trainer = trainer(12)  # three epochs
    fresh = staleness(t)
    run(t)
    aged = staleness(t)
    assert fresh["codes_stale"] < aged["codes_stale"] < aged["codes_apart"]


def test_nearest_earlier_codes_were_sent_before_the_parent() -> None:
    codes = np.random.default_rng(0).integers(-60, 61, (80, 4)).astype(np.int16)
    found = context.nearest_earlier(codes)
    for child in range(context.KEPT, len(codes)):
        parent, near = child - 1, found[child - context.KEPT]
        squares = np.square(codes[:parent].astype(int) - codes[parent]).sum(1)
        assert (near < parent).all()
        assert sorted(squares[near]) == sorted(squares)[: context.KEPT - 1]


def test_contexts_are_what_came_before() -> None:
    codes = np.arange(40).reshape(20, 2).astype(np.int16)
    found = context.contexts(codes)
    assert (found["the one before"] == codes[2:-1]).all()
    assert (found["the 3 before"][0] == [4, 5, 2, 3, 0, 1]).all()
    assert all(len(context) == 17 for context in found.values())
