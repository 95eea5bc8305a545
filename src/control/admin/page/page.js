// The status page: shows each event of GET v1/events as it comes.
//
//   stream.js --event--> rates.js --> here: what needs a look, tiles, tables --Change--> change.js --PATCH--> the API
//
// No build step: these are the modules that the browser runs.

import { openChange, whyUnchangeable } from "./change.js";
import { Table, byId, element, keyed, pill, setClass, setText, textAndNote } from "./elements.js";
import { causes, curves, failures, isHttp, rateOf, remember, requests, totalRate } from "./rates.js";
import { listen } from "./stream.js";
import { NONE, age, ageText, ago, bytes, count, digits, micros, place, plural, rate } from "./texts.js";
import { sum, values, words } from "./texts.js";

/** Curves show so many events. */
const CURVE_EVENTS = 60;
const NOTICES_MAX = 8;
/** With more groups than these, or on a phone, only those that need a look are open at first. */
const OPEN_GROUPS_MAX = 6;

// ---- Tiles ----------------------------------------------------------------------------------------------------------

const perSecond = (read) => (event) => totalRate(event, event.listeners, read);

const TILES = [
  {
    label: "Connections",
    read: (event) => sum(event.listeners, (listener) => listener.active),
    text: count,
    beside: (event) => `of ${count(sum(event.shards, (shard) => shard.report?.connections_max ?? 0))} at most`,
  },
  { label: "New connections", read: perSecond((listener) => listener.accepted), text: rate, beside: () => "a second" },
  {
    label: "Requests",
    when: (event) => event.listeners.some(isHttp),
    read: perSecond(requests),
    text: rate,
    beside: () => "a second",
  },
  { label: "Failures", read: perSecond(failures), text: rate, beside: () => "a second", bad: (number) => number > 0 },
  { label: "From clients", read: perSecond((listener) => listener.client_bytes), text: bytes, beside: () => "" },
  { label: "From targets", read: perSecond((listener) => listener.target_bytes), text: bytes, beside: () => "" },
];

const SVG = "http://www.w3.org/2000/svg";

function makeTile(tile) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 100 20");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "polygon"), document.createElementNS(SVG, "polyline"));
  const figure = element("dd", { class: "figure" });
  const beside = element("dd", { class: "beside" });
  return element("div", { class: "tile" }, element("dt", {}, tile.label), figure, beside, svg);
}

