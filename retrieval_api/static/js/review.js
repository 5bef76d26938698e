// Takes the beginning and the end of a meeting from the player's position: buttons, and the keys I and O.
// Without it the times are typed; the form is the same.

const player = document.getElementById("player");
const fields = { in: document.getElementById("in"), out: document.getElementById("out") };

// Where in the clip each uninterrupted run begins, and its wall clock there, in microseconds.
const runs = (player?.dataset.runs ?? "")
  .split(";")
  .filter(Boolean)
  .map((run) => run.split(",").map(Number))
  .map(([atUs, startUs]) => ({ atUs, startUs }));

function wallClock(seconds) {
  const atUs = seconds * 1e6;
  const run = runs.findLast((each) => each.atUs <= atUs) ?? runs[0];
  const localUs = run.startUs + (atUs - run.atUs) + Number(player.dataset.zoneOffsetUs);
  return new Date(Math.floor(localUs / 1000)).toISOString().slice(11, 19);
}

function take(name) {
  // The focus stays where it is: the next key must not be typed into the field.
  fields[name].value = wallClock(player.currentTime);
}

if (player && runs.length) {
  for (const button of document.querySelectorAll("[data-take]")) {
    button.hidden = false;
    button.addEventListener("click", () => take(button.dataset.take));
  }
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select");
    const name = { KeyI: "in", KeyO: "out" }[event.code];
    if (!name || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    take(name);
  });
}
