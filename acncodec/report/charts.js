// Sizes and bits in figures: the table of sizes, what the order is worth, the ledger, and what images cost along the tour.

/** A bar of parts, each a class and a share of the whole width. The numbers stand beside it, so no reader need say it. */
function bar(...parts) {
  const spans = parts.map(([className, share]) => {
    const span = make("span", { className });
    span.style.width = `${100 * Math.max(0, share)}%`;
    return span;
  });
  return make("div", { className: "bar", "aria-hidden": "true" }, spans);
}

/** A table in a box of its own, which scrolls where the screen is narrow and the page doesn't. */
function boxed(caption, ...parts) {
  const table = make("table", {}, make("caption", {}, caption), parts);
  return make("div", { className: "box", tabIndex: 0, role: "region", "aria-label": caption }, table);
}

function withModel(row) {
  return known(row.bytes) ? row.bytes + (row.model_bytes ?? 0) : null;
}

/** The smallest of the rows, null where none has a size. */
function smallest(rows) {
  const sized = rows.filter((row) => known(row.bytes));
  return sized.length ? sized.reduce((best, row) => (row.bytes < best.bytes ? row : best)) : null;
}

const COLUMNS = [
  { title: "method", value: (row) => row.name },
  { title: "bytes", value: (row) => row.bytes, text: whole },
  { title: "bits\nan image", value: (row) => row.bits_per_image, text: measured },
  { title: "model's bytes,\nnot in it", value: (row) => row.model_bytes, text: whole },
  { title: "bytes with\nthe model", value: withModel, text: whole },
  { title: "seconds\nto encode", value: (row) => row.encode_seconds, text: measured },
  { title: "seconds\nto decode", value: (row) => row.decode_seconds, text: measured },
  { title: "note", value: (row) => row.note ?? "" },
];

/** Every method with its size and times; a click on a column's name sorts by it, another one the other way round. */
function sizeTable(rows) {
  const best = smallest(rows.filter((row) => row.ours));
  const longest = Math.max(1, ...rows.map(withModel).filter(known));
  const body = make("tbody");
  const heads = COLUMNS.map((column) => {
    const button = make("button", { type: "button" }, column.title);
    const head = make("th", { scope: "col", className: column.title === "note" ? "note" : "" }, button);
    button.addEventListener("click", () => sort(column, head));
    return head;
  });

  function sort(column, head) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.replaceChildren(...inOrder(rows, column.value, down).map((row) => sizeRow(row, best, longest)));
  }

  sort(COLUMNS[1], heads[1]);
  return boxed("Sizes and times of every method", make("thead", {}, make("tr", {}, heads)), body);
}

/** Rows by a number or a text; what is not known comes last either way. */
function inOrder(rows, value, down) {
  const missing = (row) => value(row) === null || value(row) === undefined;
  const compare = (a, b) => (typeof value(a) === "string" ? value(a).localeCompare(value(b)) : value(a) - value(b));
  const sorted = rows.filter((row) => !missing(row)).sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
  return [...sorted, ...rows.filter(missing)];
}

function sizeRow(row, best, longest) {
  const cells = COLUMNS.slice(1, -1).map((column) => make("td", {}, column.text(column.value(row))));
  cells[0].className = "number";
  const model = (row.model_bytes ?? 0) / longest;
  cells[0].append(bar(["", (row.bytes ?? 0) / longest], ...(model ? [["model", model]] : [])));
  const mark = row === best ? make("small", {}, "the smallest of acncodec") : null;
  const name = make("th", { scope: "row" }, make("bdi", {}, row.name), mark);
  const note = make("td", { className: "note" }, row.note ?? "");
  return make("tr", { className: row === best ? "ours" : "" }, name, cells, note);
}

