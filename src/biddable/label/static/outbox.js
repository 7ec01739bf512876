// Answers on their way. Each keeps the key it was first sent under, so that it counts once however often it is sent.

import * as keep from "./keep.js";
import { Offline, Refusal, call } from "./net.js";

const AGAIN = 10_000;

export function outbox({ waiting, refused }) {
  let me = null;
  let sending = Promise.resolve("sent");

  // "sent", "waiting", or "refused" of the last one.
  async function flush() {
    let last = "sent";
    const mine = (await keep.all("outbox")).filter((one) => one.me === me).sort((a, b) => a.at - b.at);
    for (const one of mine) {
      last = await post(one);
      if (last === "waiting") break;
    }
    const left = (await keep.all("outbox")).filter((one) => one.me === me).length;
    waiting(left);
    return last;
  }

  async function post({ key, body, task, guidelines, active }) {
    try {
      await call("POST", `/api/tasks/${task}/answer`, { key, body, guidelines, active });
    } catch (error) {
      if (error instanceof Offline || (error instanceof Refusal && [507, 429, 408].includes(error.status))) return "waiting";
      if (!(error instanceof Refusal)) throw error;
      await keep.drop("outbox", key);
      refused(task, error.message);
      return "refused";
    }
    await keep.drop("outbox", key);
    return "sent";
  }

  const send = () => (sending = sending.then(flush, flush));
  addEventListener("online", send);
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
