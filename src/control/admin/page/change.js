// The dialog that changes a target's weight.
//
//   openChange --> weight, or Drain, or Undrain --> what will happen --Confirm--> PATCH --> what the API said

import { byId, setText } from "./elements.js";
import { authorization, refusal } from "./stream.js";
import { place } from "./texts.js";

const WEIGHT_DEFAULT = 10;
/** How long the page says what it did. */
const DONE_MS = 8_000;
/** What the dialog is about. */
let changing = null;
let doneTimer = 0;
/** Weights before a drain of this page, to go back to. */
const weightsBefore = new Map();

/** Why no weight can be changed from here; empty: it can. Without a token the API takes changes only from a page that was
    opened by address (src/control/admin/auth.rs). */
export function whyUnchangeable(event, hostname = location.hostname) {
  if (event.why_nothing_changes != null) return `Weights cannot be changed: ${event.why_nothing_changes}.`;
  const isAddress = hostname === "localhost" || /^[\d.]+$|^\[/.test(hostname);
  if (authorization().Authorization != null || isAddress) return "";
  return `Weights cannot be changed from ${hostname}: open this page by the balancer's address, or set token_file in [admin].`;
}

export function openChange(group, target) {
  changing = { group, target, key: `${group} ${place(target)}` };
  setText(byId("change-title"), `Weight of ${place(target)}`);
  const isDrained = target.weight === 0;
  const drained = isDrained ? ": it is drained" : "";
  setText(byId("change-target"), `In group ${group} its weight is ${target.weight}${drained}.`);
  setText(byId("change-error"), "");
  byId("weight").value = target.weight;
  byId("drain").hidden = isDrained;
  byId("undrain").hidden = !isDrained;
  setText(byId("undrain"), `Undrain: ${weightBefore()}`);
  showEffect();
  byId("change").showModal();
  byId("weight").select();
}

const weightBefore = () => weightsBefore.get(changing.key) ?? WEIGHT_DEFAULT;

const EFFECTS = {
  invalid: "A weight is a whole number from 0 to 100.",
  same: "Nothing changes.",
  drain: "It gets nothing new. What it has goes on: connections, requests, sessions.",
  undrain: "It gets new traffic again, by its weight.",
  change: "Its share of what is new changes. What it has goes on.",
};

function effect(before, input) {
  if (!input.checkValidity()) return "invalid";
  const after = input.valueAsNumber;
  if (after === before) return "same";
  if (after === 0) return "drain";
  return before === 0 ? "undrain" : "change";
}

function showEffect() {
  const input = byId("weight");
  const { weight } = changing.target;
  const what = effect(weight, input);
  const changesNothing = what === "invalid" || what === "same";
  byId("confirm").disabled = changesNothing;
  setText(byId("change-effect"), EFFECTS[what]);
  setText(byId("confirm"), changesNothing ? "Confirm" : `Change ${weight} to ${input.valueAsNumber}`);
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
    clearTimeout(doneTimer);
    doneTimer = setTimeout(() => setText(byId("done"), ""), DONE_MS);
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
