// The status page: listens to GET v1/events, and shows each event as it comes.
//
//   events --fetch, with the token--> parse --> show: notices, tiles, tables     (rates: this event less one of seconds ago)
//      `--401--> asks for the token
//   a change of weight --dialog--> PATCH v1/target-groups/{group}/targets --> what the API said
//
// Events are read by fetch, as EventSource cannot send a token. Rows are kept and only what changed is written, so focus and
// selection stay. Texts are set as text: no name of a listener can become markup.

const TOKEN_KEY = "weir-token";
/** An event comes each second. Without one for so long the page says so, and then asks anew. */
const STALE_MS = 4_000;
const DEAD_MS = 12_000;
/** How long to wait before asking again, at first and at most. */
const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;
/** A tab that nobody sees gives up its place among the subscribers after so long. */
const UNSEEN_MS = 30_000;
/** Rates are over so many seconds, and curves show so many events. */
const RATE_SECONDS = 4;
const CURVE_EVENTS = 60;
const NOTICES_MAX = 8;
/** With more groups than these, or on a phone, only those that need a look are open at first. */
const OPEN_GROUPS_MAX = 6;
const WEIGHT_DEFAULT = 10;

const byId = (id) => document.getElementById(id);

// ---- Texts -------------------------------------------------------------------------------------------------------------

const NONE = "–";

function count(number) {
  if (number == null) return NONE;
  return Math.round(number).toLocaleString("en");
}

/** Something a second. */
function rate(number) {
  if (number == null) return NONE;
  if (number === 0) return "0";
  return number < 9.95 ? number.toFixed(1) : count(number);
}

function bytes(number) {
  if (number == null) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (number >= 1000 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  return `${unit > 0 && number < 9.95 ? number.toFixed(1) : Math.round(number)} ${units[unit]}/s`;
}

function micros(us) {
  if (us == null) return NONE;
  if (us < 1_000) return `${us} µs`;
  if (us < 1_000_000) return `${digits(us / 1_000)} ms`;
  return us < 100_000_000 ? `${digits(us / 1_000_000)} s` : ago(us / 1_000_000);
}

const digits = (number) => (number < 9.95 ? number.toFixed(1) : Math.round(number).toString());

function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

const ageText = (seconds) => (seconds < 1.5 ? "now" : `${ago(seconds)} ago`);
const age = (event, time) => Math.max(0, (event.now - Date.parse(time)) / 1_000);
const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
const place = (target) => (target.address.includes(":") ? `[${target.address}]:${target.port}` : `${target.address}:${target.port}`);
const sum = (list, read) => list.reduce((total, item) => total + read(item), 0);
const values = (map) => sum(Object.values(map), (number) => number);
const words = (name) => name.replaceAll("_", " ");

// ---- Elements ----------------------------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setText(node, text) {
  if (node.firstChild?.nodeType === Node.TEXT_NODE && node.childNodes.length === 1) {
    if (node.firstChild.data !== text) node.firstChild.data = text;
  } else if (node.childNodes.length > 0 || text !== "") {
    node.replaceChildren(text);
  }
}

function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** Makes the children of `parent` those of `items`, in order; a child stays with its key. */
function keyed(parent, items, keyOf, make, update) {
  const known = (parent.known ??= new Map());
  const kept = new Set();
  let next = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (kept.has(key)) continue;
    kept.add(key);
    let node = known.get(key);
    if (!node) {
      node = make(item);
      known.set(key, node);
    }
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
    update(node, item);
  }
  for (const [key, node] of known) {
    if (kept.has(key)) continue;
    node.remove();
    known.delete(key);
  }
}

