// The Fleets: who needs a person first, then what opens when, then each wave as a lane.
"use strict";

const SHARES = [
  ["completed", "completed", "good"], ["underWay", "under way", "move"], ["reverted", "reverted", "bad"],
  ["blocked", "blocked", "hold"], ["waiting", "waiting", "calm"],
];
const NAMED_AT_MOST = 5; // of those who need a person; the rest is in the table
const unfolded = new Set(); // what somebody opened of each Fleet, and how it stays when it is drawn anew
const drawn = new Map(); // by name: {text, panel}

const several = (count, one, many) => `${count} ${count === 1 ? one : many}`;

function sums(counts, but = []) {
  return SHARES.filter(([key]) => counts[key] && !but.includes(key)).map(([key, word]) => `${counts[key]} ${word}`);
}

// Completed, under way, reverted, blocked and waiting, each as wide as it is many.
function lane(counts) {
  const bar = make("span", "stack");
  const total = SHARES.reduce((sum, [key]) => sum + (counts[key] || 0), 0);
  for (const [key, , tone] of SHARES) {
    if (!counts[key]) continue;
    const part = make("i");
    part.dataset.part = tone;
    part.style.setProperty("--share", `${(100 * counts[key]) / total}%`);
    bar.append(part);
  }
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", sums(counts).join(", ") || "nobody");
  return bar;
}

function due(text, before, after = "") {
  const line = make("span");
  const counter = make("span", "left");
  counter.dataset.until = text;
  counter.textContent = left(text);
  line.append(before, clock(text, { weekday: true }), " (in ", counter, ")", after);
  return line;
}

function notice(tone, ...parts) {
  const made = make("p", "notice");
  made.dataset.tone = tone;
  made.append(...parts);
  return made;
}

// --- what everybody must know ---------------------------------------------------------------------

function windowLine(now) {
  if (!now) return [];
  const why = now.reason ? `: ${now.reason}` : "";
  if (now.closed) {
    const until = now.until ? due(now.until, " until ") : "";
    return [notice("hold", make("strong", "", "Closed"), until, `${why}. Nothing rises; a bad target is still left.`)];
  }
  if (!now.nextCloses) return [];
  return [notice("calm", due(now.nextCloses, "Closes ", now.nextReason ? `: ${now.nextReason}` : ""))];
}

function stopped(line) {
  if (!line || !line.stopped) return [];
  const since = line.since ? [" since ", clock(line.since, { weekday: true })] : [];
  const who = (line.services || []).join(", ");
  const why = `: ${several(line.reverts, "revert", "reverts")} within ${line.within}${who ? ` (${who})` : ""}.`;
  return [notice("bad", make("strong", "", "The line is stopped"), ...since, why, " Nothing rises until a person resumes it.")];
}

function opens(next) {
  if (!next || !next.wave) return [];
  const how = next.how === "byHand" ? "a person opens it" : "it opens by itself";
  const when = next.at ? due(next.at, ", ") : "";
  return [notice("calm", make("strong", "", `Opens next: ${next.wave}`), when, ` · ${next.message || how}`)];
}

function wrong(fleet) {
  const problems = fleet.problems || [];
  if (!problems.length) return [];
  const told = list(problems.map((one) => [make("strong", "", one.where), `: ${one.message}`]));
  const box = make("div", "notice");
  box.dataset.tone = "bad";
  box.append(make("strong", "", several(problems.length, "problem", "problems")), told);
  return [box];
}

function people(fleet) {
  const needed = fleet.needsPerson || [];
  if (!needed.length) return [];
  const told = list(needed.slice(0, NAMED_AT_MOST).map((one) => {
    const button = make("button", "name", one.service);
    button.type = "button";
    button.dataset.focus = `${fleet.name} who ${one.service}`;
    button.addEventListener("click", () => { location.hash = `#${encodeURIComponent(one.service)}`; });
    const message = make("span", "line", one.message);
    message.title = one.message || "";
    return [button, " ", make("strong", "", one.reason), " ", message];
  }));
  told.className = "people";
  const counts = fleet.counts || {};
  const all = Math.max((counts.reverted || 0) + (counts.blocked || 0), needed.length);
  const more = make("button", "more", all > NAMED_AT_MOST ? `all ${all} in the table` : "in the table");
  more.type = "button";
  more.dataset.focus = `${fleet.name} people`;
  more.addEventListener("click", () => choose({ person: true, wave: "" }));
  const head = make("h3", "", `${several(all, "Service needs", "Services need")} a person `);
  head.append(more);
  return [head, told];
}

// --- the lanes ------------------------------------------------------------------------------------

