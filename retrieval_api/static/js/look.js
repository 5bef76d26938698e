// Clear pictures of a room, one after another, each with the time at which it was taken; until the look is over.
"use strict";
const EVERY_MS = 2500;
const looks = document.getElementById("looks");

function asAddress(blob) {
  return new Promise((done) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => done(reader.result));
    reader.readAsDataURL(blob);
  });
}

async function renew(figure) {
  const answer = await fetch(figure.dataset.look, { redirect: "error", signal: AbortSignal.timeout(5000) });
  // 204: it is under way.
  if (answer.status !== 200) return;
  const picture = figure.querySelector("img");
  picture.src = await asAddress(await answer.blob());
  picture.hidden = false;
  figure.querySelector(".look-wait").hidden = true;
  // RFC 3339 in the council's zone: the wall clock stands in it.
  figure.querySelector(".look-at").textContent = answer.headers.get("Protokol-At").slice(11, 19);
}

function round() {
  // A picture that does not come leaves the one before it, with its time.
  for (const figure of looks.querySelectorAll("[data-look]")) renew(figure).catch(() => {});
}

if (looks) {
  round();
  setInterval(round, EVERY_MS);
  setTimeout(() => location.reload(), Number(looks.dataset.leftMs));
}