/** A table of columns {label, text(item)} or {label, fill(cell, item)}; the first column heads its row. `wide` has a line of its own on a phone. */
class Table {
  constructor(holder, label, empty, columns, keyOf) {
    this.columns = columns;
    this.keyOf = keyOf;
    this.empty = element("p", { class: "empty" }, empty);
    // Roles are named, as a phone's layout takes those of the elements away.
    const heads = columns.map(({ label, number, about }) => element("th", {
      scope: "col", role: "columnheader", class: number ? "number" : "", ...(about && { title: about }),
    }, label));
    this.body = element("tbody", { role: "rowgroup" });
    const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...heads));
    this.table = element("table", { role: "table", "aria-label": label }, head, this.body);
    holder.append(this.empty, this.table);
  }

  show(items) {
    this.empty.hidden = items.length > 0;
    this.table.hidden = items.length === 0;
    keyed(this.body, items, this.keyOf, () => this.row(), (row, item) => this.fill(row, item));
  }

  row() {
    const cells = this.columns.map((column, index) => {
      const attributes = { class: [column.number && "number", column.wide && "wide"].filter(Boolean).join(" ") };
      if (index === 0) return element("th", { scope: "row", role: "rowheader", ...attributes });
      return element("td", { role: "cell", "data-label": column.label, ...attributes });
    });
    return element("tr", { role: "row" }, ...cells);
  }

  fill(row, item) {
    this.columns.forEach((column, index) => {
      const cell = row.children[index];
      if (column.fill) {
        column.fill(cell, item);
        return;
      }
      const text = column.text(item);
      setText(cell, text);
      cell.classList.toggle("none", text === NONE || text === "");
    });
  }
}

/** A text, and a smaller one below it. */
function textAndNote(cell, text, note) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", { class: "note" }));
  setText(cell.children[0], text);
  setText(cell.children[1], note);
}

// ---- Rates -------------------------------------------------------------------------------------------------------------

/** Events of the last seconds, the oldest first. */
let recent = [];
/** What the tiles draw: lists of numbers by name. */
let curves = new Map();

/** Keeps the event for later, and links each thing in it to the same thing of some seconds ago. */
function remember(event) {
  const latest = recent.at(-1);
  const restarted = latest && (latest.balancer.started_at !== event.balancer.started_at
    || latest.elapsed_seconds >= event.elapsed_seconds);
  if (restarted) {
    recent = [];
    curves = new Map();
  }
  while (recent.length > 1 && event.elapsed_seconds - recent[1].elapsed_seconds >= RATE_SECONDS) recent.shift();
  const before = recent[0];
  recent.push(event);
  event.seconds = before ? event.elapsed_seconds - before.elapsed_seconds : null;
  const link = (now, then, keyOf) => {
    const known = new Map(then.map((item) => [keyOf(item), item]));
    for (const item of now) item.before = known.get(keyOf(item));
  };
  link(event.listeners, before?.listeners ?? [], (listener) => listener.name);
  link(event.shards, before?.shards ?? [], (shard) => shard.shard);
  link(event.target_groups, before?.target_groups ?? [], (group) => group.name);
  for (const group of event.target_groups) link(group.targets, group.before?.targets ?? [], place);
  // What is linked to links no further: else every event since the start would stay.
  for (const old of [...(before?.listeners ?? []), ...(before?.shards ?? []), ...(before?.target_groups ?? [])]) {
    old.before = undefined;
    for (const target of Array.isArray(old.targets) ? old.targets : []) target.before = undefined;
  }
}

/** A counter's rate; null where it is not known: the first event, or a counter that began anew. */
function rateOf(event, item, read) {
  if (!item.before || !event.seconds) return null;
  const [now, then] = [read(item), read(item.before)];
  return now == null || then == null || now < then ? null : (now - then) / event.seconds;
}

/** Of all of them; null while none is known. */
function totalRate(event, items, read) {
  const rates = items.map((item) => rateOf(event, item, read)).filter((number) => number != null);
  return rates.length > 0 || items.length === 0 ? sum(rates, (number) => number) : null;
}

const isHttp = (listener) => listener.http != null;
const requests = (listener) => listener.http?.requests;
/** Connections that were refused or failed; requests that failed in the balancer or were answered with 5xx. */
const failures = (listener) => values(causes(listener));

// ---- Tiles -------------------------------------------------------------------------------------------------------------

