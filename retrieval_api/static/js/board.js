// A board that cannot reach the server must not look as if all were well.
"use strict";
const stale = document.getElementById("stale");
function show(isStale) {
  stale.hidden = !isStale;
  document.getElementById("board").classList.toggle("stale", isStale);
}
document.body.addEventListener("htmx:afterOnLoad", () => show(false));
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.body.addEventListener(failure, () => show(true));
}
