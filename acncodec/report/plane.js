// Planes of images to move about in: a canvas with a camera, and two scenes for it, the contact sheet and the map of codes.

const PACE = { step: 1.5, wheel: 0.0016, pinch: 0.012, glide: 160 }; // zooms; milliseconds
const NEAR = { drag: 4, edge: 60 }; // pixels: less is no drag; nearer is not well in view

/**
 * A canvas that shows a part of a scene. The scene has `lay(width, height)`, which fits it to a canvas; then `bounds`, the
 * rectangle that there is; `most`, pixels a unit at the nearest; `at(x, y, view)`, which image lies there; `place(index)`,
 * its middle; `stride`, how far an arrow key up or down goes along the tour; `paint(context, view)`; and
 * `mark(context, view, index)`, which marks an image.
 */
class Plane {
  constructor(shown, scene, label) {
    Object.assign(this, { shown, scene, camera: { x: 0, y: 0, scale: 1 }, pointers: new Map(), moved: false, way: null });
    this.canvas = make("canvas", { className: "plane", tabIndex: 0, role: "application", "aria-label": label });
    this.drawing = new Drawing(
      this.canvas,
      (context) => scene.paint(context, this.view()),
      (context) => shown.index !== null && scene.mark(context, this.view(), shown.index),
      () => {
        scene.lay(this.drawing.width, this.drawing.height);
        this.whole(false);
      }
    );
    shown.drawings.push(this.drawing);
    [this.scrolled, this.entered] = [-1, -1]; // when the page last scrolled, when the pointer last moved in here
    addEventListener("scroll", () => (this.scrolled = performance.now()), { passive: true, signal: shown.over.signal });
    const listen = (type, act) => this.canvas.addEventListener(type, act.bind(this));
    listen("wheel", this.wheel);
    listen("pointerdown", this.press);
    listen("pointermove", this.move);
    listen("pointerup", this.release);
    listen("pointercancel", this.release);
    listen("pointerleave", (event) => event.pointerType === "mouse" && shown.leave());
    listen("dblclick", (event) => this.zoom(2, event.offsetX, event.offsetY, true));
    listen("keydown", this.key);
  }

  /** Buttons for who has neither wheel nor keys. */
  buttons() {
    const [x, y] = [() => this.drawing.width / 2, () => this.drawing.height / 2];
    const button = (text, label, act) => {
      const element = make("button", { type: "button", "aria-label": label }, text);
      element.addEventListener("click", act);
      return element;
    };
    return [
      button("+", "Zoom in", () => this.zoom(PACE.step, x(), y(), true)),
      button("−", "Zoom out", () => this.zoom(1 / PACE.step, x(), y(), true)),
      button("Show all", "Show all", () => this.whole(true)),
    ];
  }

  /** Where the scene's units are on the canvas: x pixels = (unit - left) * scale. */
  view() {
    const { x, y, scale } = this.camera;
    const { width, height } = this.drawing;
    const zoom = scale / this.home().scale;
    return { left: x - width / 2 / scale, top: y - height / 2 / scale, width, height, scale, zoom };
  }

  /** The camera that shows all there is. */
  home() {
    const { left, top, right, bottom } = this.scene.bounds;
    const scale = Math.min(this.drawing.width / (right - left), this.drawing.height / (bottom - top));
    return { x: (left + right) / 2, y: (top + bottom) / 2, scale };
  }

  /** A camera no farther and no nearer than makes sense, and never beside the scene. */
  held({ x, y, scale }) {
    const { width, height } = this.drawing;
    const { left, top, right, bottom } = this.scene.bounds;
    const size = Math.max(this.home().scale, Math.min(scale, this.scene.most));
    const inside = (at, low, high, room) => {
      const half = room / 2 / size;
      return high - low <= 2 * half ? (low + high) / 2 : Math.min(high - half, Math.max(low + half, at));
    };
    return { x: inside(x, left, right, width), y: inside(y, top, bottom, height), scale: size };
  }

  look(camera) {
    this.camera = this.held(camera);
    // With all in view a finger that moves up or down is meant for the page.
    this.canvas.style.touchAction = this.camera.scale > this.home().scale * 1.001 ? "none" : "pan-y";
    this.drawing.ask(true);
  }

