"""Mutation testing: small changes to the coding path, one at a time, each of which should make some test fail.

    python -m benchmarks.mutants [--each 6] [--only NAME]... [--seed 0]

In every module of exact/, coding/ and archive/ up to `--each` places are drawn: a comparison changed, an operator
exchanged, a constant off by one, a condition negated, a statement removed. The module's tests run on a copy of the tree
with that one change. Surviving mutants are listed; equivalent mutants may survive. Tools for this, such as mutmut, make all
mutants and run all tests for each, which would take days here. Results are merged into mutants.json and mutants.md in
benchmarks/results/.
"""

import ast
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.provenance import provenance, write_result

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
COPIED = ("acncodec", "cli", "tests", "benchmarks", "pyproject.toml", "README.md")
SECONDS = 300  # for the tests of one mutant; one that makes them hang counts as detected
TESTS = {  # by module, or by folder for those that have no line of their own
    "exact": "exact trainable parity theory",
    "coding": "protocol theory frequencies steps parity training",
    "archive": "archive_container corruption codec",
    "archive/manifest": "manifest parts scale",
    "archive/retrieval": "manifest",
    "coding/stack": "stack protocol",
    "coding/frequencies": "frequencies parity protocol",
    "coding/latents": "protocol theory",
    "coding/order": "order directory codec",
    "coding/weights": "weights carried",
    "coding/theory": "theory method_choice codec",
    "coding/element_costs": "method_choice analysis codec",
    "coding/pixels": "protocol theory kernel",
    "archive/atomic": "atomic crash",
    "archive/block": "block corruption",
    "archive/classes": "classes corruption",
    "archive/header": "header corruption",
    "archive/store": "store corruption",
    "archive/fields": "archive_container header",
    "archive/limits": "header store archive_container picture",
}
TURNED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


class Mutator(ast.NodeTransformer):
    """Changes the place with this number; without a number it counts the places. `change` describes the change."""

    def __init__(self, number: int = -1) -> None:
        self.number, self.count, self.change = number, 0, ""

    def _here(self, node: ast.AST, words: str) -> bool:
        self.count += 1
        if self.count - 1 != self.number:
            return False
        self.change = f"line {getattr(node, 'lineno', 0)}: {words}"
        return True

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        # Decorators, defaults and annotations are declarations; what runs is the body.
        node.body = [each for statement in node.body for each in [self.visit(statement)] if each is not None] or [
            ast.Pass()
        ]
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        turned = TURNED.get(type(node.ops[0]))
        if turned and self._here(node, f"{ast.unparse(node)} with {turned.__name__}"):
            node.ops[0] = turned()
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        turned = TURNED.get(type(node.op))
        if turned and self._here(node, f"{ast.unparse(node)} with {turned.__name__}"):
            node.op = turned()
        return node

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        self.generic_visit(node)
        if self._here(node, f"{ast.unparse(node)} with {TURNED[type(node.op)].__name__}"):
            node.op = TURNED[type(node.op)]()
        return node

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if self._here(node, f"if not ({ast.unparse(node.test)})"):
            node.test = ast.UnaryOp(ast.Not(), node.test)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if type(node.value) is int and self._here(node, f"{node.value} + 1"):
            return ast.Constant(node.value + 1)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and self._here(node, f"without {ast.unparse(node)}"):
            return ast.Pass()
        return node


def mutants(source: str, most: int, seed: int) -> list[tuple[str, str]]:
    """Up to so many changed sources, drawn evenly, and what was changed in each."""
    counter = Mutator()
    counter.visit(ast.parse(source))
    chosen = random.Random(seed).sample(range(counter.count), min(most, counter.count))
    found = []
    for number in sorted(chosen):
        mutator = Mutator(number)
        tree = ast.fix_missing_locations(mutator.visit(ast.parse(source)))
        found.append((ast.unparse(tree), mutator.change))
    return found


def tests_of(module: str) -> list[str]:
    """The test files that are meant for a module, as 'coding/stack'."""
    names = TESTS.get(module) or TESTS[module.split("/")[0]]
    return [f"tests/test_{name}.py" for name in names.split()]


def noticed(tree: Path, tests: list[str]) -> bool:
    """Whether a test fails in a tree."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    variables = {**os.environ, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(command, cwd=tree, env=variables, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def survivors(module: str, most: int, seed: int, tree: Path) -> dict[str, Any]:
    """The mutants of a module that its tests do not detect."""
    path = tree / "acncodec" / f"{module}.py"
    source = path.read_text()
    tests = tests_of(module)
    if noticed(tree, tests):
        raise click.ClickException(f"the tests of {module} fail without any change.")
    passed, tried = [], mutants(source, most, seed)
    try:
        for text, change in tried:
            path.write_text(text)
            if not noticed(tree, tests):
                passed.append(change)
                click.echo(f"{module} {change}", err=True)
    finally:
        path.write_text(source)
    return {"tried": len(tried), "survived": passed, "provenance": provenance()}


def markdown(rows: dict[str, Any]) -> str:
    tried, survived = sum(row["tried"] for row in rows.values()), sum(len(row["survived"]) for row in rows.values())
    lines = [
        "# Mutants of the coding path",
        "",
        f"{tried} small changes, of which the tests noticed {tried - survived}. Drawn at random; those that survived:",
        "",
        "| module | tried | survived |",
        "|---|---:|---|",
    ]
    for module, row in sorted(rows.items()):
        left = "<br>".join(f"`{change}`".replace("|", "\\|") for change in row["survived"])
        lines.append(f"| {module} | {row['tried']} | {left} |")
    last = list(rows.values())[-1]["provenance"]
    return "\n".join([*lines, "", *(f"- {key}: {value}" for key, value in last.items())]) + "\n"


@click.command()
@click.option("--each", default=6, show_default=True, help="Mutants of a module, at most.")
@click.option("--seed", default=0, show_default=True, help="Another, other mutants.")
@click.option("--only", multiple=True, metavar="NAME", help="Only these modules, as coding/stack.")
def main(each: int, seed: int, only: tuple[str, ...]) -> None:
    """Change one thing at a time, and see whether a test fails."""
    folders = sorted({name.split("/")[0] for name in TESTS})
    modules = [f"{f}/{p.stem}" for f in folders for p in sorted((ROOT / "acncodec" / f).glob("*.py")) if p.stem[0] != "_"]
    if unknown := set(only) - set(modules):
        raise click.ClickException(f"there is no module '{min(unknown)}'; known are {', '.join(modules)}.")
    path = RESULTS / "mutants.json"
    rows = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, tree / name)
        # The checkout finds the command line by its installation; a copy has it as a folder.
        (tree / "acncodec" / "cli").symlink_to("../cli")
        for module in only or modules:
            rows[module] = survivors(module, each, seed, tree)
            write_result(path, rows, markdown(rows))


if __name__ == "__main__":
    main()
