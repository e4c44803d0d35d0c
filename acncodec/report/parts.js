"use strict";
// What all of the report is made of: elements, numbers in words, colours, thumbnails, and the tip that tells of an image.

const DASH = "–";

/** An element with properties and what is in it: nodes or text. Text is never read as markup, whatever a name holds. */
function make(tag, properties = {}, ...inner) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...inner.flat(Infinity).filter((part) => part));
  return element;
}

function byId(id) {
  return document.getElementById(id);
}

function known(value) {
  return Number.isFinite(value);
}

/** A number with so many digits after the point; a dash for what is not known. */
function fixed(value, digits) {
  if (!known(value)) return DASH;
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function whole(value) {
  return fixed(value, 0);
}

/** A measured number: fewer digits after the point where more stand before it. */
function measured(value) {
  const size = Math.abs(value);
  return fixed(value, size < 10 ? 2 : size < 1000 ? 1 : 0);
}

function percent(share) {
  const size = Math.abs(share) * 100;
  return known(share) ? `${fixed(share * 100, size > 0 && size < 1 ? 2 : 1)} %` : DASH;
}

function plural(count, word) {
  return `${whole(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** The numbers of an array that are known. */
function numbers(values) {
  return (values ?? []).filter(known);
}

function mean(values) {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The lowest and highest number, without spreading an array of any length over a call's arguments. */
function range(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

/** The value below which such a share of sorted numbers lies. */
function quantile(sorted, share) {
  return sorted[Math.round(share * (sorted.length - 1))];
}

/** What an image of a group cost: residual and latent, as far as they are known. */
function bitsOf(group, index) {
  const [residual, latent] = [group.residual_bits?.[index], group.latent_bits?.[index]];
  return { residual, latent, all: known(residual) && known(latent) ? residual + latent : null };
}

const DARK = matchMedia("(prefers-color-scheme: dark)");
const STILL = matchMedia("(prefers-reduced-motion: reduce)");
const STEPS = 32; // colours on the way from a low to a high value

/** The style's colours, for canvases, which know nothing of it. */
class Colours {
  constructor() {
    this.read();
    DARK.addEventListener("change", () => this.read());
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    for (const name of ["paper", "ink", "soft", "line", "fill", "accent"]) {
      this[name] = style.getPropertyValue(`--${name}`).trim();
    }
    const [from, to] = [this.fill, this.accent].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
    this.ramp = Array.from({ length: STEPS }, (_, step) => {
      const mixed = from.map((value, i) => Math.round(value + ((to[i] - value) * step) / (STEPS - 1)));
      return `rgb(${mixed.join(" ")})`;
    });
    this.font = `13px ${getComputedStyle(document.body).fontFamily}`;
  }

  /** The colour of a value between two others. */
  between(value, low, high) {
    const share = high > low ? (value - low) / (high - low) : 0;
    return this.ramp[Math.round(Math.min(1, Math.max(0, share)) * (STEPS - 1))];
  }
}

/** Give a canvas a pixel for every pixel of the screen, and draw on it in the page's pixels. */
function sharp(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  canvas.getContext("2d").setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
}

/**
 * A canvas that is sharp at any size. `paint(context, width, height)` makes its picture, which is kept; `mark`, called the
 * same way, puts on top what changes with every move of a pointer.
 */
class Drawing {
  constructor(canvas, paint, mark, resized = () => {}) {
    Object.assign(this, { canvas, paint, mark, width: 0, height: 0, kept: make("canvas"), stale: true, asked: false });
    new ResizeObserver(() => {
      [this.width, this.height] = [canvas.clientWidth, canvas.clientHeight];
      if (!this.width || !this.height) return;
      for (const each of [canvas, this.kept]) sharp(each, this.width, this.height);
      resized();
      this.stale = true;
      this.draw();
    }).observe(canvas);
  }

  /** Draw before the next frame, once however often it is asked for; anew, if it is more than marks that have changed. */
  ask(anew) {
    this.stale ||= anew;
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.draw();
    });
  }

  draw() {
    if (!this.width || !this.height) return;
    const [context, kept] = [this.canvas, this.kept].map((canvas) => canvas.getContext("2d"));
    if (this.stale) {
      kept.clearRect(0, 0, this.width, this.height);
      this.paint(kept, this.width, this.height);
      this.stale = false;
    }
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(this.kept, 0, 0, this.width, this.height);
    this.mark(context, this.width, this.height);
  }
}

/** The images of a group, cut from its atlas; empty frames until that is there, or if it can't be read. */
class Thumbnails {
  constructor(group, colours, ready) {
    Object.assign(this, { group, colours, atlas: null });
    if (!String(group.atlas).startsWith("data:image/")) return;
    const image = new Image();
    image.src = group.atlas;
    image.decode().then(
      () => {
        this.atlas = image;
        ready();
      },
      () => {}
    );
  }

  get ratio() {
    return (this.group.cell_height || 1) / (this.group.cell_width || 1);
  }

  draw(context, index, x, y, width) {
    const { columns, cell_width: across, cell_height: down } = this.group;
    const height = width * this.ratio;
    if (this.atlas) {
      context.imageSmoothingEnabled = width < across; // pixels are squares where there is room for them
      const [left, top] = [(index % columns) * across, Math.floor(index / columns) * down];
      context.drawImage(this.atlas, left, top, across, down, x, y, width, height);
    } else {
      context.fillStyle = this.colours.line;
      context.fillRect(x, y, width, height);
    }
  }
}

const TIP = { side: 96, gap: 14 }; // pixels: an image's longer side; between the tip and what it tells of

/** The small box that tells of one image, beside a place on the screen. */
class Tip {
  constructor() {
    [this.image, this.words] = [make("canvas"), make("p")];
    this.box = make("div", { id: "tip", role: "status", hidden: true }, this.image, this.words);
    document.body.append(this.box);
    addEventListener("scroll", () => this.hide(), { passive: true });
    addEventListener("keydown", (event) => ["Escape", "Tab"].includes(event.key) && this.hide());
  }

  show(thumbnails, index, x, y) {
    const { group } = thumbnails;
    const { residual, latent, all } = bitsOf(group, index);
    const largest = TIP.side / Math.max(group.cell_width, group.cell_height);
    const width = group.cell_width * (largest > 1 ? Math.floor(largest) : largest);
    const height = width * thumbnails.ratio;
    [this.image.style.width, this.image.style.height] = [`${width}px`, `${height}px`];
    sharp(this.image, width, height);
    thumbnails.draw(this.image.getContext("2d"), index, 0, 0, width);
    this.box.hidden = false;
    this.words.replaceChildren(
      make("bdi", {}, group.names[index]),
      `${measured(all)} bits`,
      make("br"),
      `residual ${measured(residual)}`,
      make("br"),
      `latent ${measured(latent)}`,
      make("br"),
      make("span", { className: "soft" }, `${whole(index + 1)} of ${whole(group.names.length)}`)
    );
    this.place(x, y);
  }

  /** Beside the place, on whichever side there is room, and never off the screen. */
  place(x, y) {
    const { width, height } = this.box.getBoundingClientRect();
    const { clientWidth, clientHeight } = document.documentElement;
    const side = (at, size, room) => (at + TIP.gap + size > room ? at - TIP.gap - size : at + TIP.gap);
    const inside = (at, size, room) => Math.max(4, Math.min(at, room - size - 4));
    const left = inside(side(x, width, clientWidth), width, clientWidth);
    const top = inside(side(y, height, clientHeight), height, clientHeight);
    this.box.style.transform = `translate(${Math.round(left)}px, ${Math.round(top)}px)`;
  }

  hide() {
    this.box.hidden = true;
  }
}

/** One group on show: its thumbnails, and which of its images is pointed at, which all of its views mark. */
class Shown {
  constructor(group, colours, tip) {
    Object.assign(this, { group, colours, tip, index: null, drawings: [], over: new AbortController() });
    this.thumbnails = new Thumbnails(group, colours, () => this.ask(true));
    DARK.addEventListener("change", () => this.ask(true), { signal: this.over.signal });
  }

  get count() {
    return this.group.names.length;
  }

  ask(anew) {
    for (const drawing of this.drawings) drawing.ask(anew);
  }

  /** The image so many steps along the tour from the one pointed at; the first where there is none. */
  after(step) {
    return this.index === null ? 0 : Math.min(this.count - 1, Math.max(0, this.index + step));
  }

  /** Point at an image, and tell of it beside a place on the screen. */
  point(index, x, y) {
    this.tip.show(this.thumbnails, index, x, y);
    this.mark(index);
  }

  leave() {
    this.tip.hide();
    this.mark(null);
  }

  mark(index) {
    if (index !== this.index) this.ask(false);
    this.index = index;
  }

  end() {
    this.over.abort();
    this.tip.hide();
    this.drawings = [];
  }
}