  /** Go on a way, a camera for each share of it from 0 to 1, at once for those who want no motion. */
  fly(way, smooth) {
    const start = performance.now();
    this.way = way;
    if (!smooth || STILL.matches) return this.land();
    const step = () => {
      if (this.way !== way) return;
      const share = Math.min(1, (performance.now() - start) / PACE.glide);
      if (share === 1) return this.land();
      this.look(way(share));
      requestAnimationFrame(step);
    };
    step();
  }

  /** Be at once where the way leads, so that the next starts there. */
  land() {
    if (this.way) this.look(this.way(1));
    this.way = null;
  }

  /** Zoom so that what is at a place of the canvas stays there. */
  zoom(factor, x, y, smooth) {
    this.land();
    const from = { ...this.camera };
    const { width, height } = this.drawing;
    const [across, down] = [from.x + (x - width / 2) / from.scale, from.y + (y - height / 2) / from.scale];
    const way = (share) => {
      const { scale } = this.held({ ...from, scale: from.scale * factor ** share });
      return { x: across - (x - width / 2) / scale, y: down - (y - height / 2) / scale, scale };
    };
    this.fly(way, smooth);
  }

  whole(smooth) {
    const [from, to] = [{ ...this.camera }, this.home()];
    const mix = (share, name) => from[name] + (to[name] - from[name]) * share;
    this.fly((share) => ({ x: mix(share, "x"), y: mix(share, "y"), scale: mix(share, "scale") }), smooth);
  }

  pan(x, y) {
    this.land();
    const { scale } = this.camera;
    this.look({ x: this.camera.x - x / scale, y: this.camera.y - y / scale, scale });
  }

  /**
   * A wheel zooms, but who scrolls down the page must get past: not where the page has scrolled since the pointer last
   * moved, and not farther out than all there is.
   */
  wheel(event) {
    const lines = [1, 16, 400][event.deltaMode];
    const out = event.deltaY > 0 && this.camera.scale <= this.home().scale * 1.001;
    if (!event.ctrlKey && (out || this.scrolled > this.entered)) return;
    event.preventDefault();
    const speed = event.ctrlKey ? PACE.pinch : PACE.wheel; // a pinch on a touchpad comes as a wheel with Ctrl
    this.zoom(Math.exp(-event.deltaY * lines * speed), event.offsetX, event.offsetY, false);
    this.shown.tip.hide();
  }

  press(event) {
    if (event.isTrusted) this.canvas.setPointerCapture(event.pointerId); // only a real pointer can be held
    this.pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    this.moved = this.pointers.size > 1;
    this.pressed = { x: event.offsetX, y: event.offsetY };
  }

  move(event) {
    if (event.movementX || event.movementY || !event.isTrusted) this.entered = performance.now();
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.hover(event);
    const now = { x: event.offsetX, y: event.offsetY };
    this.moved ||= Math.hypot(now.x - this.pressed.x, now.y - this.pressed.y) > NEAR.drag;
    if (!this.moved) return;
    this.shown.tip.hide();
    this.pointers.set(event.pointerId, now);
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return this.pan(now.x - before.x, now.y - before.y);
    const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y) || 1;
    this.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
    this.zoom(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2, false);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (event.type === "pointerup" && !this.moved) this.hover(event);
  }

  hover(event) {
    const { left, top, scale } = this.view();
    const index = this.scene.at(left + event.offsetX / scale, top + event.offsetY / scale, this.view());
    if (index === null) this.shown.leave();
    else this.shown.point(index, event.clientX, event.clientY);
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.scene.stride, ArrowDown: this.scene.stride };
    const ways = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    const factor = { "+": PACE.step, "=": PACE.step, "-": 1 / PACE.step }[event.key];
    if (factor) {
      const at = this.shown.index === null ? null : this.onCanvas(this.shown.index);
      this.zoom(factor, at?.x ?? this.drawing.width / 2, at?.y ?? this.drawing.height / 2, true);
      this.shown.tip.hide();
    } else if (event.key === "0") this.whole(true);
    else if (event.shiftKey && ways[event.key]) this.pan(...ways[event.key]);
    else if (steps[event.key]) this.step(this.shown.after(steps[event.key]));
    else return;
    event.preventDefault();
  }

  onCanvas(index) {
    const { left, top, scale } = this.view();
    const [x, y] = this.scene.place(index);
    return { x: (x - left) * scale, y: (y - top) * scale };
  }

  /** Point at an image by key, and look there if it is not well in view. */
  step(index) {
    const at = this.onCanvas(index);
    const inside = (place, room) => Math.abs(place - room / 2) <= room / 2 - Math.min(NEAR.edge, room / 4);
    if (!inside(at.x, this.drawing.width) || !inside(at.y, this.drawing.height)) {
      const [x, y] = this.scene.place(index);
      this.fly(() => ({ x, y, scale: this.camera.scale }), false);
    }
    const { x, y } = this.onCanvas(index);
    const { left, top } = this.canvas.getBoundingClientRect();
    this.shown.point(index, left + x, top + y);
  }
}

