"""The HTML report of a benchmark: self-contained and escaped."""

import json
import re
from typing import Any

import pytest
from reports import HOSTILE, empty, hostile, sample

from acncodec.report import embedded, page


def data_of(text: str) -> Any:
    """The page's data as a browser parses it: up to the first end of a script."""
    found = re.search(r'<script id="data" type="application/json">(.*?)</script', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.mark.slow
def test_nothing_is_fetched() -> None:
    text = page(sample())
    code = text.replace(json.dumps(sample()["groups"]), "")
    assert not re.search(r"https?:|//\w+\.|url\(|@import|\bimport\b|fetch\(|XMLHttpRequest|WebSocket|<link|<base", code)
    assert {each[:5] for each in re.findall(r'(?:src|href)="([^"]*)"', text)} <= {"data:"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    assert "unsafe" not in policy[1]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_escaped(name: str) -> None:
    text = page(hostile(name))
    assert data_of(text) == hostile(name)
    assert text.count("<script") == text.count("</script") == 2
    outside = text.replace(embedded(hostile(name)), "")
    assert outside == page(sample()).replace(embedded(sample()), "")
    assert embedded(name).isascii()
    text.encode()


def test_non_finite_numbers() -> None:
    assert json.loads(embedded({"a": [float("nan"), float("inf"), 1.5], "b": (None, True)})) == {
        "a": [None, None, 1.5],
        "b": [None, True],
    }


def test_a_report_without_groups_says_so() -> None:
    assert data_of(page(empty()))["groups"] == []
