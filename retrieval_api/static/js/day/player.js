// The whole day as one video: HLS by hls.js. Positions are instants of the wall clock; the player never stands in
// a gap, because the playlist has none of it.
import { follow } from "../wall-clock.js";

const RATES = [0.5, 1, 1.5, 2, 4];
// Wall time may run ahead of the pictures by this before it is told as a gap: a late picture is none.
const JUMP_US = 1e6;
// No decoder for the pictures: the sound alone would be played under a black screen.
const NO_DECODER = new Set(["bufferAddCodecError", "bufferIncompatibleCodecsError"]);
// A picture is shown a moment after the browser says that it is there; one that must be loaded may never come.
const SETTLE_MS = 40;
const LATEST_MS = 10_000;
// A picture this near to where it was told to go is the one that was wanted.
const NEAR_S = 1;
// Times of pictures are rounded on their way through the browser: less than this before a gap's end is its end.
const ROUNDING_S = 0.004;

export class Player {
  // `on.time(us)` with each picture shown, `on.moving(isMoving)` from when another one is wanted until it is
  // shown, `on.jump(fromUs, toUs)` when playing crosses a gap, `on.state()` when
  // it plays, stops, changes its speed or sound, `on.ended()`, `on.unplayable()`: the browser has no decoder;
  // `on.broken(status, problem)`: 0 or an HTTP status, and the server's problem document if there is one.
  constructor(video, url, on) {
    this.video = video;
    this.url = url;
    this.on = on;
    this.frameS = 1 / 25;
    this.shownS = null;
    this.atUs = null;
    this.sought = false;
    // Where it was told to go and has not arrived: pictures that still come from elsewhere are not told.
    this.wantedS = null;
    this.clock = null;
    for (const event of ["play", "pause", "ratechange", "volumechange"]) video.addEventListener(event, () => on.state());
    video.addEventListener("ended", () => on.ended());
    video.addEventListener("seeking", () => { this.sought = true; });
    // A day of sound alone shows no pictures: its time is told by the sound.
    for (const event of ["timeupdate", "seeked"]) {
      video.addEventListener(event, () => { if (!this.hasPictures) this.#shown(video.currentTime); });
    }
    if (this.tellsPictures) this.#watch();
  }

  static get isSupported() {
    return window.Hls?.isSupported() ?? false;
  }

  get isOpen() {
    return this.opening !== undefined;
  }

  get isPlaying() {
    return !this.video.paused;
  }

  get tellsPictures() {
    return "requestVideoFrameCallback" in this.video;
  }

  get hasPictures() {
    return this.tellsPictures && this.video.videoWidth > 0;
  }

  // Asks for the playlist: footage is opened from here on. Resolves when positions can be asked for, to the
  // instant that is shown: `us`, or the nearest one that the stated ground opens; null where that fails.
  open(us) {
    this.opening ??= new Promise((done) => {
      const { Hls } = window;
      // Its worker is made from a blob, which the policy of our pages forbids.
      const hls = new Hls({ enableWorker: false, autoStartLoad: false, maxBufferLength: 30, backBufferLength: 30 });
      const clock = follow(hls, Hls, () => {
        if (this.clock) return;
        this.clock = clock;
        // Nothing is loaded before it is known where to begin: what is not looked at is not opened.
        const { seconds, shownUs } = this.#place(us);
        this.#want(seconds);
        hls.startLoad(seconds);
        done(shownUs);
      });
      this.hls = hls;
      hls.on(Hls.Events.ERROR, (_, data) => {
        const noDecoder = NO_DECODER.has(data.details);
        if (!data.fatal && !noDecoder) return;
        this.close();
        done(null);
        if (noDecoder) this.on.unplayable();
        else this.on.broken(data.response?.code ?? 0, problemOf(data.networkDetails));
      });
      hls.loadSource(this.url);
      hls.attachMedia(this.video);
    });
    return this.opening;
  }

  // What failed, or has grown since, may be opened anew.
  close() {
    this.hls?.destroy();
    Object.assign(this, { hls: null, clock: null, opening: undefined, shownS: null, atUs: null });
    this.wantedS = null;
    this.on.moving(false);
    this.on.state();
  }

  // The end of what the player knows of; null before it is opened.
  get endUs() {
    return this.clock?.spans.at(-1)?.endUs ?? null;
  }

  // The playlist is one of what there was: of a day that goes on, what has come since is in another one.
  async reopen(us) {
    const { rate, isPlaying } = this;
    this.close();
    const shownUs = await this.open(us);
    this.rate = rate;
    if (isPlaying) await this.#play();
    return shownUs;
  }

  async #play() {
    await this.video.play().catch(() => {});
  }

  async seek(us) {
    if (!this.isOpen) return this.open(us);
    if (await this.opening === null) return null;
    const { seconds, shownUs } = this.#place(us);
    this.#want(seconds);
    this.video.currentTime = seconds;
    return shownUs;
  }

  #want(seconds) {
    this.wantedS = seconds;
    this.on.moving(true);
  }