const TILES = [
  { label: "Connections", read: (event) => sum(event.listeners, (listener) => listener.active), text: count,
    beside: (event) => `of ${count(sum(event.shards, (shard) => shard.report?.connections_max ?? 0))} at most` },
  { label: "New connections", read: (event) => totalRate(event, event.listeners, (listener) => listener.accepted), text: rate, beside: () => "a second" },
  { label: "Requests", read: (event) => totalRate(event, event.listeners.filter(isHttp), requests), text: rate, beside: () => "a second" },
  { label: "Failures", read: (event) => totalRate(event, event.listeners, failures), text: rate, beside: () => "a second", bad: (number) => number > 0 },
  { label: "From clients", read: (event) => totalRate(event, event.listeners, (listener) => listener.client_bytes), text: bytes, beside: () => "" },
  { label: "From targets", read: (event) => totalRate(event, event.listeners, (listener) => listener.target_bytes), text: bytes, beside: () => "" },
];

const SVG = "http://www.w3.org/2000/svg";

function makeTile(tile) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "polygon"), document.createElementNS(SVG, "polyline"));
  const figure = element("dd", { class: "figure" });
  return element("div", { class: "tile" }, element("dt", {}, tile.label), figure, element("dd", { class: "beside" }), svg);
}

function showTiles(event) {
  keyed(byId("tiles"), TILES, (tile) => tile.label, makeTile, (node, tile) => {
    const number = tile.read(event);
    const curve = curves.get(tile.label) ?? [];
    curves.set(tile.label, curve);
    if (number != null) curve.push(number);
    if (curve.length > CURVE_EVENTS) curve.shift();
    setText(node.children[1], tile.text(number));
    setText(node.children[2], number == null ? "" : tile.beside(event));
    setClass(node, tile.bad?.(number) ? "tile bad" : "tile");
    draw(node.children[3], curve);
  });
}

/** The latest at the right. The scale is from 0, and what is small beside what was is drawn as such. */
function draw(svg, curve) {
  const top = Math.max(...curve, 1);
  const points = curve.map((number, index) => {
    const x = 100 - ((curve.length - 1 - index) * 100) / (CURVE_EVENTS - 1);
    return `${x.toFixed(2)},${(19 - (18 * number) / top).toFixed(2)}`;
  });
  if (points.length < 2) points.length = 0;
  const [area, line] = svg.children;
  line.setAttribute("points", points.join(" "));
  area.setAttribute("points", points.length > 0 ? `${points[0].split(",")[0]},20 ${points.join(" ")} 100,20` : "");
}

// ---- What needs a look -------------------------------------------------------------------------------------------------

function showAttention(event) {
  const notices = event.balancer.not_ready_reasons.map((text) => ({ kind: "bad", text }));
  for (const listener of event.listeners) {
    const targets = event.target_groups.filter((group) => listener.target_groups.includes(group.name)).some((group) => total(group) > 0);
    if (!listener.bound && targets && event.balancer.phase === "serving") {
      notices.push({ kind: "bad", text: `Listener ${listener.name} does not listen on ${place(listener)}` });
    }
  }
  for (const group of event.target_groups) notices.push(...noticesOf(event, group));
  const shown = notices.slice(0, NOTICES_MAX);
  if (notices.length > shown.length) shown.push({ kind: "warning", text: `and ${notices.length - shown.length} more` });
  keyed(byId("attention"), shown, (notice) => `${notice.kind} ${notice.group ?? ""} ${notice.key ?? notice.text}`, makeNotice, (node, notice) => setText(node.lastChild, notice.text));
  const targets = sum(event.target_groups, total);
  byId("all-well").hidden = notices.length > 0;
  setText(byId("all-well"), targets === 0 ? "Serving. There is no target yet."
    : `All is well: ${plural(event.listeners.length, "listener")}, ${plural(event.target_groups.length, "group")}, ${plural(targets, "target")}.`);
}

const total = (group) => values(group.states);

function noticesOf(event, group) {
  const notices = [];
  if (group.failing_open) {
    notices.push({ kind: "bad", group: group.name, text: "no target is healthy, so traffic goes to all of them" });
  } else if (total(group) > 0 && group.listeners.length > 0 && !group.states.healthy && !group.states.initial && !group.states.unknown) {
    notices.push({ kind: "bad", group: group.name, text: "no target is healthy, so nothing is forwarded" });
  }
  for (const target of group.targets.filter((target) => target.state === "unhealthy")) {
    const why = target.check?.hint ?? reason(target);
    notices.push({ kind: "warning", group: group.name, key: place(target), text: `${place(target)} is unhealthy for ${ago(age(event, target.since))}: ${why}` });
  }
  return notices;
}