function showTiles(event) {
  const tiles = TILES.filter((tile) => !tile.when || tile.when(event));
  keyed(byId("tiles"), tiles, (tile) => tile.label, makeTile, (node, tile) => {
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

// ---- What needs a look ----------------------------------------------------------------------------------------------

function showAttention(event) {
  const notices = event.balancer.not_ready_reasons.map((text) => ({ kind: "bad", text }));
  for (const listener of event.listeners) {
    const groups = event.target_groups.filter((group) => listener.target_groups.includes(group.name));
    if (!listener.bound && sum(groups, total) > 0 && event.balancer.phase === "serving") {
      notices.push({ kind: "bad", text: `Listener ${listener.name} does not listen on ${place(listener)}` });
    }
  }
  for (const group of event.target_groups) notices.push(...noticesOf(event, group));
  const listed = notices.slice(0, NOTICES_MAX);
  const left = notices.length - listed.length;
  if (left > 0) listed.push({ kind: "warning", text: `and ${left} more` });
  const keyOf = (notice) => `${notice.kind} ${notice.group ?? ""} ${notice.key ?? notice.text}`;
  keyed(byId("attention"), listed, keyOf, makeNotice, (node, notice) => setText(node.lastChild, notice.text));
  const targets = sum(event.target_groups, total);
  byId("all-well").hidden = notices.length > 0;
  const all = [[event.listeners.length, "listener"], [event.target_groups.length, "target group"], [targets, "target"]];
  const counts = all.map(([number, noun]) => plural(number, noun)).join(", ");
  setText(byId("all-well"), targets === 0 ? "Serving. There is no target yet." : `All is well: ${counts}.`);
}

const total = (group) => values(group.states);

function noticesOf(event, group) {
  const notices = [];
  const { healthy, initial, unknown } = group.states;
  const mayForward = healthy || initial || unknown;
  if (group.failing_open) {
    notices.push({ kind: "bad", group: group.name, text: "no target is healthy, so traffic goes to all of them" });
  } else if (total(group) > 0 && group.listeners.length > 0 && !mayForward) {
    notices.push({ kind: "bad", group: group.name, text: "no target is healthy, so nothing is forwarded" });
  }
  for (const target of group.targets.filter((target) => target.state === "unhealthy")) {
    const why = target.check?.hint ?? reason(target);
    const text = `${place(target)} is unhealthy for ${ago(age(event, target.since))}: ${why}`;
    notices.push({ kind: "warning", group: group.name, key: place(target), text });
  }
  return notices;
}

function makeNotice(notice) {
  const item = element("li", { class: `notice ${notice.kind}` });
  if (notice.group != null) {
    const link = element("a", { href: `#${groupId(notice.group)}` }, notice.group);
    link.addEventListener("click", () => showFound(notice.group));
    item.append(link, " ");
  }
  item.append(element("span"));
  return item;
}

/** Opens a group, be it that another was searched for. */
function showFound(name) {
  if (byId(groupId(name)) == null) {
    byId("find").value = "";
    showGroups(shown);
  }
  byId(groupId(name)).open = true;
}

const groupId = (name) => `group-${name}`;
/** `Target.Timeout` as words. */
const reason = (target) =>
  (target.reason ?? "").replace(/^[A-Za-z]+\./, "").replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();

// ---- Tables ---------------------------------------------------------------------------------------------------------

/** The event that is shown, for what the tables' columns compute. */
let shown = null;
/** Why no target has a "Change"; empty: each has one. */
let unchangeable = "";

const listenerTable = new Table(byId("listeners"), "Listeners", "No listener is configured.", [
  { label: "Listener", fill: (cell, listener) => textAndNote(cell, listener.name, listener.bound ? "" : "not bound") },
  { label: "Address", wide: true, text: (listener) => `${listener.protocol} ${place(listener)}` },
  { label: "Sends to", text: (listener) => listener.target_groups.join(", ") || NONE },
  { label: "Connections", number: true, text: (listener) => count(listener.active) },
  { label: "New/s", number: true, text: (listener) => rate(rateOf(shown, listener, (item) => item.accepted)) },
  { label: "Requests/s", number: true, text: (listener) => rate(rateOf(shown, listener, requests)) },
  { label: "Failures/s", number: true, fill: fillFailures },
  { label: "From clients", number: true, text: (item) => bytes(rateOf(shown, item, (other) => other.client_bytes)) },
  { label: "From targets", number: true, text: (item) => bytes(rateOf(shown, item, (other) => other.target_bytes)) },
], (listener) => listener.name);

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
  { label: "Listener", fill: fillListener },
  { label: "Phase", wide: true, text: (row) => row.phase },
  { label: "Count", number: true, text: (row) => count(row.latency.count) },
  { label: "p50", number: true, text: (row) => micros(row.latency.p50_us) },
  { label: "p90", number: true, text: (row) => micros(row.latency.p90_us) },
  { label: "p99", number: true, text: (row) => micros(row.latency.p99_us) },
  { label: "p99.9", number: true, text: (row) => micros(row.latency.p999_us) },
  { label: "Most", number: true, text: (row) => micros(row.latency.max_us) },
], (row) => `${row.listener} ${row.phase}`);

/** The name of a listener stands out once. */
function fillListener(cell, row) {
  setText(cell, row.listener);
  cell.classList.toggle("again", row.again);
}

const latencyRows = (event) => event.listeners.flatMap((listener) => PHASES
  .filter(({ key }) => listener.latency[key] && !(key === "duration" && isHttp(listener)))
  .map(({ label, key }, index) =>
    ({ listener: listener.name, again: index > 0, phase: label, latency: listener.latency[key] })));

const shardTable = new Table(byId("shards"), "Shards", "No shard has started.", [
  { label: "Shard", isNumber: true, fill: (cell, shard) => textAndNote(cell, `${shard.shard}`, `core ${shard.core}`) },
  { label: "State", fill: fillShardState },
  { label: "Connections", number: true, fill: (cell, shard) => withBar(cell, shard, connections, count) },
  { label: "New/s", number: true, fill: (cell, shard) => withBar(cell, shard, shardRate("accepted"), rate) },
  { label: "Requests/s", number: true, fill: (cell, shard) => withBar(cell, shard, shardRate("requests"), rate) },
  { label: "Bytes", number: true, fill: (cell, shard) => withBar(cell, shard, shardRate("bytes"), bytes) },
  { label: "First byte p50", number: true, text: (shard) => micros(shard.report?.latency.first_byte?.p50_us) },
  { label: "p99", number: true, text: (shard) => micros(shard.report?.latency.first_byte?.p99_us) },
  { label: "Request p99", number: true, text: (shard) => micros(shard.report?.latency.request?.p99_us) },
], (shard) => shard.shard);

function fillShardState(cell, shard) {
  const state = shard.report?.draining && shard.state === "answering" ? "draining" : shard.state;
  const kinds = { answering: "well", draining: "wait", stuck: "bad", ended: "bad" };
  const silence = shard.state === "answering" ? "" : `no answer for ${ago(shard.answered_seconds_ago)}`;
  pill(cell, state, kinds[state], silence);
}

function connections(shard) {
  return shard.report?.connections;
}

function shardRate(counter) {
  return (shard) => rateOf(shown, shard, (item) => item.report?.[counter]);
}

/** A bar beside those of the other shards: all of one length when the load is even. */
function withBar(cell, shard, read, text) {
  if (cell.children.length === 0) {
    const bar = element("span", { class: "bar", "aria-hidden": "true" }, element("span"));
    cell.append(element("span"), bar);
  }
  const number = read(shard);
  const most = Math.max(...shown.shards.map((other) => read(other) ?? 0));
  setText(cell.children[0], text(number));
  cell.children[1].firstChild.style.width = most > 0 ? `${(100 * (number ?? 0)) / most}%` : "0";
}

/** How far the busiest shard is above the mean, by what there is most of. */
function skew(event) {
  if (event.shards.length < 2) return "";
  const parts = [
    ["requests", event.shards.map((shard) => shardRate("requests")(shard) ?? 0), 1],
    ["connections", event.shards.map((shard) => connections(shard) ?? 0), 10],
  ].filter(([, numbers, least]) => values(numbers) >= least * event.shards.length);
  const busiest = (numbers) => ((Math.max(...numbers) * numbers.length) / values(numbers)).toFixed(2);
  const said = parts.map(([name, numbers]) => `${busiest(numbers)} × the mean of ${name}`);
  return said.length > 0 ? `the busiest has ${said.join(", ")}` : "";
}

const revisionTable = new Table(byId("revisions"), "Last revisions", "Nothing was applied yet.", [
  { label: "Revision", isNumber: true, text: (revision) => `${revision.revision}` },
  { label: "Applied", wide: true, text: (revision) => new Date(revision.applied_at).toLocaleString() },
  { label: "Age", text: (revision) => ago(age(shown, revision.applied_at)) },
  { label: "By", wide: true, text: ({ who, what }) => [who, ...what.slice(0, 3), what.length > 3 ? `and ${what.length - 3} more` : ""].filter(Boolean).join(": ") },
], (revision) => revision.revision);

// ---- Target groups --------------------------------------------------------------------------------------------------

const STATE_KINDS = { healthy: "well", initial: "wait", draining: "wait", unhealthy: "bad" };

function showGroups(event) {
  byId("find-groups").hidden = event.target_groups.length <= OPEN_GROUPS_MAX;
  const wanted = byId("find").value.trim().toLowerCase();
  const names = (group) => [group.name, ...group.targets.flatMap((target) => [place(target), target.id ?? ""])];
  const isWanted = (group) => names(group).some((text) => text.toLowerCase().includes(wanted));
  const found = wanted === "" ? event.target_groups : event.target_groups.filter(isWanted);
  setText(byId("found"), wanted === "" ? "" : `${found.length} of ${event.target_groups.length}`);
  const many = event.target_groups.length > OPEN_GROUPS_MAX || matchMedia("(max-width: 46rem)").matches;
  const make = (group) => makeGroup(group, !many || noticesOf(event, group).length > 0);
  keyed(byId("groups"), found, (group) => group.name, make, showGroup);
}

function makeGroup(group, isOpen) {
  const [state, about] = [element("span", { class: "pill" }), element("span", { class: "quiet" })];
  const summary = element("summary", {}, element("h3", {}, group.name), state, about);
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
  const others = Object.entries(group.states).filter(([name]) => name !== "healthy");
  const counts = [`${healthy} of ${all} healthy`, ...others.map(([name, number]) => `${number} ${name}`)].join(", ");
  setText(state, all === 0 ? "no target" : counts);
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
    { label: "Weight", number: true, fill: fillWeight },
    { label: "Active", number: true, text: (target) => count(target.active) },
    { label: "Rate", number: true, text: (target) => targetRate(target, isHttpGroup()) },
    { label: "Failed", about: "Connects that failed and responses 5xx since the start", number: true, text: failed },
    { label: "Last check", number: true, fill: fillCheck },
    { label: "", wide: true, number: true, fill: (cell, target) => fillChange(cell, group, target) },
  ], place);
}

