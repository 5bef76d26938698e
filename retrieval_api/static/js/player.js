// The player of a clip: the wall clock under the picture, frame steps, and marks for start and end.
// The page works without it: the browser's own controls play the clip.
"use strict";
const video = document.getElementById("video");
if (video) {
  const clock = document.getElementById("clock");
  const startUs = Number(video.dataset.startUs);
  const format = new Intl.DateTimeFormat("uk-UA", {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZone: video.dataset.zone,
  });
  const wall = (seconds) => new Date(startUs / 1000 + seconds * 1000);
  const show = () => {
    const at = wall(video.currentTime);
    clock.textContent = `${format.format(at)}.${String(at.getUTCMilliseconds()).padStart(3, "0")}`;
  };
  for (const event of ["timeupdate", "seeked", "loadedmetadata"]) video.addEventListener(event, show);

  const rates = [1, 1.5, 2, 4, 0.5];
  const rateButton = document.querySelector("[data-rate]");
  function faster() {
    const next = rates[(rates.indexOf(video.playbackRate) + 1) % rates.length];
    video.playbackRate = next;
    rateButton.textContent = `${next}×`;
  }
  function step(seconds) {
    video.pause();
    video.currentTime = Math.max(0, video.currentTime + seconds);
  }
  function mark(id) {
    const input = document.getElementById(id);
    if (!input) return;
    // The end is exclusive: a mark inside a second takes that second along.
    const at = wall(id === "to" ? Math.ceil(video.currentTime) : video.currentTime);
    input.value = format.format(at);
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }
  const buttons = document.getElementById("player-buttons");
  buttons.hidden = false;
  for (const button of buttons.querySelectorAll("[data-mark]")) {
    button.hidden = !document.getElementById(button.dataset.mark);
  }
  buttons.addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (button.dataset.step) step(Number(button.dataset.step));
    else if (button.dataset.mark) mark(button.dataset.mark);
    else faster();
  });
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.code === "KeyI") mark("from");
    else if (event.code === "KeyO") mark("to");
    else if (event.key === ",") step(-0.04);
    else if (event.key === ".") step(0.04);
  });
}