/** A frame around an image that is pointed at. */
function frame(context, colours, x, y, width, height) {
  context.strokeStyle = colours.paper;
  context.lineWidth = 5;
  context.strokeRect(x - 1, y - 1, width + 2, height + 2);
  context.strokeStyle = colours.accent;
  context.lineWidth = 3;
  context.strokeRect(x - 1, y - 1, width + 2, height + 2);
}

const SPACE = 0.06; // between images, of their width

/** All images in the order of the tour, row by row, in columns that fill the canvas best. A unit is an image's width. */
class Sheet {
  constructor(shown) {
    Object.assign(this, { shown, stride: 1 });
    this.across = 1 + SPACE;
    this.down = shown.thumbnails.ratio + SPACE;
  }

  lay(width, height) {
    const { count } = this.shown;
    const ideal = Math.sqrt((count * this.down * width) / (this.across * height));
    this.stride = Math.max(1, Math.min(count, Math.round(ideal)));
    const lines = Math.ceil(count / this.stride);
    this.bounds = { left: -SPACE, top: -SPACE, right: this.stride * this.across, bottom: lines * this.down };
    this.most = 0.6 * Math.min(width, height / this.shown.thumbnails.ratio);
  }

  place(index) {
    const [column, line] = [index % this.stride, Math.floor(index / this.stride)];
    return [column * this.across + 0.5, line * this.down + this.shown.thumbnails.ratio / 2];
  }

  at(x, y) {
    const [column, line] = [Math.floor(x / this.across), Math.floor(y / this.down)];
    const index = line * this.stride + column;
    return column >= 0 && column < this.stride && line >= 0 && index < this.shown.count ? index : null;
  }

  /** Where an image is on the canvas. */
  spot(index, { left, top, scale }) {
    const [x, y] = this.place(index);
    return [(x - 0.5 - left) * scale, (y - this.shown.thumbnails.ratio / 2 - top) * scale];
  }

  paint(context, view) {
    const { left, top, scale, width, height } = view;
    const { count, thumbnails } = this.shown;
    const firstLine = Math.max(0, Math.floor(top / this.down));
    const lastLine = Math.floor((top + height / scale) / this.down);
    const first = Math.max(0, Math.floor(left / this.across));
    const last = Math.min(this.stride - 1, Math.floor((left + width / scale) / this.across));
    for (let line = firstLine; line <= lastLine; line++) {
      for (let index = line * this.stride + first; index <= line * this.stride + last && index < count; index++) {
        thumbnails.draw(context, index, ...this.spot(index, view), scale);
      }
    }
  }

  mark(context, view, index) {
    frame(context, this.shown.colours, ...this.spot(index, view), view.scale, view.scale * this.shown.thumbnails.ratio);
  }
}

const DOT = { radius: 3, reach: 10, along: 6 }; // pixels; images of the tour
const ROOM = { least: 60, side: 22 }; // pixels between images for which there are thumbnails, and how wide these are then

/** Images where their codes lie, on the first two axes of most variance: dots, and thumbnails where there is room. */
class CodeMap {
  constructor(shown) {
    Object.assign(this, { shown, stride: 1, by: "all", area: 1 });
    const { x, y } = shown.group;
    this.placed = shown.group.names.map((_, i) => i).filter((i) => known(x?.[i]) && known(y?.[i]));
    this.isPlaced = new Set(this.placed);
    [this.xs, this.ys] = [x, y].map((values) => range(this.placed.map((i) => values[i])));
    this.colourBy("all");
  }