/** Bits an image with and without an order to follow, and how much of the most that it can be worth that is. */
function orderFigure(order) {
  const { ordered_bits_per_image: ordered, unordered_bits_per_image: free, bound_bits_per_image: bound } = order;
  const longest = Math.max(ordered, free) || 1;
  const rows = [
    ["each given the one before, along the tour", ordered],
    ["each on its own", free],
  ];
  const pair = make(
    "div",
    { className: "pair" },
    rows.map(([words, bits], i) => [
      make("span", {}, words),
      make("div", { className: i ? "" : "ours" }, bar(["", (bits ?? 0) / longest])),
      make("span", {}, `${measured(bits)} bits an image`),
    ])
  );
  let words = "One of the two was not measured.";
  if (known(ordered) && known(free)) {
    words = `The order saves ${measured(free - ordered)} bits an image.`;
    if (ordered > free) words = `The order costs ${measured(ordered - free)} bits an image here.`;
    if (bound > 0) {
      words += ` No more than ${measured(bound)} bits an image can be won by not keeping the order of the files`;
      words += ordered > free ? "." : `; this is ${percent((free - ordered) / bound)} of it.`;
    }
  }
  return [pair, make("p", {}, words)];
}

/** Every bit of a file by purpose: one bar of them all, and a table beside what theory asks for. */
function ledgerFigure(lines) {
  const all = mean(lines.map((line) => line.bits ?? 0)) * lines.length || 1;
  const sorted = [...lines].sort((a, b) => (b.bits ?? 0) - (a.bits ?? 0));
  const stack = make("div", { className: "stack", "aria-hidden": "true" });
  const body = make("tbody");
  sorted.forEach((line, rank) => {
    const colour = `color-mix(in oklab, var(--accent) ${Math.round(100 * 0.5 ** rank)}%, var(--fill))`;
    const share = (line.bits ?? 0) / all;
    if (share > 0) {
      const part = make("div", { title: `${line.part}: ${percent(share)}` });
      [part.style.flex, part.style.background] = [`${share} 0 0`, colour];
      stack.append(part);
    }
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = colour;
    const over = line.theory_bits > 0 ? (line.bits - line.theory_bits) / line.theory_bits : null;
    const cells = [whole(line.bits), percent(share), measured(line.theory_bits), known(over) ? percent(over) : DASH];
    const name = make("th", { scope: "row" }, swatch, line.part);
    body.append(make("tr", {}, name, cells.map((text) => make("td", {}, text))));
  });
  const titles = ["part", "bits", "share", "bits in theory", "over theory"];
  const heads = titles.map((title) => make("th", { scope: "col" }, title));
  const sum = ["all", whole(all), percent(1)].map((text, i) => make(i ? "td" : "th", i ? {} : { scope: "row" }, text));
  const foot = make("tfoot", {}, make("tr", {}, sum, make("td", { colSpan: 2 }, `${whole(all / 8)} bytes`)));
  return [stack, boxed("Bits of the file by purpose", make("thead", {}, make("tr", {}, heads)), body, foot)];
}

/** Round numbers from at or above `low` to at or below `high`, a few of them. */
function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
}

/** Means of the known values among so many around each; NaN where there are none. */
function moving(values, window) {
  const [sums, counts] = [[0], [0]];
  values.forEach((value, i) => {
    sums.push(sums[i] + (known(value) ? value : 0));
    counts.push(counts[i] + (known(value) ? 1 : 0));
  });
  const half = window >> 1;
  return values.map((_, i) => {
    const [from, to] = [Math.max(0, i - half), Math.min(values.length, i + half + 1)];
    return (sums[to] - sums[from]) / (counts[to] - counts[from]);
  });
}

const MARGIN = { left: 56, right: 8, top: 26, gap: 44, bottom: 22 };