function makeNotice(notice) {
  const item = element("li", { class: `notice ${notice.kind}` });
  if (notice.group != null) {
    const link = element("a", { href: `#${groupId(notice.group)}` }, notice.group);
    link.addEventListener("click", () => { byId(groupId(notice.group)).open = true; });
    item.append(link, " ");
  }
  item.append(element("span"));
  return item;
}

const groupId = (name) => `group-${name}`;
/** `Target.Timeout` as words. */
const reason = (target) => (target.reason ?? "").replace(/^[A-Za-z]+\./, "").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();

// ---- Tables ------------------------------------------------------------------------------------------------------------

/** The event that is shown, for what the tables' columns compute. */
let shown = null;

const listenerTable = new Table(byId("listeners"), "Listeners", "No listener is configured.", [
  { label: "Listener", fill: (cell, listener) => textAndNote(cell, listener.name, listener.bound ? "" : "not bound") },
  { label: "Address", wide: true, text: (listener) => `${listener.protocol} ${place(listener)}` },
  { label: "Sends to", text: (listener) => listener.target_groups.join(", ") || NONE },
  { label: "Connections", number: true, text: (listener) => count(listener.active) },
  { label: "New/s", number: true, text: (listener) => rate(rateOf(shown, listener, (item) => item.accepted)) },
  { label: "Requests/s", number: true, text: (listener) => (isHttp(listener) ? rate(rateOf(shown, listener, requests)) : NONE) },
  { label: "Failures/s", number: true, fill: fillFailures },
  { label: "From clients", number: true, text: (listener) => bytes(rateOf(shown, listener, (item) => item.client_bytes)) },
  { label: "From targets", number: true, text: (listener) => bytes(rateOf(shown, listener, (item) => item.target_bytes)) },
], (listener) => listener.name);

/** What failures() counts, by reason: those of the balancer, then a target's own 5xx. */
function causes(listener) {
  const { completed, ...closed } = listener.closed;
  const own = isHttp(listener) ? { ...listener.http.errors, "responses 5xx": Math.max(0, listener.http.responses[4] - values(listener.http.errors)) } : closed;
  return { ...listener.refused, ...own, "accept failed": listener.accept_errors };
}

/** With the reason that came most often in the last seconds. */
function fillFailures(cell, listener) {
  const now = causes(listener);
  const then = listener.before ? causes(listener.before) : now;
  const grown = Object.keys(now).map((name) => [name, now[name] - (then[name] ?? 0)]);
  const [name, times] = grown.reduce((most, entry) => (entry[1] > most[1] ? entry : most), ["", 0]);
  textAndNote(cell, rate(rateOf(shown, listener, failures)), times > 0 ? words(name) : "");
}

const PHASES = [
  { label: "Connect to target", key: "connect" },
  { label: "First byte of target", key: "first_byte" },
  { label: "Whole request", key: "request" },
  { label: "Whole connection", key: "duration" },
];

const latencyTable = new Table(byId("latency"), "Latency by listener and phase", "Nothing was recorded yet.", [
  { label: "Listener", fill: (cell, row) => { setText(cell, row.listener); cell.classList.toggle("again", row.again); } },
  { label: "Phase", wide: true, text: (row) => row.phase },
  { label: "Count", number: true, text: (row) => count(row.latency.count) },
  { label: "p50", number: true, text: (row) => micros(row.latency.p50_us) },
  { label: "p90", number: true, text: (row) => micros(row.latency.p90_us) },
  { label: "p99", number: true, text: (row) => micros(row.latency.p99_us) },
  { label: "p99.9", number: true, text: (row) => micros(row.latency.p999_us) },
  { label: "Most", number: true, text: (row) => micros(row.latency.max_us) },
], (row) => `${row.listener} ${row.phase}`);

const latencyRows = (event) => event.listeners.flatMap((listener) => PHASES
  .filter(({ key }) => listener.latency[key] && !(key === "duration" && isHttp(listener)))
  .map(({ label, key }, index) => ({ listener: listener.name, again: index > 0, phase: label, latency: listener.latency[key] })));