  /** Colour by residual, latent or all bits; the ends of the scale leave out the outermost 2 % on either side. */
  colourBy(name) {
    this.by = name;
    const sorted = numbers(this.placed.map((i) => bitsOf(this.shown.group, i)[name])).sort((a, b) => a - b);
    this.scale = sorted.length ? [quantile(sorted, 0.02), quantile(sorted, 0.98)] : null;
    this.shown.ask(true);
  }

  lay(width, height) {
    const [across, down] = [this.xs[1] - this.xs[0] || 1, this.ys[1] - this.ys[0] || 1];
    const margin = 0.04 * Math.max(across, (down * width) / height);
    this.area = width * height;
    this.most = (60 * width) / across;
    this.bounds = {
      left: this.xs[0] - margin,
      right: this.xs[0] + across + margin,
      top: -this.ys[0] - down - margin, // up is more
      bottom: -this.ys[0] + margin,
    };
  }

  /** A point without a place is looked for where the map's middle is. */
  place(index) {
    if (this.isPlaced.has(index)) return [this.shown.group.x[index], -this.shown.group.y[index]];
    return [(this.xs[0] + this.xs[1]) / 2, -(this.ys[0] + this.ys[1]) / 2];
  }

  /** How wide thumbnails are: slower than the zoom, so that they come apart. 0 where there is no room for them. */
  side(zoom) {
    const room = zoom * Math.sqrt(this.area / this.placed.length);
    return room < ROOM.least ? 0 : ROOM.side * Math.sqrt(room / ROOM.least);
  }

  at(x, y, { scale, zoom }) {
    let [found, least] = [null, Math.max(DOT.reach, this.side(zoom) / 2) / scale];
    for (const index of this.placed) {
      const [left, top] = this.place(index);
      const distance = Math.hypot(left - x, top - y);
      if (distance <= least) [found, least] = [index, distance];
    }
    return found;
  }

  /** Where an image's middle is on the canvas. */
  spot(index, { left, top, scale }) {
    const [x, y] = this.place(index);
    return [(x - left) * scale, (y - top) * scale];
  }

  paint(context, view) {
    const side = this.side(view.zoom);
    for (const index of this.placed) {
      const [x, y] = this.spot(index, view);
      if (x > -side && y > -side && x < view.width + side && y < view.height + side) this.image(context, index, x, y, side);
    }
  }

  /** A dot, or a thumbnail with a border, of the colour of its bits. */
  image(context, index, x, y, side) {
    const { thumbnails, colours, group } = this.shown;
    const bits = bitsOf(group, index)[this.by];
    context.fillStyle = this.scale && known(bits) ? colours.between(bits, ...this.scale) : colours.fill;
    if (side) {
      const height = side * thumbnails.ratio;
      context.fillRect(x - side / 2 - 2, y - height / 2 - 2, side + 4, height + 4);
      thumbnails.draw(context, index, x - side / 2, y - height / 2, side);
    } else {
      context.beginPath();
      context.arc(x, y, DOT.radius, 0, 2 * Math.PI);
      context.fill();
    }
  }

  /** The image in a frame, and the tour on its way through it: the few before and after it. */
  mark(context, view, index) {
    if (!this.isPlaced.has(index)) return;
    const { thumbnails, colours, count } = this.shown;
    context.strokeStyle = colours.ink;
    context.lineWidth = 1;
    context.beginPath();
    for (let i = Math.max(0, index - DOT.along); i <= Math.min(count - 1, index + DOT.along); i++) {
      if (this.isPlaced.has(i)) context.lineTo(...this.spot(i, view));
    }
    context.stroke();
    const side = this.side(view.zoom);
    const [x, y] = this.spot(index, view);
    this.image(context, index, x, y, side);
    const [across, down] = side ? [side, side * thumbnails.ratio] : [2 * DOT.radius, 2 * DOT.radius];
    frame(context, colours, x - across / 2, y - down / 2, across, down);
  }
}
