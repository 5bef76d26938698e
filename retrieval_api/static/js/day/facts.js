// What is known of a room's day (`day.json`), asked by instant. Pure.

import { fill } from "./times.js";

const covers = (us) => (each) => each.start_us <= us && us < each.end_us;

export class Facts {
  constructor(document) {
    this.take(document);
  }

  // What is known by now, in place of what was known before.
  take(document) {
    Object.assign(this, document);
    this.wholeUs = { startUs: document.horizon.start_us, endUs: document.horizon.end_us };
    this.day = { midnightUs: document.midnight_us, nextMidnightUs: document.next_midnight_us, zone: document.zone };
  }

  isRecorded(us) {
    return this.recorded.some(covers(us));
  }

  // More is recorded, or still arrives.
  get goesOn() {
    return this.ahead.length > 0 || this.pending.length > 0;
  }

  // Whether the ground of the visit may open `us`; `opened` is null where it knows no limits.
  isOpened(us) {
    return !this.opened || this.opened.some(covers(us));
  }

  // The end of the last stretch before `us` that the ground opens; null where there is none.
  openedUntil(us) {
    return this.opened?.findLast((each) => each.end_us <= us)?.end_us ?? null;
  }

  // Where watching begins: the first recorded instant that may be opened, else the first one; null where there is none.
  first() {
    const allowed = this.opened ?? [];
    for (const { start_us, end_us } of this.recorded) {
      const within = allowed.find((each) => each.start_us < end_us && each.end_us > start_us);
      if (within) return Math.max(start_us, within.start_us);
    }
    return this.recorded[0]?.start_us ?? null;
  }

  // The recorded stretch at `us`; undefined where there is none.
  stretch(us) {
    return this.recorded.find(covers(us));
  }

  // The first recorded instant at or after `us`; null where there is none.
  next(us) {
    const found = this.recorded.find((each) => each.end_us > us);
    return found ? Math.max(found.start_us, us) : null;
  }

  // The last recorded stretch that ends at or before `us`; null where there is none.
  before(us) {
    return this.recorded.findLast((each) => each.end_us <= us) ?? null;
  }

  last() {
    return this.recorded.at(-1) ?? null;
  }

  // Why nothing is shown at `us`, in words; null where something is.
  why(us) {
    return this.isRecorded(us) ? null : this.reasons(us, us + 1)[0] ?? this.outside_word;
  }

  // Everything that keeps footage from `[fromUs, toUs)`, in words and in order.
  reasons(fromUs, toUs) {
    const found = ["gaps", "purged", "pending", "ahead", "closed"].flatMap((kind) => this[kind])
      .filter((each) => each.start_us < toUs && each.end_us > fromUs && !this.isRecorded(Math.max(each.start_us, fromUs)));
    // The strip shows whole hours around the day's windows; beyond them nothing is ever recorded.
    if (fromUs < this.horizon.start_us || toUs > this.horizon.end_us) found.push({ start_us: fromUs, word: this.outside_word });
    return [...new Set(found.toSorted((a, b) => a.start_us - b.start_us).map((each) => each.word))];
  }

  // Everything that holds at `us`, in words: what is there, then what lies beside it.
  at(us) {
    const here = this.isRecorded(us) ? [this.recorded.find(covers(us)).word] : [this.why(us)];
    const unopened = this.unopened.filter(covers(us)).map((each) => each.word);
    const partial = this.isRecorded(us) ? this.gaps.filter(covers(us)) : [];
    const beside = [
      ...this.marks.filter(covers(us)).map((each) => each.word),
      ...this.few(this.holds.filter(covers(us)), this.words.day_holds),
      ...this.few(this.requested.filter(covers(us)), this.words.day_requests),
    ];
    return [...here, ...unopened, ...partial.map((each) => each.word), ...beside].filter(Boolean);
  }

  // Many would hide what the hint lies on: of them the count is told, the list stands below the strip.
  few(intervals, sentence) {
    return intervals.length > 2 ? [fill(sentence, { count: intervals.length })] : intervals.map((each) => each.word);
  }

  // The nearest beginning or end of a recorded stretch or of a gap, forward (1) or back (-1).
  edge(us, direction) {
    const all = [...this.recorded, ...this.gaps].flatMap((each) => [each.start_us, each.end_us]);
    const sorted = [...new Set(all)].sort((a, b) => a - b);
    // A frame or two behind an edge still is that edge.
    return (direction > 0 ? sorted.find((each) => each > us + 2e5) : sorted.findLast((each) => each < us - 2e5)) ?? null;
  }
}
