// The board: rows come as server-sent events and go into the table as text, never as markup.
"use strict";

const PHASES = ["Reverting", "Holding", "Progressing", "Soaking", "Pending", "Reverted", "Completed"];
const TONES = {
  Reverting: "bad", Reverted: "bad", Holding: "hold", Progressing: "move", Soaking: "move",
  Completed: "good", Pending: "calm", PASS: "good", FAIL: "bad", UNKNOWN: "hold",
};
const rows = new Map(); // "namespace/name" -> {data, tr, cells}
const wanted = { namespace: "", phase: "", find: "" };
let ahead = 0; // milliseconds that the controller's clock is ahead of this one
let opened = ""; // the migration whose story is open
let toSay = [];

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

function clock(text, characters = 16) {
  const made = make("time", "", text ? text.replace("T", " ").slice(0, characters) : "");
  if (text) made.dateTime = text;
  return made;
}

// --- the rows -------------------------------------------------------------------------------------

function share(data, cluster) {
  const percent = data.shares[cluster];
  const measured = (data.measured || {})[cluster];
  const line = make("div", "share");
  const known = percent !== null;
  const text = known ? `${percent} %` : "?";
  const bar = make("div", "bar");
  const fill = make("i");
  fill.style.setProperty("--share", `${known ? percent : 0}%`);
  fill.style.setProperty("--least", known && percent > 0 ? "3px" : "0");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", `callers in ${cluster}: ${text}`);
  bar.append(fill);
  const much = make("span", "much", text);
  much.setAttribute("aria-hidden", "true");
  line.append(make("span", "who", cluster), bar, much);
  if (measured && measured.percent !== null) {
    const told = make("span", "measured", `measured ${measured.percent} % of ${measured.requests}`);
    told.dataset.strays = String(measured.strays);
    if (measured.strays) told.title = "Chance does not explain the difference from what the split says";
    line.append(told);
  }
  return line;
}

function fill(entry) {
  const data = entry.data;
  const [, target, shares, phase, verdict, why, , by] = entry.cells;
  target.replaceChildren(make("span", "", data.target || "–"));
  if (data.attempt > 1) target.append(make("span", "small", `attempt ${data.attempt}`));
  if (data.asks) target.append(make("span", "small", `${data.asks} is asked for`));
  shares.replaceChildren(...Object.keys(data.shares).map((cluster) => share(data, cluster)));
  phase.replaceChildren(tag(data.phase || "–"));
  if (data.warnings) phase.append(make("span", "small", `${data.warnings} warning${data.warnings > 1 ? "s" : ""}`));
  verdict.replaceChildren(data.verdict ? tag(data.verdict) : make("span", "", "–"));
  if (data.verdict && data.needed) verdict.append(make("span", "small", `${data.clean} of ${data.needed} clean`));
  const line = make("span", "line", data.message || data.waitingFor || data.next);
  if (line.textContent) line.title = line.textContent;
  why.replaceChildren(make("strong", "", data.reason), line);
  if (data.next) why.append(make("span", "small", `next: ${data.next}`));
  by.replaceChildren(make("span", "", data.by || "–"));
  const asked = clock(data.asked);
  asked.className = "small";
  by.append(asked);
  entry.tr.dataset.alert = String(Boolean(data.alert));
  entry.text = [data.namespace, data.name, data.target, data.phase, data.reason, data.message, data.by]
    .join(" ").toLowerCase();
  count(entry);
}

function count(entry) {
  const cell = entry.cells[6];
  const due = entry.data.due ? Date.parse(entry.data.due) : NaN;
  const left = Math.ceil((due - Date.now() - ahead) / 1000);
  let text = "–";
  if (!Number.isNaN(left)) text = left > 0 ? length(left) : "due";
  if (cell.textContent !== text) cell.textContent = text;
}