const shardTable = new Table(byId("shards"), "Shards", "No shard has started.", [
  { label: "Shard", fill: (cell, shard) => textAndNote(cell, `${shard.shard}`, `core ${shard.core}`) },
  { label: "State", fill: fillShardState },
  { label: "Connections", number: true, fill: (cell, shard) => withBar(cell, count(shard.report?.connections), shard.report?.connections, (item) => item.report?.connections) },
  { label: "New/s", number: true, fill: (cell, shard) => withRate(cell, shard, (item) => item.report?.accepted, rate) },
  { label: "Requests/s", number: true, fill: (cell, shard) => withRate(cell, shard, (item) => item.report?.requests, rate) },
  { label: "Bytes", number: true, fill: (cell, shard) => withRate(cell, shard, (item) => item.report?.bytes, bytes) },
  { label: "First byte p50", number: true, text: (shard) => micros(shard.report?.latency.first_byte?.p50_us) },
  { label: "p99", number: true, text: (shard) => micros(shard.report?.latency.first_byte?.p99_us) },
  { label: "Request p99", number: true, text: (shard) => micros(shard.report?.latency.request?.p99_us) },
], (shard) => shard.shard);

function fillShardState(cell, shard) {
  const state = shard.report?.draining && shard.state === "answering" ? "draining" : shard.state;
  const kinds = { answering: "well", draining: "wait", stuck: "bad", ended: "bad" };
  pill(cell, state, kinds[state], shard.state === "answering" ? "" : `no answer for ${ago(shard.answered_seconds_ago)}`);
}

function withRate(cell, shard, read, text) {
  const number = rateOf(shown, shard, read);
  withBar(cell, text(number), number, (item) => rateOf(shown, item, read));
}

/** A bar beside those of the other shards: all of one length when the load is even. */
function withBar(cell, text, number, read) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", { class: "bar", "aria-hidden": "true" }, element("span")));
  setText(cell.children[0], text);
  const most = Math.max(...shown.shards.map((shard) => read(shard) ?? 0));
  cell.children[1].firstChild.style.width = most > 0 ? `${(100 * (number ?? 0)) / most}%` : "0";
}

/** How far the busiest shard is above the mean, by what there is most of. */
function skew(event) {
  if (event.shards.length < 2) return "";
  const parts = [
    ["requests", event.shards.map((shard) => rateOf(event, shard, (item) => item.report?.requests) ?? 0), 1],
    ["connections", event.shards.map((shard) => shard.report?.connections ?? 0), 10],
  ].filter(([, numbers, least]) => values(numbers) >= least * event.shards.length);
  const busiest = (numbers) => ((Math.max(...numbers) * numbers.length) / values(numbers)).toFixed(2);
  const said = parts.map(([name, numbers]) => `${busiest(numbers)} × the mean of ${name}`);
  return said.length > 0 ? `the busiest has ${said.join(", ")}` : "";
}

const revisionTable = new Table(byId("revisions"), "Last revisions", "Nothing was applied yet.", [
  { label: "Revision", text: (revision) => `${revision.revision}` },
  { label: "Applied", wide: true, text: (revision) => new Date(revision.applied_at).toLocaleString() },
  { label: "Age", text: (revision) => ago(age(shown, revision.applied_at)) },
  { label: "By", wide: true, text: (revision) => [revision.who ?? revision.source, revision.what].filter(Boolean).join(": ") },
], (revision) => revision.revision);

function pill(cell, text, kind, note) {
  if (cell.children.length === 0) cell.append(element("span"), element("span", { class: "note" }));
  setClass(cell.children[0], `pill ${kind ?? ""}`);
  setText(cell.children[0], text);
  setText(cell.children[1], note);
}

// ---- Target groups -----------------------------------------------------------------------------------------------------

const STATE_KINDS = { healthy: "well", initial: "wait", draining: "wait", unhealthy: "bad" };

