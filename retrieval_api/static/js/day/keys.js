// The keyboard: which key does what. By the key's place and not its letter, so that a Ukrainian layout works too.

const KEYS = {
  Space: "toggle", KeyK: "toggle", KeyJ: "back10", KeyL: "forward10",
  ArrowLeft: "back5", ArrowRight: "forward5", "Shift+ArrowLeft": "back60", "Shift+ArrowRight": "forward60",
  Comma: "frameBack", Period: "frameForward", "Shift+Comma": "slower", "Shift+Period": "faster",
  BracketLeft: "edgeBack", BracketRight: "edgeForward", KeyG: "goTo",
  KeyI: "markIn", KeyO: "markOut", KeyX: "markClear",
  Equal: "zoomIn", "Shift+Equal": "zoomIn", NumpadAdd: "zoomIn", Minus: "zoomOut", NumpadSubtract: "zoomOut", Digit0: "zoomAll",
  KeyM: "mute", KeyF: "fullScreen",
};
const STORED = "protokol.day.keys";

// The action of a key press; null where it is none, or the press belongs to what has the focus.
export function actionOf(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog, [data-own-keys]")) return null;
  if (event.key === "?") return "help";
  if (event.code === "Space" && event.target.closest("a, button, summary, label, input")) return null;
  return KEYS[(event.shiftKey ? "Shift+" : "") + event.code] ?? null;
}

// Calls `actions[name]()`; a person may switch the keys off, for good in this browser (WCAG 2.1.4).
export class Keys {
  constructor(actions, checkbox) {
    this.checkbox = checkbox;
    checkbox.checked = stored() !== "off";
    checkbox.addEventListener("change", () => store(checkbox.checked ? "on" : "off"));
    document.addEventListener("keydown", (event) => {
      const action = this.checkbox.checked ? actionOf(event) : null;
      if (!action || !actions[action]) return;
      event.preventDefault();
      actions[action]();
    });
  }
}

// A browser that keeps nothing still works: the keys are on then.
function stored() {
  try { return localStorage.getItem(STORED); } catch { return null; }
}

function store(value) {
  try { localStorage.setItem(STORED, value); } catch { /* as above */ }
}
