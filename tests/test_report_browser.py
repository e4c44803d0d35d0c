"""The HTML report of a benchmark as a real browser renders it."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from reports import HOSTILE, digits, empty, hostile, sample

from acncodec.report import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
]


def browser(test: Callable[..., None]) -> Callable[..., None]:
    """A test that shows the page in Chromium, where there is one."""
    return pytest.mark.browser(pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")(test))


def dom(file: Path, tmp_path: Path, *options: str) -> tuple[str, list[str]]:
    """The DOM of a loaded page, and the console's messages."""
    assert CHROMIUM
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *options, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=600, check=True)
    return done.stdout.decode(), [line for line in done.stderr.decode(errors="replace").splitlines() if "CONSOLE" in line]


# Windows have a least width, frames have not. The probe acts from outside, so the page and its policy stay as they are. An
# open document has not loaded: the second frame keeps the browser from ending, and time goes on as it does for people.
FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0"><iframe style="border:0;width:{width}px;height:800px"
srcdoc="{page}"></iframe><iframe hidden></iframe><pre></pre><script>
const [frame, open] = document.querySelectorAll("iframe");
open.contentDocument.open();
open.contentDocument.write("open");
setTimeout(() => open.contentDocument.close(), 30000);
frame.addEventListener("load", async () => {{
  const [view, page] = [frame.contentWindow, frame.contentDocument];
  const wait = (time = 100) => new Promise((resolve) => setTimeout(() => view.requestAnimationFrame(resolve), time));
  const all = (selector) => [...page.querySelectorAll(selector)];
  const one = (selector) => page.querySelector(selector);
  const pixels = (canvas, {{ width, height }} = canvas) => {{
    const copy = new OffscreenCanvas(width, height).getContext("2d", {{ willReadFrequently: true }});
    copy.drawImage(canvas, 0, 0);
    return copy.getImageData(0, 0, width, height).data;
  }};
  try {{
    const seen = await (async () => {{ {probe} }})();
    document.querySelector("pre").textContent = encodeURIComponent(JSON.stringify(seen));
  }} catch (error) {{ console.error(error.stack); }}
  open.contentDocument.close();
}});
</script>"""


def probe(data: dict[str, Any], script: str, tmp_path: Path, width: int = 1280) -> Any:
    """What the body of an async function sees of a page in a frame so wide; no word in the console is an error."""
    file = tmp_path / "frame.html"
    file.write_text(FRAME.format(width=width, page=html.escape(page(data)), probe=script), "utf-8")
    text, console = dom(file, tmp_path, "--window-size=1400,900")
    assert console == []
    found = re.search(r"<pre>(.+?)</pre>", text)
    assert found, "the probe did not come to its end"
    return json.loads(unquote(found[1]))


@browser
def test_the_page_opens_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(sample()), "utf-8")
    text, console = dom(file, tmp_path)
    assert console == []
    assert re.search("<title>some/photos . acncodec bench</title>", text)
    assert "40,000 bytes, 20.0 % less than tar.xz" in text
    assert "450,864 more, and with them it would take 881.7 % more than that" in text
    assert "3.00 seconds, 12 times as long as tar.xz" in text
    assert "saves 8.40 bits an image" in text
    assert "200 of 400 images are shown" in text


@browser
def test_console_errors_are_detected(tmp_path: Path) -> None:
    file = tmp_path / "broken.html"
    file.write_text(page(sample()).replace("start();", "start(; "), "utf-8")
    assert dom(file, tmp_path)[1]


LAYOUT = """
await wait(300);
const root = page.documentElement;
const right = (each) => each.getBoundingClientRect().right;
const wide = all("body *").filter((each) => !each.closest(".box") && right(each) > root.clientWidth + 1);
return {
  width: view.innerWidth, scroll: root.scrollWidth, wide: wide.map((each) => each.outerHTML.slice(0, 80)),
  title: page.title, words: all("section").map((each) => each.innerText), canvases: all("canvas.plane").length,
  blank: all("figure > canvas").map((canvas) => {
    const data = pixels(canvas);
    return data.every((value) => value === data[0]);
  }),
};
"""


@browser
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_the_page(width: int, tmp_path: Path) -> None:
    seen = probe(sample(), LAYOUT, tmp_path, width)
    assert seen["width"] == width
    assert seen["scroll"] <= width
    assert seen["wide"] == []
    assert seen["blank"] == [False] * 3


@browser
@pytest.mark.parametrize("what", ["nothing", "hostile", "unknown"])
def test_unusual_data_is_shown(what: str, tmp_path: Path) -> None:
    if what == "nothing":
        data = empty()
    elif what == "hostile":
        data = hostile("".join(HOSTILE))
    else:
        data = json.loads(json.dumps(sample()), parse_int=lambda text: None if int(text) > 300 else int(text))
        data["groups"][0] |= {"residual_bits": [None] * 200, "atlas": None, "x": None, "variance": None}
        data["table"][0]["note"] = data["order"]["ordered_bits_per_image"] = data["ledger"][0]["bits"] = None
    seen = probe(data, LAYOUT, tmp_path, 390)
    assert seen["scroll"] <= 390
    assert seen["wide"] == []
    assert seen["title"] != "out"
    if what == "nothing":
        assert seen["canvases"] == 0
        assert sum("No image was modelled" in words for words in seen["words"]) == 1
    assert seen["canvases"] == {"nothing": 0, "hostile": 2, "unknown": 1}[what]


ACTS = """
await wait(300);
const seen = {};
const tip = () => (one("#tip").hidden ? null : one("#tip bdi").textContent);
const send = (target, type, x, y, more = {}) => {
  const { left, top } = target.getBoundingClientRect();
  const kind = { w: view.WheelEvent, p: view.PointerEvent, k: view.KeyboardEvent }[type[0]];
  const event = new kind(type, { bubbles: true, cancelable: true, clientX: left + x, clientY: top + y, ...more });
  return !target.dispatchEvent(event);
};
const key = (target, key) => send(target, "keydown", 0, 0, { key });
const picture = (canvas) => canvas.toDataURL();
const [chart, sheet, map] = all("figure > canvas");
const finger = (id) => ({ pointerId: id, pointerType: "touch" });