const failed = (target) => count(target.connects_failed + target.responses_5xx);

function targetRate(target, isOfHttp) {
  const number = rateOf(shown, target, (item) => (isOfHttp ? item.requests : item.connections));
  if (number == null) return NONE;
  return `${rate(number)} ${isOfHttp ? "req/s" : "conn/s"}`;
}

function fillWeight(cell, target) {
  textAndNote(cell, `${target.weight}`, target.weight === 0 ? "nothing new" : "");
}

function fillState(cell, target) {
  const since = target.since ? `for ${ago(age(shown, target.since))}` : "";
  const why = target.state === "unhealthy" ? target.check?.hint ?? reason(target) : reason(target);
  const notes = [since, why, target.differs ? "not all shards see it so" : ""];
  pill(cell, target.state, STATE_KINDS[target.state], notes.filter(Boolean).join(" · "));
}

function fillCheck(cell, target) {
  const { check } = target;
  const outcome = check ? check.failure ?? micros(check.latency_us) : NONE;
  textAndNote(cell, outcome, check ? ageText(age(shown, check.at)) : "");
  cell.classList.toggle("none", !check);
}

function fillChange(cell, group, target) {
  if (unchangeable !== "") {
    cell.replaceChildren();
    return;
  }
  if (cell.children.length === 0) {
    const label = `Change the weight of ${place(target)} in ${group}`;
    const button = element("button", { type: "button", "aria-label": label }, "Change");
    button.addEventListener("click", () => openChange(group, button.target));
    cell.append(button);
  }
  cell.firstChild.target = target;
}

