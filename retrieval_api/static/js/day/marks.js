// The marked interval: in and out, what is shown of it, and what can be done with it.
import { clock, duration, endClock, fill } from "./times.js";

const SECOND_US = 1e6;

// A pair of marks. The out mark is exclusive. A mark on the wrong side of the other one replaces it. Pure.
export class Marks {
  constructor(inUs = null, outUs = null) {
    this.inUs = inUs;
    this.outUs = outUs;
  }

  setIn(us) {
    this.inUs = us;
    const cleared = this.outUs !== null && this.outUs <= us;
    if (cleared) this.outUs = null;
    return cleared;
  }

  setOut(us) {
    this.outUs = us;
    const cleared = this.inUs !== null && this.inUs >= us;
    if (cleared) this.inUs = null;
    return cleared;
  }

  clear() {
    this.inUs = this.outUs = null;
  }

  get isWhole() {
    return this.inUs !== null && this.outUs !== null;
  }

  // Whole seconds around the marks: what a form and a link can say.
  get seconds() {
    return {
      startUs: Math.floor(this.inUs / SECOND_US) * SECOND_US,
      endUs: Math.ceil(this.outUs / SECOND_US) * SECOND_US,
    };
  }
}

// The bar under the picture that shows the marks and bears the actions on them.
export class MarksBar {
  constructor(element, facts, words) {
    this.facts = facts;
    this.words = words;
    this.text = element.querySelector("[data-marked]");
    this.length = element.querySelector("[data-marked-length]");
    this.actions = element.querySelector("[data-actions]");
    this.hold = element.querySelector("[data-hold]");
    this.download = element.querySelector("[data-download]");
    this.tooLong = element.querySelector("[data-too-long]");
    this.clear = element.querySelector("[data-clear]");
    this.source = "";
  }

  show(marks) {
    const at = (us) => clock(us, this.facts.zone);
    this.actions.hidden = !marks.isWhole;
    this.clear.hidden = marks.inUs === null && marks.outUs === null;
    this.length.textContent = "";
    this.tooLong.hidden = true;
    if (!marks.isWhole) {
      if (marks.inUs !== null) this.text.textContent = fill(this.words.mark_from, { at: at(marks.inUs) });
      else if (marks.outUs !== null) this.text.textContent = fill(this.words.mark_to, { at: at(marks.outUs) });
      else this.text.textContent = this.words.mark_none;
      return;
    }
    const { startUs, endUs } = marks.seconds;
    const [from, to] = [at(startUs), endClock(endUs, this.facts.day)];
    this.text.textContent = fill(this.words.marked, { from, to });
    this.length.textContent = duration(endUs - startUs, this.words);
    if (this.hold) {
      const asked = new URLSearchParams({ date: this.facts.date, from, to });
      if (this.source) asked.set("source", this.source);
      this.hold.href = `/staff/rooms/${this.facts.room}/hold?${asked}`;
    }
    this.tooLong.hidden = endUs - startUs <= this.facts.max_clip_us;
    if (!this.download) return;
    this.download.hidden = !this.tooLong.hidden;
    const asked = new URLSearchParams({ from: iso(startUs), to: iso(endUs), download: "1" });
    if (this.source) asked.set("source", this.source);
    this.download.href = `/api/v1/rooms/${this.facts.room}/clip.mp4?${asked}`;
  }
}

// RFC 3339 in UTC.
function iso(us) {
  return new Date(us / 1000).toISOString();
}