function length(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

function order(entry) {
  const place = PHASES.indexOf(entry.data.phase);
  return `${entry.data.alert ? 0 : 1}${place < 0 ? 9 : place}${entry.data.namespace}/${entry.data.name}`;
}

function put(data) {
  const key = `${data.namespace}/${data.name}`;
  let entry = rows.get(key);
  if (!entry) {
    const tr = make("tr");
    const cells = ["", "tell", "", "tell", "tell", "why", "in", "by"].map((name, number) => {
      const cell = make(number ? "td" : "th", name);
      if (!number) cell.scope = "row";
      // Said aloud, because a narrow page is laid out as blocks and would be no table any more.
      cell.setAttribute("role", number ? "cell" : "rowheader");
      return cell;
    });
    tr.setAttribute("role", "row");
    tr.append(...cells);
    const button = make("button", "name", data.name);
    button.type = "button";
    cells[0].append(button, make("span", "small", data.namespace));
    button.addEventListener("click", () => { location.hash = `#${encodeURIComponent(key)}`; });
    entry = { tr, cells, button, key, order: "" };
    rows.set(key, entry);
  } else if (entry.data.phase !== data.phase || entry.data.reason !== data.reason && data.alert) {
    toSay.push(`${key}: ${data.phase}, ${data.reason}`);
  }
  entry.data = data;
  fill(entry);
  const place = order(entry);
  if (place !== entry.order) {
    entry.order = place;
    return true;
  }
  return false;
}

function arrange() {
  const focused = document.activeElement;
  const sorted = [...rows.values()].sort((a, b) => (a.order < b.order ? -1 : 1));
  at("rows").replaceChildren(...sorted.map((entry) => entry.tr));
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}

// --- the filters ----------------------------------------------------------------------------------

function isShown(entry, butPhase) {
  const data = entry.data;
  return (!wanted.namespace || data.namespace === wanted.namespace)
    && (butPhase || !wanted.phase || data.phase === wanted.phase)
    && (!wanted.find || entry.text.includes(wanted.find));
}

function sift() {
  const counts = new Map(PHASES.map((phase) => [phase, 0]));
  let shown = 0;
  for (const entry of rows.values()) {
    if (isShown(entry, true)) counts.set(entry.data.phase, (counts.get(entry.data.phase) || 0) + 1);
    const hidden = !isShown(entry, false);
    if (entry.tr.hidden !== hidden) entry.tr.hidden = hidden;
    if (!hidden) shown += 1;
  }
  at("total").textContent = shown === rows.size ? `${rows.size}` : `${shown} of ${rows.size}`;
  at("empty").hidden = shown > 0;
  for (const button of at("phases").children) {
    button.querySelector("b").textContent = String(counts.get(button.dataset.phase) || 0);
  }
}

function listNamespaces() {
  const select = at("namespace");
  const names = [...new Set([...rows.values()].map((entry) => entry.data.namespace))].sort();
  const known = [...select.options].slice(1).map((option) => option.value);
  if (names.join("\n") === known.join("\n")) return;
  while (select.options.length > 1) select.remove(1);
  for (const name of names) select.add(new Option(name, name));
  select.value = names.includes(wanted.namespace) ? wanted.namespace : "";
  wanted.namespace = select.value;
}

// --- one migration's story ------------------------------------------------------------------------

function table(heads, lines) {
  const made = make("table");
  const head = make("tr");
  head.append(...heads.map((text) => { const th = make("th", "", text); th.scope = "col"; return th; }));
  const thead = make("thead");
  thead.append(head);
  const body = make("tbody");
  for (const cells of lines) {
    const tr = make("tr");
    tr.append(...cells.map((cell) => {
      const td = make("td");
      td.append(cell instanceof Node ? cell : String(cell));
      return td;
    }));
    body.append(tr);
  }
  made.append(thead, body);
  return made;
}

function section(title, ...parts) {
  return parts.length ? [make("h3", "", title), ...parts] : [];
}

function wayRow(way) {
  const bad = way.badPercent3s === undefined ? "–" : `${way.badPercent3s} %`;
  return [
    `${way.callers} → ${way.side}`, tag(way.verdict), way.reason, `${way.clean} of ${way.needed}`,
    `${way.points} of ${way.threshold}`, bad, way.usualAnswer || "–",
  ];
}

function tell(told) {
  const top = make("p");
  top.append(tag(told.phase), ` ${told.reason} `, make("span", "small", told.message || told.waitingFor));
  const shares = make("div");
  shares.append(...Object.keys(told.shares).map((cluster) => share(told, cluster)));
  const asked = make("p", "small", `${told.asks ? `${told.asks} is asked for` : "asked"} by ${told.by || "somebody"} `);
  asked.append(clock(told.asked));
  const next = told.next ? [make("p", "", `Next: ${told.next}`)] : [];
  const warned = make("ul");
  warned.append(...told.warned.map((one) => {
    const item = make("li");
    item.append(make("strong", "", one.reason), `: ${one.message}`);
    return item;
  }));
  at("story-title").textContent = `${told.namespace}/${told.name} to ${told.target || "nowhere"}`;
  at("story-body").replaceChildren(
    top, shares, ...next, asked,
    ...section("Warnings", ...(told.warned.length ? [warned] : [])),
    ...section("Ways", ...(told.ways.length ? [table(
      ["Callers → side", "Verdict", "Why", "Clean probes", "Points", "Bad, 3 s", "Usual answer"],
      told.ways.map(wayRow))] : [])),
    ...section("What happened", table(
      ["When", "Phase", `Share ${told.clusters.join("/")}`, "Why"],
      [...told.history].reverse().map((one) => [clock(one.at, 19), tag(one.phase), one.share, one.message || one.reason]))),
  );
}

async function refresh() {
  const asked = opened;
  if (!asked) return;
  const path = asked.split("/").map(encodeURIComponent).join("/");
  try {
    const answer = await fetch(`migrations/${path}`);
    if (asked !== opened) return;
    if (answer.ok) tell(await answer.json());
    else at("story-body").replaceChildren(make("p", "", await answer.text()));
  } catch {
    // The events say that the controller is not reached; the story stays as it was.
  }
}

function follow() {
  let key = "";
  try { key = decodeURIComponent(location.hash.slice(1)); } catch { key = ""; }
  opened = key.includes("/") ? key : "";
  const dialog = at("story");
  if (opened) {
    at("story-title").textContent = opened;
    at("story-body").replaceChildren();
    if (!dialog.open) dialog.showModal();
    refresh();
  } else if (dialog.open) dialog.close();
}

// --- what comes in --------------------------------------------------------------------------------

function take(event, all) {
  const told = JSON.parse(event.data);
  ahead = Date.parse(told.now) - Date.now();
  let moved = false;
  if (all) {
    const names = new Set(told.rows.map((data) => `${data.namespace}/${data.name}`));
    for (const key of rows.keys()) if (!names.has(key)) { rows.delete(key); moved = true; }
  }
  for (const data of told.rows) moved = put(data) || moved;
  for (const [namespace, name] of told.gone) moved = rows.delete(`${namespace}/${name}`) || moved;
  if (moved) arrange();
  listNamespaces();
  sift();
  at("standby").hidden = told.leads;
  if (opened && told.rows.some((data) => `${data.namespace}/${data.name}` === opened)) refresh();
  state("live", "live");
}

function state(name, text) {
  const link = at("link");
  if (link.dataset.state === name) return;
  link.dataset.state = name;
  link.textContent = text;
}

function listen() {
  const events = new EventSource("events");
  events.addEventListener("all", (event) => take(event, true));
  events.addEventListener("some", (event) => take(event, false));
  events.addEventListener("error", () => {
    state("lost", "not connected: what is shown may be old");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000 + Math.random() * 4000);
  });
}

