// A flash and a beep at one moment, as nearly as a browser can, about once a second.
"use strict";
const FLASH_MS = 100;
const BEEP_S = 0.05;
const BEEP_HZ = 1000;
// The beep is ordered this many frames ahead of its flash: sound cannot be ordered for now.
const LEAD_FRAMES = 10;
const start = document.getElementById("start");
const field = document.getElementById("field");
let audio = null;
let wakeLock = null;
let running = false;
let frameMs = 1000 / 60;
let lastMs = 0;
let dueMs = 0;
let framesLeft = -1;
let litMs = null;

// Never quite the same: flashes in step with the camera's frames would all begin at one place of a frame.
function pauseMs() {
  return 1000 + Math.random() * 60;
}

function beepAt(moment) {
  const stamp = audio.getOutputTimestamp ? audio.getOutputTimestamp() : {};
  const at = stamp.performanceTime
    ? stamp.contextTime + (moment - stamp.performanceTime) / 1000
    : audio.currentTime + (moment - performance.now()) / 1000 - (audio.outputLatency || audio.baseLatency || 0);
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  const from = Math.max(at, audio.currentTime);
  tone.frequency.value = BEEP_HZ;
  // A millisecond at both ends, or the loudspeaker would click.
  gain.gain.setValueAtTime(0, from);
  gain.gain.linearRampToValueAtTime(1, from + 0.001);
  gain.gain.setValueAtTime(1, from + BEEP_S - 0.001);
  gain.gain.linearRampToValueAtTime(0, from + BEEP_S);
  tone.connect(gain).connect(audio.destination);
  tone.start(from);
  tone.stop(from + BEEP_S);
}

function tick(nowMs) {
  if (!running) return;
  const passedMs = nowMs - lastMs;
  lastMs = nowMs;
  if (passedMs > 2 && passedMs < 50) frameMs += (passedMs - frameMs) / 16;
  if (framesLeft < 0 && nowMs >= dueMs) {
    framesLeft = LEAD_FRAMES;
    dueMs = nowMs + pauseMs();
    // What is drawn now is on the screen a frame later.
    beepAt(nowMs + (LEAD_FRAMES + 1) * frameMs);
  } else if (framesLeft > 0) {
    framesLeft -= 1;
    if (framesLeft === 0) {
      framesLeft = -1;
      litMs = nowMs;
      field.classList.add("lit");
    }
  }
  if (litMs !== null && nowMs - litMs >= FLASH_MS) {
    litMs = null;
    field.classList.remove("lit");
  }
  requestAnimationFrame(tick);
}

async function begin() {
  audio = audio || new AudioContext({ latencyHint: "interactive" });
  field.hidden = false;
  field.focus();
  running = true;
  lastMs = performance.now();
  dueMs = lastMs + 1000;
  framesLeft = -1;
  requestAnimationFrame(tick);
  audio.resume();
  try {
    await document.documentElement.requestFullscreen();
    wakeLock = await navigator.wakeLock.request("screen");
  } catch {
    // A telephone that has neither flashes all the same.
  }
}

function end() {
  if (!running) return;
  running = false;
  litMs = null;
  field.classList.remove("lit");
  field.hidden = true;
  audio.suspend();
  if (wakeLock) wakeLock.release();
  wakeLock = null;
  if (document.fullscreenElement) document.exitFullscreen();
  start.focus();
}

start.addEventListener("click", begin);
field.addEventListener("click", end);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") end();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) end();
});
