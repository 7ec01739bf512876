// Answers on their way. Each keeps the key it was first sent under, so that it counts once however often it is sent.

import * as keep from "./keep.js";
import { Offline, Refusal, call } from "./net.js";

const AGAIN = 10_000;
const LATER = [408, 429, 507]; // refusals that pass

export function outbox({ waiting, refused }) {
  let me = null;
  let sending = Promise.resolve();
  const outcomes = new Map(); // by key: "sent", "waiting", "refused"

  async function flush() {
    const mine = (await keep.all("outbox")).filter((one) => one.me === me).sort((a, b) => a.at - b.at);
    let left = mine.length;
    for (const one of mine) {
      outcomes.set(one.key, await post(one));
      if (outcomes.get(one.key) === "waiting") break;
      left--;
    }
    waiting(left);
    return left ? "waiting" : "sent";
  }

  async function post({ key, body, task, guidelines, active }) {
    let outcome = "sent";
    try {
      await call("POST", `/api/tasks/${task}/answer`, { key, body, guidelines, active });
    } catch (error) {
      if (error instanceof Offline || LATER.includes(error.status)) return "waiting";
      if (!(error instanceof Refusal)) throw error;
      outcome = "refused";
      refused(task, error.message);
    }
    await keep.drop("outbox", key);
    return outcome;
  }

  // How it went with one of them, or with all.
  async function send(key) {
    sending = sending.then(flush, flush);
    const all = await sending;
    return outcomes.get(key) ?? all;
  }

  addEventListener("online", () => send());
  setInterval(async () => (await keep.all("outbox")).length && send(), AGAIN);

  return {
    begin(whose) {
      me = whose;
      return send();
    },
    add: (one) => keep.put("outbox", one.key, { ...one, at: Date.now() }),
    send,
  };
}
