// The live board: takes in what the server tells, and says so when it tells nothing. Without it the page asks
// for itself anew. Nothing that has the focus, the pointer or the scroll bar is replaced: the board is morphed.
"use strict";
const STREAM = "/staff/board/events";
const ROUND_MS = 1000;
// The server tells each five seconds that it is there.
const SILENT_MS = 12_000;
const ASK_MS = 5000;
const RETRY_MS = 30_000;
const stale = document.getElementById("stale");
const icon = document.querySelector("link[rel=icon]");
const said = { fault: document.getElementById("said-fault"), well: document.getElementById("said-well") };
const board = () => document.getElementById("board");
let stream = null;
let openedMs = 0;
let heardMs = performance.now();
let askedMs = 0;
let faults = faultsOf(board());

// --- what is shown beside the board: title and icon of the tab, and words for who does not see it

function faultsOf(element) {
  return new Map([...element.querySelectorAll("[data-fault]")].map((row) => [row.id, row.dataset.fault]));
}

function tell() {
  const now = faultsOf(board());
  document.title = board().dataset.title;
  icon.setAttribute("href", now.size ? "/static/icon-fault.svg" : "/static/icon.svg");
  const fresh = [...now].filter(([id]) => !faults.has(id)).map(([, text]) => text);
  const isMended = [...faults.keys()].some((id) => !now.has(id));
  // What stays as it is is not said again.
  if (fresh.length || isMended) said.fault.textContent = fresh.join(". ");
  if (now.size) said.well.textContent = "";
  else if (isMended) said.well.textContent = board().dataset.well;
  faults = now;
}

function show(isStale) {
  stale.hidden = !isStale;
  board().classList.toggle("stale", isStale);
}

function heard() {
  heardMs = performance.now();
  show(false);
}

// --- the board itself

function takeIn(html) {
  const focused = document.activeElement?.id;
  Idiomorph.morph(board(), html, { morphStyle: "outerHTML" });
  // A room that stands elsewhere now was drawn anew; the keyboard goes with it.
  if (focused && document.activeElement?.id !== focused) {
    document.getElementById(focused)?.focus({ preventScroll: true });
  }
  tell();
}

function open() {
  openedMs = performance.now();
  stream?.close();
  stream = new EventSource(STREAM);
  stream.addEventListener("board", ({ data }) => {
    takeIn(data);
    heard();
  });
  stream.addEventListener("alive", heard);
  // The session is over: the server leads to the log-in, and from there back. Were the stream's own end still
  // heard, the board would be asked for beside that, and the answer to it would break the way off.
  stream.addEventListener("end", () => {
    stream.close();
    clearInterval(rounds);
    location.reload();
  });
  stream.addEventListener("error", ask);
}

// Where no stream comes through, the board is asked for now and then; its failure is what makes it stale.
function ask() {
  askedMs = performance.now();
  htmx.trigger(board(), "ask");
}

function round() {
  const nowMs = performance.now();
  const isOpen = stream && stream.readyState !== EventSource.CLOSED;
  if (isOpen && nowMs - heardMs < SILENT_MS) return;
  if (nowMs - askedMs >= ASK_MS) ask();
  if (!isOpen && nowMs - openedMs >= RETRY_MS) open();
}

document.body.addEventListener("htmx:afterSwap", () => {
  show(false);
  tell();
});
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(failure, () => show(true));
}
// A tab that slept has missed what was told meanwhile.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) round();
});
tell();
open();
const rounds = setInterval(round, ROUND_MS);