function say() {
  if (!toSay.length) return;
  at("said").textContent = toSay.length > 3 ? `${toSay.length} migrations changed` : toSay.join(". ");
  toSay = [];
}

function move(event) {
  if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    at("find").focus();
    return;
  }
  if (!event.target.classList || !event.target.classList.contains("name")) return;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const buttons = [...document.querySelectorAll("#rows tr:not([hidden]) button.name")];
  const next = buttons[buttons.indexOf(event.target) + step];
  if (next) next.focus();
}

function begin() {
  for (const phase of PHASES) {
    const button = make("button", "", phase);
    button.type = "button";
    button.dataset.phase = phase;
    button.dataset.tone = TONES[phase];
    button.setAttribute("aria-pressed", "false");
    button.append(make("b", "", "0"));
    button.addEventListener("click", () => {
      wanted.phase = wanted.phase === phase ? "" : phase;
      for (const other of at("phases").children) {
        other.setAttribute("aria-pressed", String(other.dataset.phase === wanted.phase));
      }
      sift();
    });
    at("phases").append(button);
  }
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("namespace").addEventListener("change", (event) => { wanted.namespace = event.target.value; sift(); });
  at("find").addEventListener("input", (event) => { wanted.find = event.target.value.toLowerCase(); sift(); });
  at("story").addEventListener("close", () => {
    const entry = rows.get(opened);
    opened = "";
    if (location.hash) history.replaceState(null, "", location.pathname);
    if (entry) entry.button.focus();
  });
  addEventListener("hashchange", follow);
  document.addEventListener("keydown", move);
  setInterval(() => { for (const entry of rows.values()) if (!entry.tr.hidden) count(entry); }, 1000);
  setInterval(say, 2000);
  follow();
  listen();
}

begin();
