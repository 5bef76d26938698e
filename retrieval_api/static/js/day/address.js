// The address of the page is a link to what is seen: a moment (`t`) or an interval (`from`, `to`).
import { clock, endClock, reading } from "./times.js";

// What the address names: `{ atUs, inUs, outUs }`, null where it names nothing.
export function asked(facts, search = location.search) {
  const query = new URLSearchParams(search);
  const read = (name) => (query.has(name) ? reading(query.get(name), facts.day) : null);
  return { atUs: read("t"), inUs: read("from"), outUs: read("to") };
}

// `source`: the camera, where the room has several.
export function addressOf(facts, marks, atUs, source = "") {
  const query = new URLSearchParams({ date: facts.date });
  if (source) query.set("source", source);
  if (marks.isWhole) {
    const { startUs, endUs } = marks.seconds;
    query.set("from", clock(startUs, facts.zone));
    query.set("to", endClock(endUs, facts.day));
  } else if (atUs !== null) {
    query.set("t", clock(atUs, facts.zone));
  }
  // A colon needs no escape in a query, and without it the link can be read.
  return `${location.pathname}?${query}`.replaceAll("%3A", ":");
}
