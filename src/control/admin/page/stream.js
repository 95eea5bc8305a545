// The stream of events, and the token that opens it.
//
//   ask --200--> read: each event is handed over --end, failure, silence--> ask again, later and later
//      `--401--> the form for the token --> ask
//
// Events are read by fetch, as EventSource cannot send a token. The token is in the tab's sessionStorage, nowhere else.

import { byId, setClass, setText } from "./elements.js";
import { ago } from "./texts.js";

const TOKEN_KEY = "weir-token";
/** An event comes each second. Without one for so long the page says so, and then asks anew. */
const STALE_MS = 4_000;
const DEAD_MS = 12_000;
/** How long to wait before asking again, at first and at most. */
const RETRY_MS = 500;
const RETRY_MS_MAX = 10_000;
/** A tab that nobody sees gives up its place among the subscribers after so long. */
const UNSEEN_MS = 30_000;
const token = () => sessionStorage.getItem(TOKEN_KEY);
export const authorization = () => (token() == null ? {} : { Authorization: `Bearer ${token()}` });
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** When the latest event came, and when something was last asked or heard on the stream. */
let heardAt = performance.now();
let movedAt = heardAt;
/** What the balancer answered instead of events. */
let trouble = "";
let listening = null;
let wake = () => {};

/** Listens for good, and hands each event over. */
export async function listen(onEvent) {
  document.addEventListener("visibilitychange", onVisibility);
  byId("forget").addEventListener("click", forget);
  setInterval(watchLink, 500);
  let retry = RETRY_MS;
  for (;;) {
    if (document.hidden) await new Promise((resolve) => { wake = resolve; });
    listening = new AbortController();
    movedAt = performance.now();
    try {
      const { signal } = listening;
      const response = await fetch("v1/events", { headers: authorization(), signal, cache: "no-store" });
      if (response.status === 401) {
        await askForToken();
        heardAt = performance.now();
        continue;
      }
      trouble = response.ok ? "" : await refusal(response);
      if (response.ok) {
        await read(response.body, (event) => {
          retry = RETRY_MS;
          handOver(onEvent, event);
        });
      }
    } catch {
      // What failed, the browser does not tell; that nothing comes, the page says.
      trouble = "";
    }
    listening = null;
    await pause(retry);
    retry = Math.min(retry * 2, RETRY_MS_MAX);
  }
}

/** A mistake of the page is not one of the stream: the browser's console has it. */
function handOver(onEvent, event) {
  byId("token-form").hidden = true;
  byId("status").hidden = false;
  byId("forget").hidden = token() == null;
  try {
    onEvent(event);
  } catch (error) {
    reportError(error);
  }
}

/** Takes events from a stream until its end. An event of ours is one line of data. */
async function read(stream, take) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (text + value).split("\n\n");
    text = parts.pop();
    const data = parts.findLast((part) => part.startsWith("data: "));
    if (data == null) continue;
    heardAt = movedAt = performance.now();
    if (!document.hidden) take(JSON.parse(data.slice("data: ".length)));
  }
}

/** An error of the API as a sentence. */
export async function refusal(response) {
  try {
    const { error } = await response.json();
    return `${error.message}; ${error.hint} (${error.code})`;
  } catch {
    return `The balancer answered with status ${response.status}`;
  }
}

function watchLink() {
  if (document.hidden || !byId("token-form").hidden) return;
  const now = performance.now();
  const silent = now - heardAt;
  const isStale = silent > STALE_MS;
  const hasShown = !byId("status").hidden;
  document.body.classList.toggle("stale", isStale && hasShown);
  if (isStale) {
    setText(byId("phase"), "No answer");
    setClass(byId("phase"), "pill bad");
    const silence = `no answer for ${ago(silent / 1_000)}${hasShown ? ": what is shown is old" : ""}`;
    setText(byId("link"), `· ${trouble || silence}`);
  } else if (hasShown) {
    setText(byId("link"), "· live");
  }
  if (now - movedAt > DEAD_MS) listening?.abort();
}

function onVisibility() {
  if (!document.hidden) {
    heardAt = movedAt = performance.now();
    wake();
    return;
  }
  setTimeout(() => { if (document.hidden) listening?.abort(); }, UNSEEN_MS);
}

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
      const given = byId("token").value.trim();
      // What cannot stand in a field's value, fetch does not send.
      if (!/^[!-~]+$/.test(given)) {
        setText(byId("token-error"), "A token is visible ASCII characters, without a space.");
        return;
      }
      sessionStorage.setItem(TOKEN_KEY, given);
      byId("token").value = "";
      resolve();
    };
  });
}

function forget() {
  sessionStorage.removeItem(TOKEN_KEY);
  listening?.abort();
}
