"""The report of a benchmark: one self-contained HTML page, which opens anywhere, without a network.

`page.html` is the layout, `style.css` styles page and tables, `figures.css` figures. `parts.js` has elements, numbers and
thumbnails, `charts.js` charts of sizes and bits, `plane.js` figures that can be moved and zoomed, `main.js` the rest.
"""

import base64
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
STYLES = ("style.css", "figures.css")
SCRIPTS = ("parts.js", "charts.js", "plane.js", "main.js")
# '<' could end the enclosing script element or open a comment. The others are for other readers of the page.
ESCAPES = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&"})


def page(data: dict[str, Any]) -> str:
    """The report of measurements as one HTML document, to be written as UTF-8.

    Keys of `data`: `directory`, `version`, `files`, `images`, `image_bytes_found`, `table`, `order`, `ledger`, `groups`,
    `cheapest`, `dearest`. Any number may be None and is then shown as unknown. Names may hold any characters.
    """
    style, script = _text(*STYLES), _text(*SCRIPTS)
    parts = {"policy": policy(style, script), "style": style, "data": embedded(data), "script": script}
    # In one pass, since a name in the data may look like a placeholder.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _text("page.html"))


def policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: only these texts and images in the page, nothing external."""
    allowed = {"default-src": "'none'", "img-src": "data:", "style-src": _digest(style), "script-src": _digest(script)}
    return "; ".join(
        f"{what} {where}" for what, where in {**allowed, "base-uri": "'none'", "form-action": "'none'"}.items()
    )


def embedded(data: object) -> str:
    """JSON that is safe in a script element: ASCII, so that lone surrogates are no error, and without '<'."""
    return json.dumps(_finite(data), allow_nan=False).translate(ESCAPES)


def _finite(value: Any) -> Any:
    """The same with None for infinities and NaN, which JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _text(*names: str) -> str:
    return "".join((FOLDER / name).read_text(encoding="utf-8") for name in names)