  // Until the wanted picture is shown; a browser that never tells is not waited for.
  async #arrival() {
    for (let waited = 0; this.wantedS !== null && waited < LATEST_MS; waited += SETTLE_MS) {
      await new Promise((done) => { setTimeout(done, SETTLE_MS); });
    }
  }

  #place(us) {
    const shownUs = this.clock.nearest(us) ?? us;
    // Into the picture: its edge, rounded down, would be the picture before.
    return { shownUs, seconds: (this.clock.playerS(shownUs) ?? 0) + 0.001 };
  }

  async toggle(atUs) {
    if (!this.isOpen && await this.open(atUs) === null) return;
    if (this.video.paused) await this.#play();
    else this.video.pause();
  }

  pause() {
    this.video.pause();
  }

  // One picture on (1) or back (-1), over a gap as well. How long a picture lasts is learnt by looking.
  // A press that comes while another one is carried out waits for it; of several, the last.
  async frame(direction) {
    this.video.pause();
    if (!this.isOpen) return;
    this.pressed = direction;
    if (this.stepping) return;
    this.stepping = true;
    await this.opening;
    await this.#arrival();
    while (this.pressed && this.shownS !== null) {
      const wanted = this.pressed;
      this.pressed = 0;
      await (wanted > 0 ? this.#forward() : this.#back());
    }
    this.stepping = false;
  }

  async #forward() {
    const fromS = this.shownS;
    // Into the middle of the next picture, and further if pictures are longer than thought.
    for (let more = 1.5; more < 50 && !isAfter(this.shownS, fromS); more += 1) {
      await this.#present(fromS + more * this.frameS);
      if (this.video.ended || !this.isOpen) return;
    }
    const apart = this.shownS - fromS;
    if (isAfter(this.shownS, fromS) && apart < 1) this.frameS = apart;
  }

  async #back() {
    const fromS = this.shownS;
    // The stream's loader takes less than a tenth of a second before what it has for a rounding and loads
    // nothing: where the picture before is not there yet, it is asked for from further away.
    for (const lessS of [0.02, 0.15, 0.4, 1]) {
      await this.#present(Math.max(0, fromS - lessS));
      if (!isAfter(fromS, this.shownS)) continue;
      while (lessS > 0.1) {
        const beforeS = this.shownS;
        await this.#forward();
        if (isAfter(fromS, this.shownS) && isAfter(this.shownS, beforeS)) continue;
        await this.#present(beforeS + this.frameS / 4);
        return;
      }
      return;
    }
  }

  // Moves, and waits until the picture of that position is shown.
  #present(seconds) {
    return new Promise((done) => {
      const over = () => { clearTimeout(late); setTimeout(done, SETTLE_MS); };
      const late = setTimeout(over, LATEST_MS);
      this.video.addEventListener("seeked", over, { once: true });
      this.video.currentTime = seconds;
    });
  }

  // The next faster (1) or slower (-1) speed; the one that holds afterwards.
  faster(direction) {
    const index = RATES.indexOf(this.video.playbackRate) + direction;
    this.rate = RATES[Math.min(Math.max(index, 0), RATES.length - 1)];
    return this.rate;
  }

  get rate() {
    return this.video.playbackRate;
  }

  set rate(value) {
    // Loading a stream sets the speed back to the default one.
    this.video.defaultPlaybackRate = value;
    this.video.playbackRate = value;
  }

  #watch() {
    this.video.requestVideoFrameCallback((_, { mediaTime }) => {
      this.#shown(mediaTime);
      this.#watch();
    });
  }

  #shown(seconds) {
    if (!this.clock?.spans.length) return;
    if (this.wantedS !== null) {
      if (this.video.seeking && Math.abs(seconds - this.wantedS) > NEAR_S) return;
      this.wantedS = null;
      this.on.moving(false);
    }
    const us = instantOf(this.clock, seconds);
    const { shownS, atUs, sought } = this;
    Object.assign(this, { shownS: seconds, atUs: us, sought: false });
    // Wall time that passed and no media for it: a gap was crossed.
    if (!sought && atUs !== null && us - atUs - (seconds - shownS) * 1e6 > JUMP_US) this.on.jump(atUs, us);
    this.on.time(us);
  }
}

// The instant of a picture that is shown at a player's time. One that begins a stretch, rounded to before it, is
// of that stretch: the end of the stretch before would be a time that it does not show. Pure.
export function instantOf(clock, seconds) {
  return Math.max(clock.wallUs(seconds), clock.spanAt(seconds + ROUNDING_S).wallUs);
}

function problemOf(request) {
  try { return JSON.parse(request.responseText); } catch { return null; }
}

function isAfter(seconds, otherSeconds) {
  return seconds > otherSeconds + 0.002;
}
