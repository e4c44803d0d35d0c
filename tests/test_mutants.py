"""The mutants that benchmarks/mutants.py makes: each is one change, and each module has tests that exist."""

import ast
from pathlib import Path

import pytest

from benchmarks import mutants

SOURCE = '''
LIMIT = 5 + 1

def f(a, b=2):
    """Words."""
    if a < 3 and b:
        g(a + 1)
    return a << b
'''


def test_each_mutant_is_one_change() -> None:
    found = mutants.mutants(SOURCE, 100, 0)
    plain = ast.unparse(ast.parse(SOURCE))
    assert len({text for text, _ in found}) == len(found)
    for text, change in found:
        ast.parse(text)
        assert sum(a != b for a, b in zip(plain.splitlines(), text.splitlines(), strict=True)) == 1, change
        assert change.startswith("line ")
    texts = [text for text, _ in found]
    for part in ("a <= 3", "a < 3 or b", "not (a < 3 and b)", "g(a - 1)", "a + 2", "pass", "a >> b", "LIMIT = 5 - 1"):
        assert sum(part in text for text in texts) == 1, part
    assert all("b=2" in text for text in texts)  # declarations stay


def test_the_same_seed_draws_the_same() -> None:
    assert mutants.mutants(SOURCE, 3, 1) == mutants.mutants(SOURCE, 3, 1) != mutants.mutants(SOURCE, 3, 2)
    assert len(mutants.mutants(SOURCE, 3, 1)) == 3


@pytest.mark.parametrize("module", mutants.TESTS)
def test_the_tests_of_a_module_exist(module: str) -> None:
    assert all((mutants.ROOT / test).exists() for test in mutants.tests_of(module))
    place = mutants.ROOT / "acncodec" / module
    assert place.is_dir() or place.with_suffix(".py").exists()


@pytest.mark.slow
def test_failing_tests_of_a_tree_are_detected(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test():\n    assert True\n")
    assert not mutants.noticed(tmp_path, ["test_it.py"])
    (tmp_path / "test_it.py").write_text("def test():\n    assert False\n")
    assert mutants.noticed(tmp_path, ["test_it.py"])


def test_survivors_are_listed() -> None:
    row = {"tried": 2, "survived": ["line 1: a | b with Or"], "provenance": {"date": "today"}}
    shown = mutants.markdown({"coding/stack": row})
    assert "2 small changes, of which the tests noticed 1" in shown
    assert "a \\| b" in shown