// ---- Everything -----------------------------------------------------------------------------------------------------

const PHASE_PILLS = { serving: ["Serving", "well"], starting: ["Starting", "wait"], draining: ["Draining", "wait"] };

function show(event) {
  // Ages by the balancer's clock: that of this machine may be another.
  event.now = Date.parse(event.balancer.started_at) + event.balancer.uptime_seconds * 1_000;
  remember(event);
  shown = event;
  const { balancer } = event;
  document.title = `${balancer.name} · Weir`;
  setText(byId("name"), balancer.name);
  const [phase, kind] = PHASE_PILLS[balancer.phase] ?? [balancer.phase, ""];
  setText(byId("phase"), balancer.ready || balancer.phase !== "serving" ? phase : "Not ready");
  setClass(byId("phase"), `pill ${balancer.ready || balancer.phase !== "serving" ? kind : "bad"}`);
  setText(byId("place"), [balancer.region, balancer.network, balancer.zone].filter(Boolean).join(" · "));
  const facts = [`Weir ${balancer.version}`, `revision ${balancer.revision}`, `up ${ago(balancer.uptime_seconds)}`];
  setText(byId("facts"), facts.join(" · "));
  showAttention(event);
  showTiles(event);
  listenerTable.show(event.listeners);
  const window = event.latency_window_us;
  setText(byId("window"), window == null ? "since the start" : `of the last ${ago(window / 1_000_000)}`);
  latencyTable.show(latencyRows(event));
  unchangeable = whyUnchangeable(event);
  byId("unchangeable").hidden = unchangeable === "";
  setText(byId("unchangeable"), unchangeable);
  showGroups(event);
  shardTable.show(event.shards);
  setText(byId("skew"), skew(event));
  revisionTable.show(event.revisions);
}

byId("find").addEventListener("input", () => showGroups(shown));
listen(show);
