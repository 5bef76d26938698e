// The month as a table: which days have footage, gaps, holds, requests, and which were destroyed. In words and
// signs; colour only helps. Without the figures of the month it is a plain calendar.
import { duration, fill } from "./times.js";

const DAY_MS = 86_400_000;
// As in the month of all rooms: each day begins with a second of getting ready, which is nobody's loss.
const WHOLE_BELOW_US = 60e6;
const KEYS = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -7, ArrowDown: 7 };

// Dates are ISO texts; the calendar counts in UTC, where each day has 24 hours. Pure.
const toMs = (date) => Date.parse(`${date}T00:00:00Z`);
const fromMs = (ms) => new Date(ms).toISOString().slice(0, 10);
export const addDays = (date, days) => fromMs(toMs(date) + days * DAY_MS);

export function addMonths(date, months) {
  const [year, month, day] = date.split("-").map(Number);
  const last = new Date(Date.UTC(year, month - 1 + months + 1, 0)).getUTCDate();
  return fromMs(Date.UTC(year, month - 1 + months, Math.min(day, last)));
}

// Weeks, Monday first, that show the month of `date`; null for days of other months.
export function weeks(date) {
  const month = date.slice(0, 7);
  const first = `${month}-01`;
  const lead = (new Date(toMs(first)).getUTCDay() + 6) % 7;
  const out = [];
  for (let start = addDays(first, -lead); start.slice(0, 7) <= month; start = addDays(start, 7)) {
    out.push(Array.from({ length: 7 }, (_, index) => addDays(start, index)).map((each) => (each.startsWith(month) ? each : null)));
  }
  return out;
}

// What is told of a day, in words; the first one is its state.
export function told(day, words) {
  const out = [];
  const amount = (us) => duration(us, words);
  if (day.state === "purged") out.push(words.day_purged);
  else if (day.state === "future") out.push(words.day_future);
  else if (day.state === "closed" || !day.planned_us) out.push(words.day_closed);
  else if (!day.recorded_us) out.push(words.day_missing);
  else out.push(fill(words.day_open, { recorded: amount(day.recorded_us), planned: amount(day.planned_us) }));
  if (day.gap_us > 0 && day.state !== "purged") out.push(fill(words.day_gaps, { gap: amount(day.gap_us) }));
  if (day.holds) out.push(fill(words.day_holds, { count: day.holds }));
  if (day.requests) out.push(fill(words.day_requests, { count: day.requests }));
  return out;
}

export class Calendar {
  // `panel` opens under `button`; `address(date)` is a day's page.
  constructor(button, panel, { room, date, today, language, words, address }) {
    Object.assign(this, { button, panel, room, today, words, address, chosen: date, at: date, language });
    this.table = panel.querySelector("table");
    this.title = panel.querySelector("[data-month]");
    this.months = new Map();
    button.addEventListener("click", () => this.toggle());
    panel.querySelector("[data-previous]").addEventListener("click", () => this.go(addMonths(this.at, -1)));
    panel.querySelector("[data-next]").addEventListener("click", () => this.go(addMonths(this.at, 1)));
    panel.addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("pointerdown", (event) => {
      if (!panel.hidden && !panel.contains(event.target) && !button.contains(event.target)) this.toggle(false);
    });
  }

  toggle(open = this.panel.hidden) {
    this.panel.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
    if (open) this.go(this.chosen, true);
  }

  // Shows the month of `date`, which gets the focus of the table; the figures come when they come.
  async go(date, focus = false) {
    this.at = date > this.today ? this.today : date;
    this.#draw(focus);
    const month = this.at.slice(0, 7);
    if (this.months.has(month)) return;
    this.months.set(month, new Map());
    const answer = await fetch(`/api/v1/rooms/${this.room}/month?month=${month}`).catch(() => null);
    if (!answer?.ok) return;
    const { days } = await answer.json();
    this.months.set(month, new Map(days.map((each) => [each.date, each])));
    if (this.at.startsWith(month)) this.#draw(this.table.contains(document.activeElement));
  }

  #draw(focus) {
    const month = this.at.slice(0, 7);
    const name = new Intl.DateTimeFormat(this.language, { month: "long", year: "numeric", timeZone: "UTC" });
    this.title.textContent = name.format(toMs(this.at));
    this.panel.querySelector("[data-next]").disabled = month >= this.today.slice(0, 7);
    const body = this.table.tBodies[0];
    body.replaceChildren(...weeks(this.at).map((week) => {
      const row = document.createElement("tr");
      row.append(...week.map((date) => this.#cell(date, this.months.get(month)?.get(date))));
      return row;
    }));
    if (focus) body.querySelector("[tabindex='0']")?.focus();
  }

  #cell(date, day) {
    const cell = document.createElement("td");
    if (!date) return cell;
    const future = date > this.today;
    const inner = document.createElement(future ? "span" : "a");
    if (!future) inner.href = this.address(date);
    inner.dataset.date = date;
    inner.className = `cal-day ${day ? day.state : ""}`;
    if (!future) inner.tabIndex = date === this.at ? 0 : -1;
    if (date === this.chosen) inner.setAttribute("aria-current", "date");
    const number = document.createElement("b");
    number.textContent = String(Number(date.slice(8)));
    inner.append(number);
    const name = new Intl.DateTimeFormat(this.language, { weekday: "long", day: "numeric", month: "long", timeZone: "UTC" });
    const words = day ? told(day, this.words) : [];
    if (day) this.#figures(inner, day);
    inner.title = words.join("\n");
    const spoken = [name.format(toMs(date)), ...words].join(", ");
    const hidden = document.createElement("span");
    hidden.className = "visually-hidden";
    hidden.textContent = spoken;
    for (const child of inner.children) child.setAttribute("aria-hidden", "true");
    inner.append(hidden);
    cell.append(inner);
    return cell;
  }

  #figures(inner, day) {
    if (day.planned_us && day.state === "open") {
      const bar = document.createElement("i");
      bar.className = "cal-bar";
      const part = document.createElement("i");
      part.style.width = `${Math.min(100, (100 * day.recorded_us) / day.planned_us)}%`;
      bar.append(part);
      inner.append(bar);
    }
    const signs = document.createElement("span");
    signs.className = "cal-signs";
    const add = (sign, kind) => {
      const element = document.createElement("span");
      element.className = kind;
      element.textContent = sign;
      signs.append(element);
    };
    if (day.state === "purged") add("✕", "purged");
    else if (day.gap_us >= WHOLE_BELOW_US) add("▲", "gap");
    if (day.holds) add("◆", "held");
    if (day.requests) add("■", "requested");
    inner.append(signs);
  }

  #key(event) {
    if (event.key === "Escape") {
      this.toggle(false);
      this.button.focus();
    }
    const date = event.target.dataset.date;
    if (!date) return;
    let wanted = KEYS[event.key] && addDays(date, KEYS[event.key]);
    if (event.key === "PageUp") wanted = addMonths(date, -1);
    if (event.key === "PageDown") wanted = addMonths(date, 1);
    if (event.key === "Home") wanted = addDays(date, -((new Date(toMs(date)).getUTCDay() + 6) % 7));
    if (event.key === "End") wanted = addDays(date, 6 - ((new Date(toMs(date)).getUTCDay() + 6) % 7));
    if (!wanted) return;
    event.preventDefault();
    this.go(wanted, true);
  }
}
