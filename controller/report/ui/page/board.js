// The board: rows come as server-sent events and go into the table as text, never as markup.
"use strict";

const PHASES = ["Reverting", "Holding", "Progressing", "Soaking", "Pending", "Reverted", "Completed"];
const rows = new Map(); // "namespace/name" -> {data, tr, cells}
const wanted = { namespace: "", wave: "", phase: "", person: false, find: "", sort: "" };
let words = []; // of what is to be found, all of them
let opened = ""; // the migration whose story is open
let arranged = ""; // what the rows are sorted by now
let toSay = [];
let heard = false; // whether the controller has said anything yet

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
  if (data.verdict && data.needed) verdict.append(make("span", "small", `${data.clean}/${data.needed} clean`));
  const line = make("span", "line", data.message || data.waitingFor);
  line.title = line.textContent;
  why.replaceChildren(line);
  line.prepend(make("strong", "", data.reason), " ");
  if (data.next) why.append(make("span", "small", `next: ${data.next}`));
  by.replaceChildren(make("span", "", data.by || "–"));
  const asked = clock(data.asked);
  asked.className = "small";
  by.append(asked);
  entry.tr.dataset.alert = String(Boolean(data.alert));
  entry.place.textContent = data.wave ? `${data.namespace} · ${data.wave}` : data.namespace;
  entry.wave = data.wave ? `${data.fleet}/${data.wave}` : NO_WAVE;
  entry.text = [
    data.namespace, data.name, data.target, data.phase, data.verdict, data.reason, data.message, data.by, entry.wave,
  ].join(" ").toLowerCase();
  count(entry);
}

function count(entry) {
  const text = left(entry.data.due);
  if (entry.cells[6].textContent !== text) entry.cells[6].textContent = text;
}

// --- their order ----------------------------------------------------------------------------------

// What the rows can be sorted by; undefined is last, whichever way.
const SORTS = {
  service: (data) => `${data.name} ${data.namespace}`,
  target: (data) => data.target || undefined,
  share: (data) => lowest(data.shares),
  phase: (data) => place(data),
  verdict: (data) => data.verdict || undefined,
  why: (data) => data.reason || undefined,
  in: (data) => data.due || undefined,
  asked: (data) => data.asked || undefined,
};

function lowest(shares) {
  const known = Object.values(shares).filter((percent) => percent !== null);
  return known.length ? Math.min(...known) : undefined;
}

function place(data) {
  const found = PHASES.indexOf(data.phase);
  return found < 0 ? PHASES.length : found;
}

// Without another wish: who asks for a person now, then who waits for one, then by phase.
function needed(data) {
  const rank = data.alert ? 0 : data.person || data.phase === "Reverting" ? 1 : 2;
  return `${rank}${place(data)}${data.namespace}/${data.name}`;
}

const before = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

function byWish(one, other) {
  if (!wanted.sort) return before(one.needed, other.needed);
  const last = (one.rank === undefined) - (other.rank === undefined);
  const turn = wanted.sort.startsWith("-") ? -1 : 1;
  return last || turn * before(one.rank, other.rank) || before(one.needed, other.needed);
}

function rankOf(entry) {
  const rank = wanted.sort ? SORTS[wanted.sort.replace("-", "")](entry.data) : undefined;
  const first = needed(entry.data);
  const moved = rank !== entry.rank || first !== entry.needed;
  entry.rank = rank;
  entry.needed = first;
  return moved;
}

// Whether a click in a row is meant for its story, and not for a text that was just marked, or for a link.
function means(event) {
  const own = event.target.closest("a, button, input, select");
  return own ? own.classList.contains("name") : getSelection().isCollapsed;
}