// The sheet: its first image is found, stays under a wheel that zooms, and moves with a drag.
let x = 0;
while (x < 600 && tip() === null) send(sheet, "pointermove", (x += 4), 12);
seen.first = tip();
seen.tip = one("#tip").innerText;
await wait();
const before = picture(sheet);
seen.touch = [sheet.style.touchAction];
seen.taken = send(sheet, "wheel", x, 12, { deltaY: -600 });
await wait();
send(sheet, "pointermove", x, 12);
seen.zoomed = tip();
seen.touch.push(sheet.style.touchAction);
seen.nearer = picture(sheet) !== before;
send(sheet, "pointerdown", 300, 200);
for (let step = 0; step <= 200; step += 20) send(sheet, "pointermove", 300 - step, 200);
send(sheet, "pointerup", 100, 200);
await wait();
send(sheet, "pointermove", x, 12);
seen.dragged = tip();
seen.pageScrolls = !send(map, "wheel", 300, 200, { deltaY: 500 });
key(sheet, "0");
await wait(300);
send(sheet, "pointermove", x, 12);
seen.home = tip();
key(sheet, "ArrowRight");
seen.next = tip();
key(sheet, "Escape");
seen.hidden = tip();
send(sheet, "pointerdown", 300, 200, finger(2));
send(sheet, "pointerdown", 320, 200, finger(3));
for (let step = 0; step <= 100; step += 20) send(sheet, "pointermove", 320 + step, 200, finger(3));
send(sheet, "pointerup", 300, 200, finger(2));
send(sheet, "pointerup", 420, 200, finger(3));
seen.touch.push(sheet.style.touchAction);
all("#sheet button")[2].click();
await wait(300);
seen.touch.push(sheet.style.touchAction);

// The chart marks an image in the other views.
const unmarked = [picture(sheet), picture(map)];
send(chart, "pointermove", chart.clientWidth - 10, 50);
seen.last = tip();
await wait();
seen.marked = picture(sheet) !== unmarked[0] && picture(map) !== unmarked[1];
key(chart, "Home");
seen.start = tip();

// The map: dots become images.
const strokes = () => {
  const data = pixels(map);
  let white = 0;
  for (let i = 0; i < data.length; i += 4) white += data[i] > 250 && data[i + 2] > 250 && data[i + 3] > 250;
  return white;
};
key(chart, "Escape");
const dots = strokes();
for (let i = 0; i < 4; i++) all("#map button")[0].click();
await wait(300);
seen.thumbnails = strokes() > dots + 100;
const scale = one(".ramp").textContent;
one("#map select").value = "latent";
one("#map select").dispatchEvent(new view.Event("change"));
seen.scales = [scale, one(".ramp").textContent];

// The table is sorted by the column that is clicked on, and back.
const names = () => all("#sizes tbody th bdi").map((each) => each.textContent);
seen.bySize = names();
all("#sizes thead button")[0].click();
all("#sizes thead button")[0].click();
seen.byName = names();

// Another group.
one("#choice select").value = "1";
one("#choice select").dispatchEvent(new view.Event("change"));
await wait(300);
key(one("#tour canvas"), "Home");
seen.other = tip();
return seen;
"""


@browser
def test_zoom_and_pan_by_wheel_touch_keys_and_buttons(tmp_path: Path) -> None:
    seen = probe(sample(), ACTS, tmp_path)
    names, others = digits("grey")[0], digits("bilevel")[0]
    assert seen["first"] == seen["zoomed"] == seen["home"] == seen["start"] == names[0]
    assert f"residual {sample()['groups'][0]['residual_bits'][0]:,}" in seen["tip"]
    assert "1 of 200" in seen["tip"]
    assert seen["taken"]
    assert seen["nearer"]
    assert seen["pageScrolls"]
    assert seen["dragged"] in names[1:]
    assert seen["next"] == names[1]
    assert seen["hidden"] is None
    assert seen["touch"] == ["pan-y", "none", "none", "pan-y"]
    assert seen["last"] == names[-1]
    assert seen["marked"]
    assert seen["thumbnails"]
    assert seen["scales"][0] != seen["scales"][1] == "12.014.0 bits"
    assert seen["bySize"] == ["acncodec, names dropped", "acncodec, every path restored", "tar.xz", "jxl"]
    assert seen["byName"] == ["tar.xz", "jxl", "acncodec, names dropped", "acncodec, every path restored"]
    assert seen["other"] == others[0]
