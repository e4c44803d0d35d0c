// The page: what stands in each section, in words as far as it can be.

/** "2.5 seconds, 12 times as long as with xz (0.2 seconds)", as far as it was measured. */
function decoding(ours, other) {
  if (!known(ours.decode_seconds)) return "How long decoding takes was not measured.";
  const taken = `Decoding takes ${measured(ours.decode_seconds)} seconds`;
  if (!other) return `${taken}.`;
  if (!(other.decode_seconds > 0)) return `${taken}; how long ${other.name} takes was not measured.`;
  const times = ours.decode_seconds / other.decode_seconds;
  return `${taken}, ${fixed(times, times < 10 ? 1 : 0)} times as long as ${other.name}.`;
}

/** "16.2 % less than", for a size beside another. */
function against(size, other) {
  if (size === other) return "as much as";
  return `${percent(Math.abs(size / other - 1))} ${size < other ? "less" : "more"} than`;
}

function verdict(ours, other) {
  if (!ours) return "No file of acncodec was measured.";
  let words = `The file of acncodec takes ${plural(ours.bytes, "byte")}`;
  if (other) words += `, ${against(ours.bytes, other.bytes)} ${other.name}, the smallest of the others`;
  if (ours.model_bytes > 0) {
    const all = withModel(ours);
    words += `; its models, which it needs and does not hold, take ${whole(ours.model_bytes)} more`;
    words += other ? `, and with them it would take ${against(all, withModel(other))} that` : ` (${whole(all)} together)`;
  }
  return `${words}. ${decoding(ours, other)}`;
}

function headline(data) {
  const ours = smallest(data.table.filter((row) => row.ours));
  const other = smallest(data.table.filter((row) => !row.ours));
  const figure = (name, row, className) =>
    row && make("div", { className }, make("dt", {}, name), make("dd", {}, make("b", {}, whole(row.bytes)), " bytes"));
  const bits = ours && make("dd", {}, make("b", {}, measured(ours.bits_per_image)), " bits an image");
  const over = `over ${plural(data.images, "image")}`;
  byId("headline").replaceChildren(
    make("p", { className: "soft" }, `acncodec ${data.version}, bench`),
    make("h1", {}, make("bdi", {}, data.directory)),
    make("p", { className: "lead" }, found(data)),
    make(
      "dl",
      { className: "figures" },
      figure(ours?.name, ours, "ours"),
      figure(`${other?.name}, the smallest of the others`, other, ""),
      bits && make("div", { className: "ours" }, make("dt", {}, over), bits)
    ),
    make("p", {}, verdict(ours, other))
  );
}

function found(data) {
  const files = `${plural(data.images, "image")} in ${plural(data.files, "file")}`;
  const bytes = data.image_bytes_found;
  return known(bytes) ? `${files}; the files of the images take ${plural(bytes, "byte")}.` : `${files}.`;
}

function sizes(data) {
  if (!data.table.length) return [make("p", {}, "No method was measured.")];
  const words = "Bars are bytes; their outlined ends are models that the file needs and does not hold.";
  return [sizeTable(data.table), make("p", { className: "keys" }, words)];
}

function order(data) {
  return data.order ? orderFigure(data.order) : [make("p", {}, "What the order is worth was not measured.")];
}

function ledger(data) {
  if (!data.ledger?.length) return [make("p", {}, "No file of acncodec was measured, so there are no bits to tell of.")];
  const ours = data.table.find((row) => row.ours);
  const name = ours ? make("bdi", {}, ours.name) : "the file";
  const words = make("p", {}, "The parts of ", name, " add up to all of its bits.");
  return [words, ledgerFigure(data.ledger)];
}

/** How many images of the group are on show, where those are not all. */
function thinned(group) {
  const shown = group.names.length;
  if (!(group.count > shown)) return "";
  return `${whole(shown)} of ${whole(group.count)} images are shown, taken evenly along the tour. `;
}

function tourSection(shown) {
  const chart = new TourChart(shown);
  if (!chart.panels.length) return [make("p", {}, "The bits of single images were not measured.")];
  const keys = "Point at the chart, or step with ← and →, to see an image. The sheet and the map below mark it too.";
  return [
    make("p", {}, `${thinned(shown.group)}${chart.words()}`),
    make("figure", {}, chart.canvas, make("figcaption", {}, keys)),
  ];
}

const KEYS = "Drag to move. Wheel, pinch, + and − zoom, 0 shows all. Arrow keys go to the next image, or move with Shift.";