function showGroups(event) {
  const groups = byId("groups");
  const many = event.target_groups.length > OPEN_GROUPS_MAX || matchMedia("(max-width: 46rem)").matches;
  keyed(groups, event.target_groups, (group) => group.name, (group) => makeGroup(group, !many || noticesOf(event, group).length > 0), showGroup);
}

function makeGroup(group, isOpen) {
  const summary = element("summary", {}, element("h3", {}, group.name), element("span", { class: "pill" }), element("span", { class: "quiet" }));
  const details = element("details", { class: "card targets", id: groupId(group.name) }, summary);
  const holder = element("div");
  details.append(holder, element("p", { class: "empty" }));
  details.open = isOpen;
  details.table = targetTable(holder, group.name);
  // What is closed is not kept up to date.
  details.addEventListener("toggle", () => {
    const now = shown?.target_groups.find((other) => other.name === group.name);
    if (now) showGroup(details, now);
  });
  return details;
}

function showGroup(details, group) {
  const [, state, about] = details.firstChild.children;
  const healthy = group.states.healthy ?? 0;
  const all = total(group);
  const others = Object.entries(group.states).filter(([name]) => name !== "healthy").map(([name, number]) => `${number} ${name}`);
  setText(state, all === 0 ? "no target" : [`${healthy} of ${all} healthy`, ...others].join(", "));
  const inUse = all - (group.states.unused ?? 0);
  setClass(state, `pill ${inUse === 0 ? "" : healthy === all ? "well" : group.states.unhealthy ? "bad" : "wait"}`);
  const checks = group.checks_per_second > 0 ? `${digits(group.checks_per_second)} checks/s a target` : "no checks";
  const users = group.listeners.length > 0 ? `for ${group.listeners.join(", ")}` : "no listener";
  setText(about, [group.protocol, words(group.algorithm), users, checks].join(" · "));
  if (!details.open) return;
  details.table.show(group.targets);
  const left = details.lastChild;
  left.hidden = group.left_out === 0;
  setText(left, `${plural(group.left_out, "further target")}: GET /v1/target-groups/${group.name}/targets`);
}

function targetTable(holder, group) {
  const isHttpGroup = () => shown.target_groups.find((other) => other.name === group)?.protocol !== "tcp";
  return new Table(holder, `Targets of ${group}`, "It has no target.", [
    { label: "Target", fill: (cell, target) => textAndNote(cell, place(target), target.id ?? "") },
    { label: "State", wide: true, fill: fillState },
    { label: "Weight", number: true, fill: (cell, target) => textAndNote(cell, `${target.weight}`, target.weight === 0 ? "nothing new" : "") },
    { label: "Active", number: true, text: (target) => count(target.active) },
    { label: "Rate", number: true, text: (target) => (isHttpGroup() ? `${rate(rateOf(shown, target, (item) => item.requests))} req/s` : `${rate(rateOf(shown, target, (item) => item.connections))} conn/s`) },
    { label: "Failed", about: "Connects that failed and responses 5xx since the start", number: true, text: (target) => count(target.connects_failed + target.responses_5xx) },
    { label: "Last check", number: true, fill: fillCheck },
    { label: "", wide: true, number: true, fill: (cell, target) => fillChange(cell, group, target) },
  ], place);
}

function fillState(cell, target) {
  const since = target.since ? `for ${ago(age(shown, target.since))}` : "";
  const why = target.state === "unhealthy" ? target.check?.hint ?? reason(target) : reason(target);
  pill(cell, target.state, STATE_KINDS[target.state], [since, why, target.differs ? "not all shards see it so" : ""].filter(Boolean).join(" · "));
}

function fillCheck(cell, target) {
  const { check } = target;
  textAndNote(cell, check ? check.failure ?? micros(check.latency_us) : NONE, check ? ageText(age(shown, check.at)) : "");
  cell.classList.toggle("none", !check);
}

function fillChange(cell, group, target) {
  if (cell.children.length === 0) {
    const button = element("button", { type: "button", "aria-label": `Change the weight of ${place(target)} in ${group}` }, "Change");
    button.addEventListener("click", () => openChange(group, button.target));
    cell.append(button);
  }
  cell.firstChild.target = target;
}

// ---- Everything --------------------------------------------------------------------------------------------------------

