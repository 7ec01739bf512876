// Answers on their way: sent from whatever page their author has open, and from nobody else's. Each keeps the key it was
// first sent under, so that it counts once however often it is sent.

import * as keep from "./keep.js";
import { Offline, Refusal, call, me } from "./net.js";
import { banner } from "./notices.js";

const AGAIN = 10_000;
const LATER = [408, 429]; // refusals that pass

export let left = 0; // how many wait here
let sending = Promise.resolve();
const outcomes = new Map(); // by key: "sent", "refused", "offline", or "failed", which is the server's fault

async function flush() {
  const mine = (await keep.all("outbox")).filter((one) => one.me === me).sort((a, b) => a.at - b.at);
  left = mine.length;
  let how = "sent";
  for (const one of mine) {
    const outcome = await post(one);
    outcomes.set(one.key, outcome);
    if (outcome === "sent" || outcome === "refused") left--;
    else how = outcome;
    if (outcome === "offline") break;
  }
  const what = left === 1 ? "An answer waits" : `${left} answers wait`;
  const why = how === "failed" ? "server, which could not take it yet" : "connection";
  banner("outbox", left && `${what} here for the ${why}. You need do nothing.`);
  return how;
}

async function post({ key, body, task, guidelines, active }) {
  let outcome = "sent";
  try {
    await call("POST", `/api/tasks/${task}/answer`, { key, body, guidelines, active });
  } catch (error) {
    if (error.status >= 500 || LATER.includes(error.status)) return "failed";
    if (error instanceof Offline) return "offline";
    if (!(error instanceof Refusal)) throw error;
    outcome = "refused";
    const open = () => location.assign(`/work/${task}`);
    banner("refused", `What you handed in was not taken: ${error.message}`, ["Open it again", open]);
  }
  await keep.drop("outbox", key);
  return outcome;
}

// How it went with one of them, or with all.
export async function send(key) {
  sending = sending.then(flush, flush);
  const all = await sending;
  return outcomes.get(key) ?? all;
}

export async function add(one) {
  await keep.put("outbox", one.key, { ...one, me, at: Date.now() });
  return send(one.key);
}

addEventListener("online", () => send());
setInterval(async () => (await keep.all("outbox")).length && send(), AGAIN);
send();
