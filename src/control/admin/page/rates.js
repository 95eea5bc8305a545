// Rates: what an event counts, less what one of some seconds ago counted.

import { place, sum, values } from "./texts.js";

/** Rates are over so many seconds: enough to be calm. */
const RATE_SECONDS = 4;
/** Events of the last seconds, the oldest first. */
let recent = [];
/** What the tiles draw: lists of numbers by name. */
export const curves = new Map();

/** Keeps the event for later, and links each thing in it to the same thing of some seconds ago. */
export function remember(event) {
  const latest = recent.at(-1);
  const restarted = latest && (latest.balancer.started_at !== event.balancer.started_at
    || latest.elapsed_seconds >= event.elapsed_seconds);
  if (restarted) {
    recent = [];
    curves.clear();
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
export function rateOf(event, item, read) {
  if (!item.before || !event.seconds) return null;
  const [now, then] = [read(item), read(item.before)];
  return now == null || then == null || now < then ? null : (now - then) / event.seconds;
}

/** Of all of them; null while none is known. */
export function totalRate(event, items, read) {
  const rates = items.map((item) => rateOf(event, item, read)).filter((number) => number != null);
  return rates.length > 0 || items.length === 0 ? sum(rates, (number) => number) : null;
}

export const isHttp = (listener) => listener.http != null;
export const requests = (listener) => listener.http?.requests;
/** Connections that were refused or failed; requests that failed in the balancer or that a target answered with 5xx. */
export const failures = (listener) => values(causes(listener));

/** What failures() counts, by reason: those of the balancer, then the targets' own 5xx. */
export function causes(listener) {
  const always = { ...listener.refused, "accept failed": listener.accept_errors };
  if (!isHttp(listener)) {
    const { completed, ...failed } = listener.closed;
    return { ...always, ...failed };
  }
  const { errors, target_5xx } = listener.http;
  return { ...always, ...errors, "5xx of targets": target_5xx };
}