const PHASE_PILLS = { serving: ["Serving", "well"], starting: ["Starting", "wait"], draining: ["Draining", "wait"] };

function show(event) {
  // Ages by the balancer's clock: that of this machine may be another.
  event.now = Date.parse(event.balancer.started_at) + event.balancer.uptime_seconds * 1_000;
  remember(event);
  shown = event;
  byId("token-form").hidden = true;
  byId("status").hidden = false;
  byId("forget").hidden = token() == null;
  const { balancer } = event;
  document.title = `${balancer.name} · Weir`;
  setText(byId("name"), balancer.name);
  const [phase, kind] = PHASE_PILLS[balancer.phase] ?? [balancer.phase, ""];
  setText(byId("phase"), balancer.ready || balancer.phase !== "serving" ? phase : "Not ready");
  setClass(byId("phase"), `pill ${balancer.ready || balancer.phase !== "serving" ? kind : "bad"}`);
  setText(byId("place"), [balancer.region, balancer.network, balancer.zone].filter(Boolean).join(" · "));
  setText(byId("facts"), `Weir ${balancer.version} · revision ${balancer.revision} · up ${ago(balancer.uptime_seconds)}`);
  showAttention(event);
  showTiles(event);
  listenerTable.show(event.listeners);
  const window = event.latency_window_us;
  setText(byId("window"), window == null ? "since the start" : `of the last ${ago(window / 1_000_000)}`);
  latencyTable.show(latencyRows(event));
  showGroups(event);
  shardTable.show(event.shards);
  setText(byId("skew"), skew(event));
  revisionTable.show(event.revisions);
}

// ---- The stream --------------------------------------------------------------------------------------------------------

const token = () => sessionStorage.getItem(TOKEN_KEY);
const authorization = () => (token() == null ? {} : { Authorization: `Bearer ${token()}` });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let heardAt = performance.now();
let listening = null;
let wake = () => {};

async function listen() {
  let retry = RETRY_MS;
  for (;;) {
    if (document.hidden) await new Promise((resolve) => { wake = resolve; });
    listening = new AbortController();
    heardAt = performance.now();
    let trouble = "";
    try {
      const response = await fetch("v1/events", { headers: authorization(), signal: listening.signal, cache: "no-store" });
      if (response.status === 401) {
        await askForToken();
        continue;
      }
      if (response.ok) {
        await read(response.body, () => { retry = RETRY_MS; });
      } else {
        trouble = await refusal(response);
      }
    } catch {
      // What failed, the browser does not tell; that nothing comes, the page says.
    }
    listening = null;
    if (trouble) setText(byId("link"), trouble);
    await pause(retry);
    retry = Math.min(retry * 2, RETRY_MS_MAX);
  }
}

/** Takes events from a stream until its end. An event of ours is one line of data. */
async function read(stream, onEvent) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    const data = parts.findLast((part) => part.startsWith("data: "));
    if (data == null) continue;
    heardAt = performance.now();
    onEvent();
    if (!document.hidden) show(JSON.parse(data.slice("data: ".length)));
  }
}

/** An error of the API as a sentence. */
async function refusal(response) {
  try {
    const { error } = await response.json();
    return `${error.message}; ${error.hint} (${error.code})`;
  } catch {
    return `The balancer answered with status ${response.status}`;
  }
}

function watchLink() {
  const silent = performance.now() - heardAt;
  const isStale = silent > STALE_MS && !document.hidden && byId("token-form").hidden;
  document.body.classList.toggle("stale", isStale && shown != null);
  if (isStale) {
    setText(byId("phase"), "No answer");
    setClass(byId("phase"), "pill bad");
    if (shown) setText(byId("link"), `No answer for ${ago(silent / 1_000)}: what is shown is old.`);
  } else if (shown) {
    setText(byId("link"), byId("token-form").hidden ? "Live: each second" : "");
  }
  if (silent > DEAD_MS) listening?.abort();
}

function onVisibility() {
  if (!document.hidden) {
    wake();
    return;
  }
  setTimeout(() => { if (document.hidden) listening?.abort(); }, UNSEEN_MS);
}

// ---- The token ---------------------------------------------------------------------------------------------------------

