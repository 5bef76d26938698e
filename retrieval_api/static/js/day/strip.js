// The zoomable strip of the day: a slider whose value is the position, over everything that is known of the day.
import { clock, exactClock, fill, shortClock } from "./times.js";
import { Viewport } from "./viewport.js";

const SVG = "http://www.w3.org/2000/svg";
// Lanes from top to bottom, in pixels: marks, footage, holds, requests, loudness, hours.
const LANES = { marks: [0, 8], main: [12, 52], holds: [68, 8], requested: [80, 8], loudness: [92, 32] };
const TICKS_AT = 128;
const HEIGHT = 152;
// Drawn in this order: what comes later lies on top.
const DRAWN = [
  ["closed", "main"], ["windows", "main"], ["ahead", "main"], ["purged", "main"], ["recorded", "main"],
  ["unopened", "main"], ["openable", "main"],
  ["pending", "main"], ["gaps", "main"], ["marks", "marks"], ["holds", "holds"], ["requested", "requested"],
];
const SIGNS = { gaps: "▲", holds: "◆", requested: "■", marks: "⚑" };
// Of the widest font that a system may have, in bold.
const LETTER = 8.3;
const LINE = 17;
// A finger that moves less has tapped.
const TAP_PX = 6;

function make(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

// Stripes at an angle; `id` is also the class of what they are made of.
function hatch(parent, id, degrees) {
  const pattern = make("pattern", {
    id, class: id, width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: `rotate(${degrees})`,
  }, parent);
  make("rect", { width: 8, height: 8, class: "hatch-ground" }, pattern);
  make("rect", { width: 3, height: 8, class: "hatch-line" }, pattern);
}

export class Strip {
  // `on.seek(us)`, `on.hover(us, x)`, `on.leave()`, `on.mark(startUs, endUs)`
  constructor(element, facts, words, on) {
    this.element = element;
    this.facts = facts;
    this.words = words;
    this.on = on;
    this.view = new Viewport(facts.wholeUs);
    this.atUs = facts.first() ?? facts.wholeUs.startUs;
    this.marks = null;
    this.loudness = null;
    // What the hint tells of while the keyboard has it there; null while the pointer has it, or nobody.
    this.hintUs = null;
    this.svg = make("svg", { class: `strip day-strip ${facts.state}`, height: HEIGHT, "aria-hidden": "true" }, element);
    const patterns = make("defs", {}, this.svg);
    hatch(patterns, "hatch", 45);
    hatch(patterns, "hatch-unopened", -45);
    this.drawn = make("g", {}, this.svg);
    this.cursor = make("g", { class: "playhead" }, this.svg);
    make("line", { y1: 6, y2: TICKS_AT, x1: 0, x2: 0 }, this.cursor);
    make("path", { d: "M-7 0h14v6l-7 7-7-7z" }, this.cursor);
    element.setAttribute("aria-valuemin", 0);
    element.setAttribute("aria-valuemax", Math.round((this.view.whole.endUs - this.view.whole.startUs) / 1e6));
    new ResizeObserver(() => this.draw()).observe(element);
    this.#listen();
    this.tell();
  }

  get width() {
    return this.element.clientWidth || 1;
  }

  setPosition(us) {
    // A hint of another time than the playhead's would be taken for what is seen.
    if (this.hintUs !== null && Math.abs(us - this.hintUs) > 1e6) this.#leave();
    this.atUs = us;
    this.tell();
    this.#placeCursor();
  }

  // What a screen reader says of the position.
  tell() {
    const at = clock(this.atUs, this.facts.zone);
    const text = fill(this.words.position, { at, what: this.facts.at(this.atUs).join(", ") });
    if (this.element.getAttribute("aria-valuetext") === text) return;
    this.element.setAttribute("aria-valuenow", Math.round((this.atUs - this.view.whole.startUs) / 1e6));
    this.element.setAttribute("aria-valuetext", text);
  }

  reveal(us) {
    this.view.reveal(us);
    this.draw();
  }

  zoom(factor, atUs = this.atUs) {
    const seen = atUs >= this.view.startUs && atUs <= this.view.endUs;
    this.view.zoom(factor, seen ? atUs : (this.view.startUs + this.view.endUs) / 2);
    this.draw();
    this.on.view?.(this.view);
  }

  pan(byUs) {
    this.view.pan(byUs);
    this.draw();
    this.on.view?.(this.view);
  }

  all() {
    this.view.all();
    this.draw();
    this.on.view?.(this.view);
  }

  // Many wheel events come between two pictures of the screen: one drawing serves them all.
  draw() {
    this.wanted ??= requestAnimationFrame(() => {
      this.wanted = null;
      this.#draw();
    });
  }

  #draw() {
    const { width, view } = this;
    this.svg.setAttribute("width", width);
    this.drawn.replaceChildren();
    if (this.hintUs !== null) this.#hint(this.hintUs);
    for (const [kind, lane] of DRAWN) {
      for (const each of this.facts[kind]) this.#interval(kind, each, ...LANES[lane]);
    }
    if (this.loudness) this.#loudness();
    if (this.marks) this.#marked();
    for (const us of view.ticks(width, 76, this.facts.midnight_us)) {
      const x = view.x(us, width);
      make("line", { class: "hour", x1: x, x2: x, y1: TICKS_AT - 4, y2: TICKS_AT + 4 }, this.drawn);
      const side = x < 24 ? "first" : x > width - 24 ? "last" : "";
      const text = make("text", { x, y: HEIGHT - 4, class: side }, this.drawn);
      text.textContent = shortClock(us, this.facts.zone);
    }
    this.#placeCursor();
  }

  #interval(kind, each, top, height) {
    const { width, view } = this;
    const left = Math.max(view.x(each.start_us, width), -2);
    const right = Math.min(view.x(each.end_us, width), width + 2);
    if (right < 0 || left > width || right <= left) return;
    // A gap of one track, or of one camera of several, lies in the lower half: the others go on above it.
    const partial = kind === "gaps" && this.facts.isRecorded((each.start_us + each.end_us) / 2);
    const [y, high] = partial ? [top + height / 2, height / 2] : [top, height];
    // What is shorter than a pixel must still be seen, if it is not simply recorded.
    const wide = Math.max(right - left, kind === "recorded" ? 0.5 : 3);
    make("rect", { class: kind, x: left, y, width: wide, height: high }, this.drawn);
    if (kind === "windows" || kind === "recorded" || height < 20) return;
    const label = SIGNS[kind] ? `${SIGNS[kind]} ${each.word}` : each.word;
    const room = Math.min(right, width) - Math.max(left, 0);
    const lines = inLines(label, room, high);
    if (lines) this.#label(lines, kind, (Math.max(left, 0) + Math.min(right, width)) / 2, y + high / 2);
    else if (SIGNS[kind] && room > 12) this.#label([SIGNS[kind]], kind, (left + right) / 2, y + high / 2);
  }

  #label(lines, kind, x, y) {
    const wide = Math.max(...lines.map((each) => each.length)) * LETTER + 8;
    const high = lines.length * LINE + 4;
    make("rect", { class: `label-ground ${kind}`, x: x - wide / 2, y: y - high / 2, width: wide, height: high, rx: 3 }, this.drawn);
    for (const [number, line] of lines.entries()) {
      const text = make("text", { class: `label ${kind}`, x, y: y - high / 2 + (number + 1) * LINE - 2 }, this.drawn);
      text.textContent = line;
    }
  }

  #marked() {
    const { width, view, marks } = this;
    const at = (us) => (us === null ? null : view.x(us, width));
    const [left, right] = [at(marks.inUs), at(marks.outUs)];
    if (left !== null && right !== null) {
      make("rect", { class: "marked", x: left, y: LANES.main[0] - 3, width: Math.max(right - left, 1), height: LANES.main[1] + 6 }, this.drawn);
    }
    for (const [x, side] of [[left, 1], [right, -1]]) {
      if (x === null) continue;
      make("path", { class: "bracket", d: `M${x + side * 7} 9H${x}V67H${x + side * 7}` }, this.drawn);
    }
  }

  #loudness() {
    const { start_us: startUs, step_us: stepUs, values } = this.loudness;
    const { width, view } = this;
    const [top, height] = LANES.loudness;
    // One bar a pixel column at most: the loudest of what it covers.
    const columns = new Map();
    const first = Math.max(0, Math.floor((view.startUs - startUs) / stepUs));
    const last = Math.min(values.length - 1, Math.ceil((view.endUs - startUs) / stepUs));
    const wide = Math.max(1, (stepUs / view.spanUs) * width);
    for (let index = first; index <= last; index += 1) {
      if (values[index] === null) continue;
      const column = Math.floor(view.x(startUs + index * stepUs, width));
      columns.set(column, Math.max(columns.get(column) ?? 0, values[index]));
    }
    const bars = [...columns].map(([x, value]) => {
      const high = Math.max(1, (value / 100) * height);
      return `M${x} ${top + height}v${-high}h${wide + 0.3}v${high}z`;
    });
    make("path", { class: "loudness", d: bars.join("") }, this.drawn);
  }

  #placeCursor() {
    const x = this.view.x(this.atUs, this.width);
    this.cursor.setAttribute("transform", `translate(${x} 0)`);
    this.cursor.setAttribute("visibility", x < 0 || x > this.width ? "hidden" : "visible");
  }

  // What stands at a point, as a person reads it: the exact time while it is zoomed in.
  describe(us) {
    const near = this.view.spanUs < 120e6 ? exactClock(us, this.facts.zone) : clock(us, this.facts.zone);
    return { at: near, what: this.facts.at(us).join(" · ") };
  }

  #listen() {
    const { element } = this;
    const pointers = new Map();
    let moved = 0;
    const usOf = (event) => this.view.us(event.clientX - element.getBoundingClientRect().left, this.width);
    element.addEventListener("wheel", (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
      // A page that is scrolled past a strip which shows the whole day goes on scrolling.
      if (!sideways && event.deltaY > 0 && this.view.isWhole) return;
      event.preventDefault();
      if (sideways) this.pan(((event.deltaX || event.deltaY) / this.width) * this.view.spanUs);
      else this.zoom(Math.exp(Math.max(-100, Math.min(100, event.deltaY)) / 250), usOf(event));
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      pointers.set(event.pointerId, { x: event.clientX, us: usOf(event) });
      element.setPointerCapture(event.pointerId);
      if (pointers.size === 1) moved = 0;
    });
    element.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) {
        if (event.pointerType !== "mouse") return;
        this.hintUs = null;
        this.on.hover?.(usOf(event), event.clientX - element.getBoundingClientRect().left);
        return;
      }
      const apart = spread(pointers);
      moved += Math.abs(event.clientX - before.x);
      const by = event.clientX - before.x;
      before.x = event.clientX;
      if (pointers.size === 2) {
        const now = spread(pointers);
        if (apart.wide > 8 && now.wide > 8) {
          const middle = this.view.us(now.middle - element.getBoundingClientRect().left, this.width);
          this.zoom(apart.wide / now.wide, middle);
        }
      } else if (event.shiftKey) {
        this.on.mark?.(Math.min(before.us, usOf(event)), Math.max(before.us, usOf(event)));
      } else if (moved > TAP_PX) {
        this.pan((-by / this.width) * this.view.spanUs);
      }
    });
    const up = (event) => {
      const was = pointers.get(event.pointerId);
      pointers.delete(event.pointerId);
      if (event.type === "pointerup" && was && moved <= TAP_PX && !pointers.size) this.on.seek(usOf(event));
    };
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", up);
    element.addEventListener("pointerleave", () => this.#leave());
    element.addEventListener("focus", () => {
      if (element.matches(":focus-visible")) this.#hint(this.atUs);
    });
    element.addEventListener("blur", () => this.#leave());
    element.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -5e6, ArrowDown: -5e6, ArrowRight: 5e6, ArrowUp: 5e6, PageDown: -600e6, PageUp: 600e6 };
      let us = steps[event.key] && this.atUs + steps[event.key] * (event.shiftKey ? 12 : 1);
      if (event.key === "Home") us = this.facts.recorded[0]?.start_us ?? this.view.whole.startUs;
      if (event.key === "End") us = (this.facts.last()?.end_us ?? this.view.whole.endUs) - 1e6;
      if (us === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      const { startUs, endUs } = this.view.whole;
      this.on.seek(Math.min(Math.max(us, startUs), endUs - 1e6), Math.sign(us - this.atUs));
      this.#hint(this.atUs);
    });
  }

  #hint(us) {
    this.hintUs = us;
    this.on.hover?.(us, this.view.x(us, this.width));
  }

  #leave() {
    this.hintUs = null;
    this.on.leave?.();
  }
}

// A label in one or two lines that fit; null where neither does.
function inLines(label, wide, high) {
  const fits = (line) => line.length * LETTER + 12 <= wide;
  if (fits(label)) return [label];
  const words = label.split(" ");
  for (let count = words.length - 1; count > 0 && high >= 2 * LINE + 4; count -= 1) {
    const lines = [words.slice(0, count).join(" "), words.slice(count).join(" ")];
    if (lines.every(fits)) return lines;
  }
  return null;
}

function spread(pointers) {
  const xs = [...pointers.values()].map((each) => each.x);
  return { wide: Math.max(...xs) - Math.min(...xs), middle: (Math.max(...xs) + Math.min(...xs)) / 2 };
}
