"""Layers: which package may import which, by one table."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "version": set(),
    "errors": set(),
    "progress": set(),
    "exact": {"errors"},
    "images": {"errors"},
    "archive": {"errors"},
    "nets": {"errors", "exact"},
    "kernel": {"errors", "exact", "nets"},
    "fused": {"errors", "exact", "nets"},
    "planning": {"errors", "exact"},
    "coding": {"errors", "exact", "nets", "kernel", "fused", "planning"},
    "bundled": {"errors", "nets", "coding.weights"},
    "block": {"errors", "progress", "nets", "planning", "coding", "images", "archive"},
    "reading": {"errors", "progress", "exact", "nets", "coding", "images", "archive", "bundled", "block"},
    "training": {"errors", "exact", "nets", "planning", "coding", "images", "archive.atomic", "bundled"},
    "packing": {"errors", "progress", "exact", "nets", "planning", "coding", "images", "archive", "block", "training"},
}
ALLOWED["access"] = ALLOWED["reading"] | {"reading"}
ALLOWED["analysis"] = set(ALLOWED) - {"access"}
ALLOWED["scale"] = set(ALLOWED) - {"version", "access", "analysis"}
ALLOWED["api"] = set(ALLOWED) - {"version", "access"}
ALLOWED["report"] = {"errors"}
ALLOWED["cli"] = set(ALLOWED)
ALLOWED["__init__"] = {"version", "errors", "access", "api"}  # the package's own, which no other package may import
# Packages that must not know of networks must not load the library for them either.
LIBRARIES = {
    "planning": {"faiss", "numpy"},
    "images": {"constriction", "numpy", "PIL"},
    "archive": {"fsspec", "numpy"},
    "report": set(),
    "errors": set(),
    "progress": set(),
    "version": set(),
}
MODULES = sorted([*(ROOT / "acncodec").rglob("*.py"), *(ROOT / "cli").rglob("*.py")])


def imports(source: str, package: str) -> set[str]:
    """Every module that `source`, in `package`, imports anywhere, as dotted names; 'from a import b' gives a.b."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            above = parts[: len(parts) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def place(path: Path) -> tuple[str, str]:
    """A module's entry in the table and its package's dotted name."""
    relative = path.relative_to(ROOT)
    parts = ("acncodec", *relative.parts) if relative.parts[0] == "cli" else relative.parts
    return Path(parts[1]).stem, ".".join(parts[:-1])


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path: Path) -> None:
    room, package = place(path)
    assert room in ALLOWED, f"{path}: a new package needs a line in the table"
    for name in sorted(imports(path.read_text(), package)):
        top = name.split(".")[0]
        assert top not in ("cli", "tests", "benchmarks"), f"{path} imports {name}"
        if top == "acncodec":
            inner = name.removeprefix("acncodec.")
            allowed = ALLOWED[room] | {room}
            assert any(inner == other or inner.startswith(other + ".") for other in allowed), f"{path} imports {name}"
        elif room in LIBRARIES:
            assert top in LIBRARIES[room] or top in sys.stdlib_module_names, f"{path} imports {name}"


def test_the_table_has_no_cycle() -> None:
    graph = {room: {other.split(".")[0] for other in allowed} for room, allowed in ALLOWED.items()}
    list(TopologicalSorter(graph).static_order())
    assert set().union(*graph.values()) <= set(graph)


def test_every_form_of_import_is_found() -> None:
    source = "import a.b, c\nfrom d.e import f as g\ndef h():\n    from . import i\n    from ..j import k\n"
    assert imports(source, "acncodec.x") == {"a.b", "c", "d.e.f", "acncodec.x.i", "acncodec.j.k"}


def test_the_table_has_no_stale_packages() -> None:
    assert set(ALLOWED) == {place(path)[0] for path in MODULES}
