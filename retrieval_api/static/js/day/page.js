// The day of a room: puts strip, player, marks, calendar and keys together. Without it, and where the browser
// cannot play a day, the page keeps its drawn strip, its lists and the form that opens a clip.
import { addressOf, asked } from "./address.js";
import { Calendar } from "./calendar.js";
import { Facts } from "./facts.js";
import { Hover } from "./hover.js";
import { Keys } from "./keys.js";
import { Marks, MarksBar } from "./marks.js";
import { Player } from "./player.js";
import { Strip } from "./strip.js";
import { clock, endClock, exactClock, fill, reading } from "./times.js";

const CLOSER = 0.5;
const NEAR_US = 2e6;
// Small pictures are made each ten seconds, of the next keyframe, which is at most two seconds away.
const [PICTURES_US, KEYFRAME_US] = [10e6, 2e6];
// While a day goes on a minute of it arrives each minute.
const RENEW_MS = 60_000;
const page = document.getElementById("day");
const find = (name) => page.querySelector(`[data-${name}]`);
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value));

async function begin() {
  const answer = await fetch(page.dataset.facts);
  if (!answer.ok) return;
  const document_ = await answer.json();
  const { words } = document_;
  new Calendar(find("calendar-button"), find("calendar"), {
    ...page.dataset,
    words,
    address: (date) => `/staff/rooms/${page.dataset.room}/day?${query({ date, source: page.dataset.camera })}`,
  });
  page.classList.add("scripted");
  // A clip that is open has a clock of its own: a second one, of the strip, would tell another time beside it.
  if (document_.windows.length && !document.getElementById("video")) new Day(new Facts(document_), words);
}

class Day {
  constructor(facts, words) {
    this.facts = facts;
    this.words = words;
    this.source = page.dataset.camera;
    const named = asked(facts);
    this.marks = new Marks(named.inUs, named.outUs);
    if (this.marks.isWhole && this.marks.outUs <= this.marks.inUs) this.marks.clear();
    this.#strip();
    // Who asked for a clip is told why it cannot be had, and by which others.
    const { ground, asksClip } = page.dataset;
    this.canWatch = Player.isSupported && ground !== undefined && asksClip === undefined && facts.recorded.length > 0;
    if (this.canWatch) this.#player();
    this.#controls();
    this.showMarks();
    const firstUs = named.atUs ?? named.inUs;
    if (firstUs !== null) this.goTo(firstUs, { opens: named.atUs !== null });
    else this.#show(this.strip.atUs);
    if (facts.goesOn) this.#keepUp();
  }

