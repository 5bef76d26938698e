// What stands over the strip under the pointer or the focus: the time, what is there, and a small picture.

const WIDE_PX = 176;
const WAIT_MS = 120;

export class Hover {
  constructor(element, strip, picturesOf) {
    this.element = element;
    this.strip = strip;
    this.time = element.querySelector("[data-hover-time]");
    this.what = element.querySelector("[data-hover-what]");
    this.image = element.querySelector("img");
    // A picture that is not there leaves its place: no broken image is ever shown.
    this.image.addEventListener("error", () => { this.image.hidden = true; });
    this.image.addEventListener("load", () => { this.image.hidden = false; });
    this.picturesOf = picturesOf;
  }

  show(us, x) {
    const told = this.strip.describe(us);
    this.time.textContent = told.at;
    this.what.textContent = told.what;
    this.element.hidden = false;
    const left = Math.min(Math.max(x - WIDE_PX / 2, 0), Math.max(this.strip.width - WIDE_PX, 0));
    this.element.style.transform = `translateX(${left}px)`;
    const address = this.picturesOf(us);
    if (address === this.address) return;
    this.address = address;
    this.image.hidden = true;
    clearTimeout(this.timer);
    if (address) this.timer = setTimeout(() => { this.image.src = address; }, WAIT_MS);
  }

  hide() {
    this.element.hidden = true;
    this.address = null;
    clearTimeout(this.timer);
  }
}