/** What each image costs, in the order of the tour: residual above, latent below, each on a scale of its own. */
class TourChart {
  constructor(shown) {
    this.shown = shown;
    this.window = 2 * Math.max(2, Math.round(shown.count / 100)) + 1;
    const { residual_bits: residual, latent_bits: latent } = shown.group;
    this.panels = [["residual", residual], ["latent", latent]]
      .map(([name, values]) => ({ name, values: values ?? [] }))
      .filter((panel) => numbers(panel.values).length)
      .map((panel) => ({ ...panel, range: range([0, ...numbers(panel.values)]) }))
      .map((panel) => ({ ...panel, means: moving(panel.values, this.window) }));
    const label = "Chart of bits an image along the tour. Left and right arrow keys step from image to image.";
    this.canvas = make("canvas", { className: "chart", tabIndex: 0, role: "application", "aria-label": label });
    this.drawing = new Drawing(this.canvas, this.paint.bind(this), this.mark.bind(this));
    shown.drawings.push(this.drawing);
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerdown", (event) => this.move(event));
    this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && shown.leave());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  /** Words that say the same as the chart, for who can't see it. */
  words() {
    const parts = this.panels.map(({ name, values, range: [, high] }) => {
      const [low] = range(numbers(values));
      return `${name} ${measured(mean(numbers(values)))} bits an image on average, ${measured(low)} to ${measured(high)}`;
    });
    return `The images cost: ${parts.join("; ")}. Dots are images, lines the mean of ${this.window} images around each.`;
  }

  x(index) {
    const width = this.drawing.width - MARGIN.left - MARGIN.right;
    return MARGIN.left + (width * (index + 0.5)) / this.shown.count;
  }

  move(event) {
    const width = this.drawing.width - MARGIN.left - MARGIN.right;
    const index = Math.floor(((event.offsetX - MARGIN.left) / width) * this.shown.count);
    this.shown.point(Math.min(this.shown.count - 1, Math.max(0, index)), event.clientX, event.clientY);
  }

  key(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -this.window, PageDown: this.window }[event.key];
    const ends = { Home: 0, End: this.shown.count - 1 }[event.key];
    if (step === undefined && ends === undefined) return;
    event.preventDefault();
    const index = ends ?? this.shown.after(step);
    const { left, top } = this.canvas.getBoundingClientRect();
    this.shown.point(index, left + this.x(index), top + MARGIN.top);
  }

  /** Where a panel is, and how its values lie in it. */
  place(i, height) {
    const rest = height - MARGIN.top - MARGIN.bottom - MARGIN.gap * (this.panels.length - 1);
    const size = rest / this.panels.length;
    const top = MARGIN.top + i * (size + MARGIN.gap);
    const [low, high] = this.panels[i].range;
    return { top, size, y: (value) => top + (size * (high - value)) / (high - low || 1) };
  }

  paint(context, width, height) {
    context.font = this.shown.colours.font;
    this.panels.forEach((panel, i) => this.panel(context, panel, width, this.place(i, height)));
    context.textAlign = "right";
    context.textBaseline = "bottom";
    context.fillStyle = this.shown.colours.soft;
    context.fillText("along the tour →", width - MARGIN.right, height - 2);
  }

  panel(context, { name, values, means, range: [low, high] }, width, { top, size, y }) {
    const { colours } = this.shown;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of high > low ? ticks(low, high, size / 26) : [low]) {
      context.fillStyle = colours.line;
      context.fillRect(MARGIN.left, Math.round(y(tick)), width - MARGIN.left - MARGIN.right, 1);
      context.fillStyle = colours.soft;
      context.fillText(tick.toLocaleString("en"), MARGIN.left - 8, y(tick));
    }
    context.textAlign = "left";
    context.fillStyle = colours.ink;
    context.fillText(`${name}, bits an image`, MARGIN.left, top - 14);
    context.fillStyle = colours.fill;
    const side = values.length > 600 ? 2 : 4;
    values.forEach((value, i) => known(value) && context.fillRect(this.x(i) - side / 2, y(value) - side / 2, side, side));
    context.strokeStyle = colours.accent;
    context.lineWidth = 2;
    context.beginPath();
    means.forEach((value, i) => known(value) && context.lineTo(this.x(i), y(value)));
    context.stroke();
  }

  /** A line through the image that is pointed at. */
  mark(context, _, height) {
    const { index, colours } = this.shown;
    if (index === null) return;
    context.fillStyle = colours.ink;
    this.panels.forEach(({ values }, i) => {
      const { top, size, y } = this.place(i, height);
      context.fillRect(this.x(index) - 0.5, top, 1, size);
      if (known(values[index])) context.fillRect(this.x(index) - 3.5, y(values[index]) - 3.5, 7, 7);
    });
  }
}
