"""What `mkdocs build` adds to docs/: pages that stand elsewhere in the repository, and links that fit the site.

In Markdown every link is a path from the file that it stands in, as any viewer of the repository follows it. On the site
docs/ is the root, and the other pages have the paths that they have in the repository.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "acncodec/bundled/*.md",
    "benchmarks/*.md",
    "benchmarks/results/*.md",
)
PICTURES = ("benchmarks/results/*.png", "benchmarks/results/paper/*.png")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(?=[)#])")


def outside() -> list[str]:
    """Paths in the repository of all pages and pictures that docs/ does not hold."""
    return [path.relative_to(ROOT).as_posix() for each in (*OUTSIDE, *PICTURES) for path in sorted(ROOT.glob(each))]


def on_files(files: Files, config: Any) -> Files:
    """Add them."""
    for path in outside():
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, **kwargs: Any) -> str:
    """Turn links within the repository into links within the site."""
    here = posixpath.dirname(page.file.src_uri)
    there = here if page.file.src_uri in outside() else posixpath.join("docs", here)

    def on_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(there, link[1]))
        return posixpath.relpath(path.removeprefix("docs/"), here or ".")

    return LINK.sub(on_site, markdown)
