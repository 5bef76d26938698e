// The wall clock of a day that is played without its gaps: player's time to instants and back.
// Pure but for `follow`. Instants are microseconds since 1970, player's times seconds, as video elements have them.

const SPAN = "#EXT-X-PROTOKOL-SPAN:";

// The spans of a day's playlist, in order: from `playerUs` on, until the next span, the player shows the instants
// `[wallUs, endUs)`. `pictured`, `sounded`: recorded, as against frozen or silent. `part`: which discontinuity.
export function parseSpans(playlist) {
  const spans = [];
  let part = 0;
  for (const line of playlist.split("\n")) {
    if (line.startsWith("#EXT-X-DISCONTINUITY") && !line.includes("SEQUENCE")) part += 1;
    if (!line.startsWith(SPAN)) continue;
    const told = Object.fromEntries(line.slice(SPAN.length).trim().split(",").map((pair) => pair.split("=")));
    const tracks = told.TRACKS.split("+");
    spans.push({
      wallUs: Number(told["WALL-US"]),
      endUs: Number(told["END-US"]),
      playerUs: Number(told["PLAYER-US"]),
      pictured: tracks.includes("picture"),
      sounded: tracks.includes("sound"),
      part,
    });
  }
  return spans;
}

// The last element for which `holds`, given that it holds for all before it; undefined where it does for none.
function last(list, holds) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(list[middle])) low = middle + 1;
    else high = middle;
  }
  return list[low - 1];
}

export class WallClock {
  constructor(playlist = "") {
    this.spans = parseSpans(playlist);
    this.shiftUs = new Map();
  }

  // A player places each discontinuity by its own reckoning; this says by how many seconds it is later.
  settle(part, laterS) {
    this.shiftUs.set(part, laterS * 1e6);
  }

  #begin(span) {
    return span.playerUs + (this.shiftUs.get(span.part) ?? 0);
  }

  // What is shown at a player's time; undefined before the beginning and without footage.
  spanAt(playerS) {
    // Half a microsecond: a time that went through a double and back must not fall before its own span.
    return last(this.spans, (span) => this.#begin(span) <= playerS * 1e6 + 0.5) ?? this.spans[0];
  }

  // The instant of the picture at a player's time; null without footage. Never one inside a gap: what stands
  // frozen there, up to a packet of sound long, is of the instant before the gap.
  wallUs(playerS) {
    const span = this.spanAt(playerS);
    if (!span) return null;
    const wallUs = span.wallUs + Math.round(playerS * 1e6 - this.#begin(span));
    return Math.min(Math.max(wallUs, span.wallUs), span.endUs - 1);
  }

  // Where an instant is played; null where it was not recorded.
  playerS(wallUs) {
    const span = last(this.spans, (each) => each.wallUs <= wallUs);
    if (!span || wallUs >= span.endUs) return null;
    return (this.#begin(span) + wallUs - span.wallUs) / 1e6;
  }

  // The recorded instant to go to for any: itself, else the first one after the gap, else the last of all.
  nearest(wallUs) {
    if (!this.spans.length) return null;
    if (this.playerS(wallUs) !== null) return wallUs;
    const next = this.spans.find((span) => span.wallUs > wallUs);
    return next ? next.wallUs : this.spans.at(-1).endUs - 1;
  }
}

// A clock that keeps to what an hls.js player plays; `onChange` is called when the playlist has come anew.
export function follow(hls, Hls, onChange = () => {}) {
  const clock = new WallClock();
  hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
    clock.spans = parseSpans(details.m3u8);
    onChange(clock);
  });
  // hls.js shows media time less `initPTS`; the media time of a day is that of the playlist's line.
  hls.on(Hls.Events.INIT_PTS_FOUND, (_, { frag, initPTS, timescale }) => {
    clock.settle(frag.cc, -initPTS / timescale);
  });
  return clock;
}
