// Instants (UTC microseconds) as the wall clock of the council's zone shows them, and back. Pure.

const formats = new Map();

function format(zone) {
  if (!formats.has(zone)) {
    formats.set(zone, new Intl.DateTimeFormat("uk-UA", {
      hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: zone,
    }));
  }
  return formats.get(zone);
}

// `10:02:14`
export function clock(us, zone) {
  return format(zone).format(new Date(Math.floor(us / 1000)));
}

// The end of something on a day: the day's own end is its 24:00:00, not the next one's 00:00:00.
export function endClock(us, { nextMidnightUs, zone }) {
  return us === nextMidnightUs ? "24:00:00" : clock(us, zone);
}

// `10:02:14.320`; cut, never rounded up: a rounded time may lie in a gap.
export function exactClock(us, zone) {
  const ms = Math.floor(us / 1000);
  return `${format(zone).format(new Date(ms))}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
}

// `10:02` where the second is zero, else `10:02:14`.
export function shortClock(us, zone) {
  return clock(us, zone).replace(/:00$/, "");
}

// A reading of the wall clock (`10`, `10:41`, `10:41:30`, `10:41:30.5`) on the day `[midnightUs,
// nextMidnightUs)` → its instant; null for what is no time or does not exist that day. Of an hour that
// comes twice the first one counts.
export function reading(text, { midnightUs, nextMidnightUs, zone }) {
  const found = /^\s*(\d{1,2})(?:[:.](\d{2}))?(?:[:.](\d{2})(?:[.,](\d{1,3}))?)?\s*$/.exec(text);
  if (!found) return null;
  const [hours, minutes, seconds] = [found[1], found[2] ?? 0, found[3] ?? 0].map(Number);
  const fraction = Number((found[4] ?? "0").padEnd(3, "0"));
  if (hours > 24 || minutes > 59 || seconds > 59) return null;
  const wanted = (hours * 3600 + minutes * 60 + seconds) * 1e6 + fraction * 1000;
  if (wanted > 24 * 3600e6) return null;
  if (wanted === 24 * 3600e6) return nextMidnightUs;
  const plain = midnightUs + wanted;
  // The offset changes by an hour at most, in either direction.
  for (const shift of [-3600e6, 0, 3600e6]) {
    const us = plain + shift;
    if (us >= midnightUs && us < nextMidnightUs && sinceMidnight(us, zone) === Math.floor(wanted / 1e6)) return us;
  }
  return null;
}

function sinceMidnight(us, zone) {
  const [hours, minutes, seconds] = clock(us, zone).split(":").map(Number);
  return hours * 3600 + minutes * 60 + seconds;
}

// `1 год 12 хв`; seconds only below ten minutes.
export function duration(us, words) {
  const all = Math.round(us / 1e6);
  const [hours, minutes, seconds] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  const parts = [];
  if (hours) parts.push(`${hours} ${words.hours}`);
  if (minutes) parts.push(`${minutes} ${words.minutes}`);
  if ((seconds && all < 600) || !parts.length) parts.push(`${seconds} ${words.seconds}`);
  return parts.join(" ");
}

// `%(name)s` of a sentence filled in.
export function fill(sentence, values) {
  return sentence.replace(/%\((\w+)\)s/g, (whole, name) => values[name] ?? whole);
}
