"""Imports go downhill only: which package may import which stands in one table."""

import ast
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "version": {"access", "api", "errors"},  # acncodec/__init__.py, which imports it only when it is asked for
    "errors": set(),
    "exact": {"errors"},
    "images": {"errors"},
    "archive": {"errors"},
    "nets": {"errors", "exact"},
    "kernel": {"errors", "exact", "nets"},
    "planning": {"errors", "exact"},
    "coding": {"errors", "exact", "nets", "kernel", "planning"},
    "bundled": {"errors", "nets", "coding.weights"},
    "training": {"errors", "exact", "nets", "planning", "coding", "images", "archive.atomic", "bundled"},
    "codec": {"errors", "exact", "nets", "kernel", "planning", "coding", "images", "archive", "bundled", "training"},
}
ALLOWED["access"] = set(ALLOWED) - {"version", "training"}
ALLOWED["analysis"] = set(ALLOWED) - {"access"}
ALLOWED["scale"] = set(ALLOWED) - {"version", "access", "analysis"}
ALLOWED["api"] = set(ALLOWED) - {"version", "access"}
ALLOWED["report"] = {"errors"}
ALLOWED["cli"] = set(ALLOWED)
# Packages that must not know of networks must not load the library for them either.
LIBRARIES = {
    "planning": {"faiss", "numpy"},
    "images": {"constriction", "numpy", "PIL"},
    "archive": {"fsspec", "numpy"},
    "report": set(),
    "errors": set(),
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
    room = "version" if len(parts) == 2 and parts[1] == "__init__.py" else Path(parts[1]).stem
    return room, ".".join(parts[:-1])


def internal(name: str) -> str:
    """What follows 'acncodec.', or 'version' for what the top package itself defines."""
    inner = name.removeprefix("acncodec").lstrip(".")
    return inner if inner.split(".")[0] in ALLOWED else "version"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downhill(path: Path) -> None:
    room, package = place(path)
    assert room in ALLOWED, f"{path}: a new package needs a line in the table"
    for name in sorted(imports(path.read_text(), package)):
        top = name.split(".")[0]
        assert top not in ("cli", "tests", "benchmarks"), f"{path} imports {name}"
        if top == "acncodec":
            inner = internal(name)
            allowed = ALLOWED[room] | {room}
            assert any(inner == other or inner.startswith(other + ".") for other in allowed), f"{path} imports {name}"
        elif room in LIBRARIES:
            assert top in LIBRARIES[room] or top in sys.stdlib_module_names, f"{path} imports {name}"


def test_the_table_has_no_cycle() -> None:
    graph = {room: {other.split(".")[0] for other in allowed} for room, allowed in ALLOWED.items()}
    graph["version"] = set()  # what it imports, it imports when asked
    list(TopologicalSorter(graph).static_order())
    assert set().union(*graph.values()) <= set(graph)


def test_the_walk_sees_every_way_to_import() -> None:
    source = "import a.b, c\nfrom d.e import f as g\ndef h():\n    from . import i\n    from ..j import k\n"
    assert imports(source, "acncodec.x") == {"a.b", "c", "d.e.f", "acncodec.x.i", "acncodec.j.k"}


def test_the_table_has_no_stale_rooms() -> None:
    missing = {room for room in ALLOWED if room != "version"} - {place(path)[0] for path in MODULES}
    assert missing <= {"analysis"}