// What its bar does not say; an open wave's message has its counts.
function meanwhile(wave) {
  const also = wave.state === "Open" ? [] : sums(wave, ["completed", "waiting"]);
  if (wave.excluded) also.push(`${wave.excluded} excluded`);
  if (wave.together) also.push("together");
  const baking = wave.state === "Baking" && wave.opensAt;
  const told = baking ? [due(wave.opensAt, "Bakes until ")] : [wave.message || ""];
  if (!baking && wave.opensAt) told.push(" · ", due(wave.opensAt, "opens "));
  if (!baking && wave.completedAt) told.push(" · ", clock(wave.completedAt, { weekday: true }));
  return also.length ? [...told, ` · ${also.join(", ")}`] : told;
}

function waveRow(fleet, wave) {
  const key = `${fleet.name}/${wave.name}`;
  const item = make("li");
  const button = make("button", "lane");
  button.type = "button";
  button.dataset.wave = button.dataset.focus = key;
  button.setAttribute("aria-pressed", String(wanted.wave === key));
  button.addEventListener("click", () => choose({ wave: wanted.wave === key ? "" : key }));
  const name = make("span", "who", `${wave.number} ${wave.name}`);
  name.title = wave.name;
  const why = make("span", "why");
  why.append(...meanwhile(wave));
  why.title = why.textContent;
  button.append(name, tag(wave.state), lane(wave), make("span", "much", `${wave.completed || 0}/${wave.total || 0}`), why);
  item.append(button);
  return item;
}

function leftOut(fleet) {
  const alone = fleet.unplaced || {};
  const parts = [
    ["excluded", (fleet.counts || {}).excluded, fleet.excluded || []],
    ["unfit", (fleet.counts || {}).unfit, (fleet.unfit || []).map((one) => `${one.service}: ${one.reason}`)],
    ["in no wave", alone.count, alone.services || []],
  ].filter(([, count]) => count);
  if (!parts.length) return [];
  const box = folding(`${fleet.name} out`, false);
  box.className = "out";
  const summary = make("summary", "", `Not moved by it: ${parts.map(([word, count]) => `${count} ${word}`).join(", ")}`);
  summary.dataset.focus = `${fleet.name} out`;
  box.append(summary, ...parts.flatMap(([word, count, names]) => {
    const rest = count > names.length ? [[`and ${count - names.length} more`]] : [];
    return section(word, list([...names.map((name) => [name]), ...rest]));
  }));
  return [box];
}

// Something that opens and closes, and stays so when it is drawn anew.
function folding(key, open) {
  const box = make("details");
  box.open = unfolded.has(key) !== open;
  box.addEventListener("toggle", () => {
    if (box.open === open) unfolded.delete(key);
    else unfolded.add(key);
  });
  return box;
}

function panelOf(fleet) {
  const box = folding(fleet.name, true);
  box.className = "fleet";
  const counts = fleet.counts || {};
  const total = counts.total || 0;
  const head = make("summary");
  head.dataset.focus = fleet.name;
  const percent = total ? `, ${Math.floor((100 * (counts.completed || 0)) / total)} %` : "";
  head.append(
    make("h2", "", fleet.name), make("span", "from", fleet.origin ? `from ${fleet.origin}` : ""), tag(fleet.state || "–"), lane(counts),
    make("span", "much", `${counts.completed || 0} of ${total} moved${percent}`),
    make("span", "also", sums(counts, ["completed"]).join(", ")),
  );
  const lanes = make("ol", "lanes");
  lanes.append(...(fleet.waves || []).map((wave) => waveRow(fleet, wave)));
  box.append(
    head, ...people(fleet), ...stopped(fleet.line), ...windowLine(fleet.window), ...opens(fleet.opensNext),
    ...wrong(fleet), lanes, ...leftOut(fleet),
  );
  return box;
}

// Shows the Fleets; one that says what it said stays as it is, and so does whoever is on it.
function showFleets(fleets) {
  const focus = document.activeElement ? document.activeElement.dataset.focus : undefined;
  const names = new Set(fleets.map((fleet) => fleet.name));
  for (const name of drawn.keys()) if (!names.has(name)) drawn.delete(name);
  for (const fleet of fleets) {
    const text = JSON.stringify(fleet);
    if ((drawn.get(fleet.name) || {}).text !== text) {
      drawn.set(fleet.name, { text, panel: panelOf(fleet) });
    }
  }
  at("fleets").replaceChildren(...fleets.map((fleet) => drawn.get(fleet.name).panel));
  const again = focus && [...document.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focus);
  if (again) again.focus({ preventScroll: true });
}

function pressLanes() {
  for (const button of document.querySelectorAll("button.lane")) {
    button.setAttribute("aria-pressed", String(button.dataset.wave === wanted.wave));
  }
}

function tickFleets() {
  for (const one of document.querySelectorAll("#fleets [data-until]")) {
    const text = left(one.dataset.until);
    if (one.textContent !== text) one.textContent = text;
  }
}
