// What the page is made of: elements with texts, never with markup, and times with their zone.
"use strict";

const TONES = {
  Reverting: "bad", Reverted: "bad", Holding: "hold", Progressing: "move", Soaking: "move",
  Completed: "good", Pending: "calm", PASS: "good", FAIL: "bad", UNKNOWN: "hold",
  Open: "move", Baking: "move", Waits: "calm", Waiting: "calm", Closed: "hold", Paused: "hold",
  Stopped: "bad", RollingBack: "bad", Returning: "hold", Invalid: "bad",
};
const HERE = new Intl.DateTimeFormat("en-GB", {
  weekday: "short", year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23", timeZoneName: "short",
});
let ahead = 0; // milliseconds that the controller's clock is ahead of this one

const at = (id) => document.getElementById(id);

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function tag(text) {
  const made = make("span", "tag", text);
  made.dataset.tone = TONES[text] || "calm";
  return made;
}

// A time on this reader's clock, with its zone; what is none is shown as it was written.
function clock(text, { seconds = false, weekday = false } = {}) {
  const made = make("time", "", text || "");
  if (text) made.dateTime = made.title = text;
  const when = text ? Date.parse(text) : NaN;
  if (Number.isNaN(when)) return made;
  const part = Object.fromEntries(HERE.formatToParts(when).map((one) => [one.type, one.value]));
  const day = `${weekday ? `${part.weekday} ` : ""}${part.year}-${part.month}-${part.day}`;
  const second = seconds ? `:${part.second}` : "";
  made.textContent = `${day} ${part.hour}:${part.minute}${second} ${part.timeZoneName}`;
  return made;
}

function length(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function left(text) {
  const seconds = text ? Math.ceil((Date.parse(text) - Date.now() - ahead) / 1000) : NaN;
  if (Number.isNaN(seconds)) return "–";
  return seconds > 0 ? length(seconds) : "due";
}

function section(title, ...parts) {
  return parts.length ? [make("h3", "", title), ...parts] : [];
}

function list(items) {
  const made = make("ul");
  made.append(...items.map((parts) => {
    const item = make("li");
    item.append(...parts);
    return item;
  }));
  return made;
}