function put(data) {
  const key = `${data.namespace}/${data.name}`;
  let entry = rows.get(key);
  if (!entry) {
    const tr = make("tr");
    const cells = ["service", "target tell", "shares", "phase tell", "verdict tell", "why", "in", "by"].map((name, number) => {
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
    const place = make("span", "small");
    cells[0].append(button, place);
    tr.addEventListener("click", (event) => { if (means(event)) location.hash = `#${encodeURIComponent(key)}`; });
    entry = { tr, cells, button, place, key };
    rows.set(key, entry);
  } else if (entry.data.phase !== data.phase || entry.data.reason !== data.reason && data.alert) {
    toSay.push(`${key}: ${data.phase}, ${data.reason}`);
  }
  entry.data = data;
  fill(entry);
  return rankOf(entry);
}

function arrange() {
  const focused = document.activeElement;
  const sorted = [...rows.values()].sort(byWish);
  arranged = wanted.sort;
  at("rows").replaceChildren(...sorted.map((entry) => entry.tr));
  if (focused !== document.activeElement) focused.focus({ preventScroll: true });
}

// --- what is wished to be seen, and the address that says so ---------------------------------------

const NO_WAVE = "none";

function isShown(entry, but) {
  const data = entry.data;
  return (!wanted.namespace || data.namespace === wanted.namespace)
    && (!wanted.wave || entry.wave === wanted.wave)
    && (but === "phase" || !wanted.phase || data.phase === wanted.phase)
    && (but === "person" || !wanted.person || data.person)
    && words.every((word) => entry.text.includes(word));
}

function sift() {
  const counts = new Map(PHASES.map((phase) => [phase, 0]));
  let shown = 0;
  let people = 0;
  for (const entry of rows.values()) {
    if (isShown(entry, "phase")) counts.set(entry.data.phase, (counts.get(entry.data.phase) || 0) + 1);
    if (entry.data.person && isShown(entry, "person")) people += 1;
    const hidden = !isShown(entry);
    if (entry.tr.hidden !== hidden) entry.tr.hidden = hidden;
    if (!hidden) shown += 1;
  }
  at("total").textContent = shown === rows.size ? `${rows.size}` : `${shown} of ${rows.size}`;
  at("empty").hidden = shown > 0 || !rows.size;
  at("nobody").hidden = !heard || rows.size > 0;
  at("table").hidden = heard && !rows.size;
  at("person").querySelector("b").textContent = String(people);
  for (const button of at("phases").children) {
    button.querySelector("b").textContent = String(counts.get(button.dataset.phase) || 0);
  }
}

// Offers these values, and the wished one even where nobody has it, so that an address stays true.
function offer(select, values, wish) {
  const names = [...new Set(wish ? [...values, wish] : values)].sort();
  const known = [...select.options].slice(1).map((option) => option.value);
  if (names.join("\n") !== known.join("\n")) {
    while (select.options.length > 1) select.remove(1);
    for (const name of names) select.add(new Option(name, name));
  }
  select.value = wish;
}

function offerAll() {
  const entries = [...rows.values()];
  offer(at("namespace"), entries.map((entry) => entry.data.namespace), wanted.namespace);
  offer(at("wave"), entries.map((entry) => entry.wave), wanted.wave);
  at("waves").hidden = !wanted.wave && entries.every((entry) => entry.wave === NO_WAVE);
}

function choose(wish) {
  Object.assign(wanted, wish);
  words = wanted.find.toLowerCase().split(/\s+/).filter(Boolean);
  const told = new URLSearchParams();
  for (const [key, value] of Object.entries(wanted)) if (value) told.set(key, value === true ? "yes" : value);
  const search = String(told);
  history.replaceState(null, "", `${location.pathname}${search && `?${search}`}${location.hash}`);
  show();
}

function show() {
  offerAll();
  at("sort").value = wanted.sort;
  if (at("find").value !== wanted.find) at("find").value = wanted.find;
  at("person").setAttribute("aria-pressed", String(wanted.person));
  for (const button of at("phases").children) {
    button.setAttribute("aria-pressed", String(button.dataset.phase === wanted.phase));
  }
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    const down = wanted.sort === `-${head.dataset.sort}`;
    const up = wanted.sort === head.dataset.sort;
    head.setAttribute("aria-sort", up ? "ascending" : down ? "descending" : "none");
  }
  pressLanes();
  let moved = false;
  for (const entry of rows.values()) moved = rankOf(entry) || moved;
  if (moved || wanted.sort !== arranged) arrange();
  sift();
}

function readAddress() {
  const told = new URLSearchParams(location.search);
  for (const key of ["namespace", "wave", "phase", "find", "sort"]) wanted[key] = told.get(key) || "";
  wanted.person = told.get("person") === "yes";
  if (!Object.hasOwn(SORTS, wanted.sort.replace("-", ""))) wanted.sort = "";
  if (!PHASES.includes(wanted.phase)) wanted.phase = "";
  choose({});
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
  asked.append(clock(told.asked), told.wish.startsWith("fleet/") ? `; what it does not say itself is of ${told.wish}` : "");
  const next = told.next ? [make("p", "", `Next: ${told.next}`)] : [];
  const warned = list(told.warned.map((one) => [make("strong", "", one.reason), `: ${one.message}`]));
  at("story-title").textContent = `${told.namespace}/${told.name} to ${told.target || "nowhere"}`;
  at("story-body").replaceChildren(
    top, shares, ...next, asked,
    ...section("Warnings", ...(told.warned.length ? [warned] : [])),
    ...section("Ways", ...(told.ways.length ? [table(
      ["Callers → side", "Verdict", "Why", "Clean probes", "Points", "Bad, 3 s", "Usual answer"],
      told.ways.map(wayRow))] : [])),
    ...section("What happened", table(
      ["When", "Phase", `Share ${told.clusters.join("/")}`, "Why"],
      [...told.history].reverse().map((one) => [clock(one.at, { seconds: true }), tag(one.phase), one.share, one.message || one.reason]))),
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
  heard = true;
  let moved = false;
  if (all) {
    const names = new Set(told.rows.map((data) => `${data.namespace}/${data.name}`));
    for (const key of rows.keys()) if (!names.has(key)) { rows.delete(key); moved = true; }
  }
  for (const data of told.rows) moved = put(data) || moved;
  for (const [namespace, name] of told.gone) moved = rows.delete(`${namespace}/${name}`) || moved;
  if (told.fleets) showFleets(told.fleets);
  if (moved) arrange();
  offerAll();
  sift();
  showLeader(told);
  if (told.target) at("target").textContent = told.target;
  ends = told.ends;
  showEnds();
  if (opened && told.rows.some((data) => `${data.namespace}/${data.name}` === opened)) refresh();
  state("live", "live");
}

function showLeader(told) {
  at("standby").hidden = told.leads;
  if (told.leads) return;
  if (!told.leader) at("leader").textContent = "Nobody is known to lead.";
  else at("leader").replaceChildren(`The leader is ${told.leader}: `, make("code", "", told.reach));
}

const DAY_MS = 86400000;
let ends = {}; // by cluster: when the credentials for it end

// The day before, and from then on: an end that is far off is nobody's business yet.
function showEnds() {
  const now = Date.now() + ahead;
  const near = Object.entries(ends).filter(([, when]) => Date.parse(when) - now < DAY_MS);
  const text = near.map(([cluster, when]) => `${cluster} ${when} ${left(when)}`).join();
  if (at("ends").dataset.text === text) return;
  at("ends").dataset.text = text;
  at("ends").replaceChildren(...near.map(([cluster, when]) => {
    const over = Date.parse(when) <= now;
    const what = over ? [" have ended at ", clock(when), ": "] : due(when, " end at ", ": ");
    return notice(over ? "bad" : "hold", make("strong", "", `The credentials for ${cluster}`), ...[what].flat(),
      "renew them, else nothing rises, and nobody there can be rolled back.");
  }));
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

function beginWishes() {
  for (const phase of PHASES) {
    const button = make("button", "", phase);
    button.type = "button";
    button.dataset.phase = phase;
    button.dataset.tone = TONES[phase];
    button.append(make("b", "", "0"));
    button.addEventListener("click", () => choose({ phase: wanted.phase === phase ? "" : phase }));
    at("phases").append(button);
  }
  at("person").addEventListener("click", () => choose({ person: !wanted.person }));
  at("all").addEventListener("click", () => choose({ namespace: "", wave: "", phase: "", person: false, find: "" }));
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  for (const key of ["namespace", "wave", "sort"]) {
    at(key).addEventListener("change", (event) => choose({ [key]: event.target.value }));
  }
  at("find").addEventListener("input", (event) => choose({ find: event.target.value }));
  for (const head of document.querySelectorAll("#table th[data-sort]")) {
    const key = head.dataset.sort;
    const next = { [key]: `-${key}`, [`-${key}`]: "" };
    head.firstElementChild.addEventListener("click", () => choose({ sort: next[wanted.sort] ?? key }));
    for (const way of [key, `-${key}`]) at("sort").add(new Option(`${head.textContent}${way === key ? "" : ", down"}`, way));
  }
}

// The table's heads stay below the page's, however many lines that has.
function keepHeads() {
  const head = document.querySelector("header");
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--head", `${head.offsetHeight}px`);
  }).observe(head);
}

function begin() {
  beginWishes();
  keepHeads();
  at("story").addEventListener("close", () => {
    const entry = rows.get(opened);
    opened = "";
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    if (entry) entry.button.focus();
  });
  addEventListener("hashchange", follow);
  addEventListener("popstate", readAddress);
  document.addEventListener("keydown", move);
  setInterval(() => {
    for (const entry of rows.values()) if (!entry.tr.hidden) count(entry);
    tickFleets();
    showEnds();
  }, 1000);
  setInterval(say, 2000);
  readAddress();
  follow();
  listen();
}

begin();
