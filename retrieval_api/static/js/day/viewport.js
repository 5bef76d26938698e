// Which part of the day the strip shows, and where on it an instant lies. Pure; instants in microseconds.

// Closer than this nothing more is to be seen: a tenth of a second is some ten pixels.
const SHORTEST_US = 10e6;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

export class Viewport {
  constructor({ startUs, endUs }) {
    this.whole = { startUs, endUs };
    this.startUs = startUs;
    this.endUs = endUs;
  }

  get spanUs() {
    return this.endUs - this.startUs;
  }

  get isWhole() {
    return this.startUs === this.whole.startUs && this.endUs === this.whole.endUs;
  }

  x(us, width) {
    return ((us - this.startUs) / this.spanUs) * width;
  }

  us(x, width) {
    return this.startUs + (x / width) * this.spanUs;
  }

  // `factor` below 1 comes closer; what stands at `atUs` stays where it is.
  zoom(factor, atUs) {
    const wholeUs = this.whole.endUs - this.whole.startUs;
    const spanUs = Math.min(Math.max(this.spanUs * factor, Math.min(SHORTEST_US, wholeUs)), wholeUs);
    const share = (atUs - this.startUs) / this.spanUs;
    this.#set(atUs - share * spanUs, spanUs);
  }

  pan(byUs) {
    this.#set(this.startUs + byUs, this.spanUs);
  }

  // Moves so that `us` is seen; nothing happens where it is already.
  reveal(us) {
    if (us < this.startUs || us > this.endUs) this.#set(us - this.spanUs / 2, this.spanUs);
  }

  all() {
    this.#set(this.whole.startUs, this.whole.endUs - this.whole.startUs);
  }

  #set(startUs, spanUs) {
    const latest = this.whole.endUs - spanUs;
    this.startUs = Math.min(Math.max(startUs, this.whole.startUs), latest);
    this.endUs = this.startUs + spanUs;
  }

  // Instants of labelled ticks: as many as fit at `apart` pixels, on round readings of a clock whose day
  // began at `midnightUs`.
  ticks(width, apart, midnightUs) {
    const least = (this.spanUs / 1e6) * (apart / Math.max(width, 1));
    const stepUs = (STEPS_S.find((each) => each >= least) ?? STEPS_S.at(-1)) * 1e6;
    const first = midnightUs + Math.ceil((this.startUs - midnightUs) / stepUs) * stepUs;
    const out = [];
    for (let us = first; us <= this.endUs; us += stepUs) out.push(us);
    return out;
  }
}
