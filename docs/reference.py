"""Writes what is made of the code: python docs/reference.py. A test says if it is stale.

docs/commands.md comes from the commands' own help, the tree in docs/ARCHITECTURE.md from the first lines of all modules.
"""

import ast
from importlib import import_module
from pathlib import Path

import click

from acncodec.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
PAGE, ARCHITECTURE = ROOT / "docs" / "commands.md", ROOT / "docs" / "ARCHITECTURE.md"
TREE, END = "<!-- tree -->\n", "<!-- end of tree -->"
WIDTH = 100
PREAMBLE = """# Commands

Made of the help texts by `python docs/reference.py`. What `--json` prints is on [a page of its own](json.md).
"""


def helped(command: click.Command, parent: click.Context | None, name: str) -> str:
    """What --help prints, at a fixed width."""
    settings = {} if parent else cli.context_settings
    context = click.Context(command, parent, name, terminal_width=WIDTH, max_content_width=WIDTH, **settings)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def page() -> str:
    root = click.Context(cli, info_name="acncodec", **cli.context_settings)
    parts = [PREAMBLE, f"```text\n{helped(cli, None, 'acncodec')}\n```\n"]
    for name in COMMANDS:
        command = import_module(f"acncodec.cli.{name}").command
        parts.append(f"## acncodec {name}\n\n```text\n{helped(command, root, name)}\n```\n")
    return "\n".join(parts)


def tree() -> str:
    """All modules by folder, each with the first sentence of its docstring."""
    lines = []
    modules = [*(ROOT / "acncodec").rglob("*.py"), *(path for path in (ROOT / "cli").glob("*.py"))]
    for folder in sorted({path.parent for path in modules if not path.parent.is_symlink()}):
        lines.append(f"{folder.relative_to(ROOT)}/")
        for path in sorted(path for path in modules if path.parent == folder):
            first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            lines.append(f"    {path.name:20} {first}".rstrip())
    return "```\n" + "\n".join(lines) + "\n```\n"


def architecture() -> str:
    """docs/ARCHITECTURE.md with the tree as it is."""
    before, _, rest = ARCHITECTURE.read_text().partition(TREE)
    return before + TREE + tree() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page())
    ARCHITECTURE.write_text(architecture())