  // What arrives while the page is open is on its strip and in its player, too.
  #keepUp() {
    const timer = setInterval(async () => {
      await this.#renew();
      this.#loudness({ refresh: 1 });
      if (this.waits) this.#goOn();
      if (!this.facts.goesOn) clearInterval(timer);
    }, RENEW_MS);
  }

  #renew() {
    this.renewing ??= this.#ask().finally(() => { this.renewing = null; });
    return this.renewing;
  }

  async #ask() {
    // A page that asks by itself is no use of the log-in.
    const answer = await fetch(`${page.dataset.facts}&refresh=1`, { redirect: "error" }).catch(() => null);
    if (!answer?.ok) return;
    this.facts.take(await answer.json());
    this.renewed = true;
    this.strip.tell();
    this.strip.draw();
    this.#lists().catch(() => {});
  }

  // What is written about the day is taken from the page as it would be now; but nothing moves under a reader's focus.
  async #lists() {
    const address = `${location.pathname}?${query({ date: this.facts.date, source: this.source, refresh: 1 })}`;
    const answer = await fetch(address, { redirect: "error" }).catch(() => null);
    if (!answer?.ok) return;
    const now = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const list of page.querySelectorAll("[data-list]")) {
      const anew = now.querySelector(`[data-list=${list.dataset.list}]`);
      if (anew && !list.contains(document.activeElement)) list.replaceWith(anew);
    }
  }

  #strip() {
    const box = find("strip");
    page.querySelector("svg.strip")?.remove();
    for (const name of ["strip-box", "deck", "marks-bar", "zoom"]) find(name).hidden = false;
    const hover = find("hover");
    this.strip = new Strip(box, this.facts, this.words, {
      seek: (us, direction) => this.goTo(us, { direction }),
      hover: (us, x) => this.hover.show(us, x),
      leave: () => this.hover.hide(),
      mark: (startUs, endUs) => { this.marks = new Marks(startUs, endUs); this.showMarks(); },
      view: (view) => this.#visible(view),
    });
    this.hover = new Hover(hover, this.strip, (us) => this.#picture(us));
    this.#visible(this.strip.view);
    this.#loudness();
  }

  #visible({ startUs, endUs, isWhole }) {
    const { zone, day } = this.facts;
    find("visible").textContent = fill(this.words.visible, { from: clock(startUs, zone), to: endClock(endUs, day) });
    find("zoom-all").disabled = isWhole;
    find("zoom-out").disabled = isWhole;
  }

  #picture(us) {
    const stretch = this.facts.stretch(us);
    if (page.dataset.ground === undefined || page.dataset.pictures === undefined || !stretch || !this.facts.isOpened(us)) return null;
    // Asking more finely would ask for the same one again.
    const atUs = Math.max(Math.floor(us / PICTURES_US) * PICTURES_US, stretch.start_us) + KEYFRAME_US;
    return `/api/v1/rooms/${this.facts.room}/thumbnail.jpg?${query({ at: new Date(atUs / 1000).toISOString(), source: this.source })}`;
  }

  async #loudness(more = {}) {
    const address = `/api/v1/rooms/${this.facts.room}/loudness?${query({ date: this.facts.date, source: this.source, ...more })}`;
    const answer = await fetch(address).catch(() => null);
    const told = answer?.ok ? await answer.json() : null;
    if (!told?.values.some((each) => each !== null)) return;
    this.strip.loudness = told;
    find("loudness-key").hidden = false;
    this.strip.draw();
  }

  #player() {
    for (const name of ["screen", "transport"]) find(name).hidden = false;
    for (const each of page.querySelectorAll("[data-without-player]")) each.remove();
    const url = `/api/v1/rooms/${this.facts.room}/day.m3u8?${query({ date: this.facts.date, source: this.source })}`;
    this.player = new Player(find("video"), url, {
      time: (us) => this.#show(us),
      moving: (isMoving) => page.classList.toggle("moving", isMoving),
      jump: (fromUs, toUs) => this.#skipped(fromUs, toUs),
      state: () => this.#state(),
      ended: () => this.#ended(),
      unplayable: () => this.say(this.words.no_decoder),
      broken: (status, problem) => this.say(this.#whyBroken(status, problem)),
    });
    this.#state();
  }

  #whyBroken(status, problem) {
    // A ground may have ended since it was stated: the hold was released.
    if ([403, 422, 428].includes(status)) return this.words.not_of_ground;
    return problem?.reason === "expired" ? this.words.expired : this.words.broken;
  }

  // The end of what the player was given; of a day that goes on, more has come meanwhile or will.
  async #ended() {
    if (this.facts.goesOn) await this.#renew();
    await this.#goOn();
  }

  async #goOn() {
    const { endUs } = this.player;
    if (endUs !== null && !this.facts.isOpened(endUs)) {
      this.waits = false;
      this.say(this.words.ground_ended);
      return;
    }
    const hasMore = endUs !== null && this.facts.next(endUs + NEAR_US) !== null;
    this.waits = !hasMore && this.facts.goesOn;
    if (hasMore && this.renewed) {
      if (await this.player.reopen(endUs) === null) return;
      // The ground may open no more than there was.
      if (this.player.endUs > endUs + NEAR_US) {
        await this.player.toggle(endUs);
        return;
      }
    }
    this.say(this.waits ? this.words.growing : this.words.ended);
  }

  // Moves to an instant; in a gap to the next footage, and says why. Without a player only the position moves.
  goTo(us, { opens = true, direction = 1, renewed = false } = {}) {
    const why = this.facts.why(us);
    if (why !== null && this.facts.goesOn && !renewed) {
      this.#renew().then(() => this.goTo(us, { opens, direction, renewed: true }));
      return;
    }
    if (why === null) {
      this.say("");
      this.#move(us, opens);
      return;
    }
    if (!this.player) {
      this.say(fill(this.words.position, { at: clock(us, this.facts.zone), what: why }));
      this.#move(us, opens);
      return;
    }
    this.#across(us, why, direction, opens);
  }

  // Where `us` has no footage: on to the next, or back to the end of the one before when moving back.
  #across(us, why, direction, opens) {
    const at = (each) => clock(each, this.facts.zone);
    const before = this.facts.before(us);
    const nextUs = this.facts.next(us);
    const backwards = direction < 0 && before;
    if (nextUs === null && !before) return;
    const [fromUs, toUs] = [before?.end_us ?? us, nextUs];
    if (toUs === null) this.say(fill(this.words.nothing_after, { at: at(fromUs), why }));
    else this.#tellGap(backwards ? this.words.gap_back : this.words.gap_skipped, fromUs, toUs);
    this.#move(toUs === null || backwards ? before.end_us - 1e6 : toUs, opens);
  }

  #move(us, opens) {
    this.moved = true;
    this.waits = false;
    this.#show(us);
    if (!this.player || !opens) return;
    const { endUs } = this.player;
    const isNew = this.renewed && endUs !== null && us >= endUs;
    (isNew ? this.player.reopen(us) : this.player.seek(us)).then((shownUs) => {
      this.#state();
      if (shownUs === null) return;
      // The index has it, the player has not: the ground opens only a part of the day, or a file is damaged.
      const why = this.facts.isOpened(us) ? this.words.not_shown : this.words.part_of_day;
      const apart = Math.abs(shownUs - us) > NEAR_US;
      if (!apart) return;
      // It told of the moment that was asked for.
      this.hover.hide();
      this.say(fill(why, { at: clock(us, this.facts.zone), shown: clock(shownUs, this.facts.zone) }));
    });
  }

  #skipped(fromUs, toUs) {
    // In the middle, so that an edge which the index and the pictures round differently does not matter.
    const middleUs = (fromUs + toUs) / 2;
    if (!this.facts.isOpened(middleUs)) {
      const untilUs = this.facts.openedUntil(middleUs) ?? fromUs;
      this.say(fill(this.words.ground_skipped, { from: clock(untilUs, this.facts.zone), to: clock(toUs, this.facts.zone) }));
      return;
    }
    if (this.facts.isRecorded(middleUs)) return;
    this.#tellGap(this.words.gap_skipped, this.facts.before(middleUs)?.end_us ?? fromUs, this.facts.next(middleUs) ?? toUs);
  }

  #tellGap(sentence, fromUs, toUs) {
    const why = this.facts.reasons(fromUs, toUs).join(", ") || this.words.no_reason;
    this.say(fill(sentence, { from: clock(fromUs, this.facts.zone), to: clock(toUs, this.facts.zone), why }));
  }

  #show(us) {
    this.atUs = us;
    find("clock").textContent = exactClock(us, this.facts.zone);
    this.strip.setPosition(us);
    const view = this.strip.view;
    if (us < view.startUs || us > view.endUs) { this.strip.reveal(us); this.#visible(view); }
    if (!this.player?.isPlaying) this.#remember();
  }

  // The address of the page is a link to what is seen. Browsers refuse more than some changes a second.
  #remember() {
    clearTimeout(this.remembering);
    this.remembering = setTimeout(() => {
      const isMoved = this.moved || this.player?.isOpen;
      history.replaceState(null, "", addressOf(this.facts, this.marks, isMoved ? this.atUs : null, this.source));
    }, 300);
  }

  #state() {
    const { words, player } = this;
    const shown = (name, isOn, label) => {
      find(name).dataset.state = isOn ? "on" : "off";
      find(name).setAttribute("aria-label", label);
    };
    shown("toggle", player.isPlaying, player.isPlaying ? words.pause : words.play);
    shown("mute", player.video.muted, player.video.muted ? words.sound_on : words.sound_off);
    find("rate").value = String(player.rate);
    find("poster").hidden = player.isOpen;
    if (!player.isPlaying) this.#remember();
  }

  showMarks() {
    this.strip.marks = this.marks;
    this.strip.draw();
    this.bar ??= new MarksBar(find("marks-bar"), this.facts, this.words);
    this.bar.source = this.source;
    this.bar.show(this.marks);
    this.#remember();
  }

  mark(side) {
    const cleared = side === "in" ? this.marks.setIn(this.atUs) : this.marks.setOut(this.atUs);
    this.showMarks();
    if (cleared) this.say(side === "in" ? this.words.end_removed : this.words.start_removed);
  }

  say(sentence) {
    find("said").textContent = sentence;
  }

  #controls() {
    const { strip, player } = this;
    const step = (seconds) => () => this.goTo(this.#inDay(this.atUs + seconds * 1e6), { direction: Math.sign(seconds) });
    const edge = (direction) => () => {
      const us = this.facts.edge(this.atUs, direction);
      if (us !== null) this.goTo(us, { direction });
    };
    const watching = player && {
      toggle: () => (player.video.ended && this.facts.goesOn ? this.#ended() : player.toggle(this.atUs)).then(() => this.#state()),
      frameBack: () => player.frame(-1),
      frameForward: () => player.frame(1),
      slower: () => this.say(fill(this.words.speed, { rate: player.faster(-1) })),
      faster: () => this.say(fill(this.words.speed, { rate: player.faster(1) })),
      mute: () => { player.video.muted = !player.video.muted; },
      fullScreen: () => (document.fullscreenElement ? document.exitFullscreen() : page.querySelector(".desk").requestFullscreen?.()),
    };
    const actions = {
      ...watching,
      back5: step(-5), forward5: step(5), back10: step(-10), forward10: step(10), back60: step(-60), forward60: step(60),
      edgeBack: edge(-1), edgeForward: edge(1),
      zoomIn: () => strip.zoom(CLOSER), zoomOut: () => strip.zoom(1 / CLOSER), zoomAll: () => strip.all(),
      markIn: () => this.mark("in"), markOut: () => this.mark("out"),
      markClear: () => { this.marks.clear(); this.showMarks(); },
      goTo: () => find("go").select(),
      help: () => find("help").showModal(),
    };
    new Keys(actions, find("keys"));
    page.addEventListener("click", ({ target }) => actions[target.closest("[data-do]")?.dataset.do]?.());
    find("rate").addEventListener("change", ({ target }) => { player.rate = Number(target.value); });
    find("source")?.addEventListener("change", ({ target }) => {
      const link = new URL(addressOf(this.facts, this.marks, null, target.value), location.href);
      link.searchParams.set("t", clock(this.atUs, this.facts.zone));
      location.assign(link);
    });
    find("go-form").addEventListener("submit", (event) => {
      event.preventDefault();
      const us = reading(find("go").value, this.facts.day);
      if (us === null) this.say(this.words.bad_time);
      else { this.goTo(us); find("strip").focus(); }
    });
    find("link").addEventListener("click", () => this.#copy());
  }

  #inDay(us) {
    const { startUs, endUs } = this.facts.wholeUs;
    return Math.min(Math.max(us, startUs), endUs - 1e6);
  }

  async #copy() {
    const link = new URL(addressOf(this.facts, this.marks, this.atUs, this.source), location.href).href;
    history.replaceState(null, "", link);
    // Only secure pages may copy; the address bar has the link in any case.
    const copied = await navigator.clipboard?.writeText(link).then(() => true, () => false);
    this.say(copied ? this.words.link_copied : this.words.link_here);
  }
}

begin();