function sheetSection(shown) {
  const plane = new Plane(shown, new Sheet(shown), "Contact sheet of the images in the order of the tour");
  const words = "Row by row from the top left. Each image is coded given the one before it, so neighbours should be alike.";
  const controls = make("div", { className: "controls" }, plane.buttons());
  return [make("p", {}, words), make("figure", {}, controls, plane.canvas, make("figcaption", {}, KEYS))];
}

function mapSection(shown) {
  const scene = new CodeMap(shown);
  if (!scene.placed.length) return [make("p", {}, "The codes of these images were not measured.")];
  const plane = new Plane(shown, scene, "Map of the codes of the images");
  const ends = [make("span"), make("span")];
  const scale = () => {
    [0, 1].forEach((end) => (ends[end].textContent = measured(scene.scale?.[end])));
    ends[1].append(" bits");
  };
  const choices = [
    ["all", "all bits"],
    ["residual", "residual"],
    ["latent", "latent"],
  ];
  const select = make("select", {}, choices.map(([value, text]) => make("option", { value }, text)));
  select.addEventListener("change", () => {
    scene.colourBy(select.value);
    scale();
  });
  scale();
  const ramp = make("span", { className: "ramp" }, ends[0], make("i"), ends[1]);
  const controls = make("div", { className: "controls" }, plane.buttons(), make("label", {}, "Colour by", select), ramp);
  const shares = numbers(shown.group.variance);
  const axes = shares.length === 2 ? `, which hold ${percent(shares[0])} and ${percent(shares[1])} of it` : "";
  const words = `Where the codes of the images lie, on the two axes along which they vary most${axes}.`;
  const caption = `${KEYS} Near enough, dots become images. The line is the tour past the marked one.`;
  return [make("p", {}, words), make("figure", {}, controls, plane.canvas, make("figcaption", {}, caption))];
}

const VIEWS = { tour: tourSection, sheet: sheetSection, map: mapSection };

/** Show a group in all of its sections, in the place of the one before. */
function showGroup(group, colours, tip, before) {
  before?.end();
  if (!group.names.length) {
    for (const id of Object.keys(VIEWS)) fill(id, [make("p", {}, "There is no image to show.")]);
    return null;
  }
  const shown = new Shown(group, colours, tip);
  for (const [id, section] of Object.entries(VIEWS)) fill(id, section(shown));
  return shown;
}

function groups(data, colours) {
  if (!data.groups.length) {
    const none = "No image was modelled, so there is no tour: every one is kept as it is, as WebP or as raw samples.";
    fill("tour", [make("p", {}, none)]);
    byId("sheet").remove();
    byId("map").remove();
    return;
  }
  const tip = new Tip();
  let shown = showGroup(data.groups[0], colours, tip, null);
  if (data.groups.length === 1) {
    byId("tour").firstElementChild.after(make("p", { className: "soft" }, data.groups[0].title));
    return;
  }
  const select = make("select", {}, data.groups.map((group, value) => make("option", { value }, group.title)));
  select.addEventListener("change", () => (shown = showGroup(data.groups[select.value], colours, tip, shown)));
  byId("choice").append(make("label", {}, "Images", select));
}

const SIDE = 112; // pixels, an image's longer side

function extremes(title, images) {
  if (!images?.length) return [];
  const items = images.map((each) => {
    const factor = SIDE / Math.max(each.width, each.height, 1);
    const width = each.width * (factor > 1 ? Math.floor(factor) : factor);
    const sharp = factor > 1 ? "sharp" : "";
    const frame = make("div", { className: "frame" });
    if (String(each.image).startsWith("data:image/")) {
      frame.append(make("img", { src: each.image, alt: "", className: sharp, width: Math.round(width) }));
    }
    return make("li", {}, frame, `${measured(each.bits)} bits`, make("bdi", {}, each.name));
  });
  return [make("h3", {}, title), make("ul", { className: "images", role: "list" }, items)];
}

/** A section's heading, and below it what is given. */
function fill(id, parts) {
  const section = byId(id);
  section.replaceChildren(section.firstElementChild, ...parts.flat());
}

function start() {
  const data = JSON.parse(byId("data").textContent);
  document.title = `${data.directory} – acncodec bench`;
  const colours = new Colours();
  headline(data);
  fill("sizes", sizes(data));
  fill("order", order(data));
  fill("ledger", ledger(data));
  groups(data, colours);
  const both = [...extremes("Cheapest", data.cheapest), ...extremes("Dearest", data.dearest)];
  fill("extremes", both.length ? both : [make("p", {}, "The bits of single images were not measured.")]);
  byId("foot").replaceChildren(
    make("p", { className: "soft" }, `Made by acncodec ${data.version}. 1 byte is 8 bits.`)
  );
}

start();