/** Returns when there is a token to try. */
function askForToken() {
  setText(byId("token-error"), token() == null ? "" : "The balancer does not know this token.");
  sessionStorage.removeItem(TOKEN_KEY);
  byId("status").hidden = true;
  byId("token-form").hidden = false;
  byId("forget").hidden = true;
  setText(byId("link"), "");
  setText(byId("phase"), "Locked");
  setClass(byId("phase"), "pill");
  if (byId("change").open) byId("change").close();
  byId("token").focus();
  return new Promise((resolve) => {
    byId("token-form").onsubmit = (submitted) => {
      submitted.preventDefault();
      sessionStorage.setItem(TOKEN_KEY, byId("token").value.trim());
      byId("token").value = "";
      resolve();
    };
  });
}

function forget() {
  sessionStorage.removeItem(TOKEN_KEY);
  listening?.abort();
}

// ---- Changing a weight -------------------------------------------------------------------------------------------------

/** What the dialog is about. */
let changing = null;
/** Weights before a drain of this page, to go back to. */
const weightsBefore = new Map();

function openChange(group, target) {
  changing = { group, target, key: `${group} ${place(target)}` };
  setText(byId("change-title"), `Weight of ${place(target)}`);
  setText(byId("change-target"), `In group ${group} its weight is ${target.weight}${target.weight === 0 ? ": it is drained." : "."}`);
  setText(byId("change-error"), "");
  byId("weight").value = target.weight;
  byId("drain").hidden = target.weight === 0;
  byId("undrain").hidden = target.weight > 0;
  setText(byId("undrain"), `Undrain: ${weightBefore()}`);
  showEffect();
  byId("change").showModal();
  byId("weight").select();
}

const weightBefore = () => weightsBefore.get(changing.key) ?? WEIGHT_DEFAULT;

function showEffect() {
  const input = byId("weight");
  const weight = input.valueAsNumber;
  const { target } = changing;
  byId("confirm").disabled = !input.checkValidity() || weight === target.weight;
  const effects = {
    invalid: "A weight is a whole number from 0 to 100.",
    same: "Nothing changes.",
    drain: "It gets nothing new. What it has goes on: connections, requests, sessions.",
    undrain: "It gets new traffic again, by its weight.",
    change: "Its share of what is new changes. What it has goes on.",
  };
  const effect = !input.checkValidity() ? "invalid" : weight === target.weight ? "same" : weight === 0 ? "drain" : target.weight === 0 ? "undrain" : "change";
  setText(byId("change-effect"), effects[effect]);
  setText(byId("confirm"), effect === "invalid" || effect === "same" ? "Confirm" : `Change ${target.weight} to ${weight}`);
}

function setWeight(weight) {
  byId("weight").value = weight;
  showEffect();
  byId("confirm").focus();
}

async function confirmChange(submitted) {
  submitted.preventDefault();
  const { group, target, key } = changing;
  const weight = byId("weight").valueAsNumber;
  byId("confirm").disabled = true;
  setText(byId("change-error"), "");
  try {
    const response = await fetch(`v1/target-groups/${encodeURIComponent(group)}/targets`, {
      method: "PATCH",
      headers: { ...authorization(), "Content-Type": "application/json" },
      body: JSON.stringify({ targets: [{ address: target.address, port: target.port, weight }] }),
    });
    if (!response.ok) throw new Error(await refusal(response));
    if (weight === 0) weightsBefore.set(key, target.weight);
    byId("change").close();
    setText(byId("done"), `The weight of ${place(target)} in ${group} is ${weight}.`);
  } catch (error) {
    setText(byId("change-error"), error instanceof TypeError ? "The balancer does not answer." : error.message);
    byId("confirm").disabled = false;
  }
}

byId("weight").addEventListener("input", showEffect);
byId("drain").addEventListener("click", () => setWeight(0));
byId("undrain").addEventListener("click", () => setWeight(weightBefore()));
byId("cancel").addEventListener("click", () => byId("change").close());
byId("change-form").addEventListener("submit", confirmChange);
byId("forget").addEventListener("click", forget);
document.addEventListener("visibilitychange", onVisibility);
setInterval(watchLink, 500);
listen();
