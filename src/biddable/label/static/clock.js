// Time: the seconds that somebody was at work, signs of life, and how long a task is theirs.

import { call } from "./net.js";
import { left } from "./outbox.js";

const IDLE = 60_000; // without a key, a pointer or a scroll nobody is at work
const BEAT = 30_000;
const LAST = 5 * 60; // seconds from which the end of the lease is counted down

let active = 0; // seconds that the server has not heard of
let before = performance.now();
let touched = before;
let held = null;

for (const what of ["pointerdown", "pointermove", "keydown", "wheel", "scroll", "touchmove", "input"]) {
  addEventListener(what, () => (touched = performance.now()), { passive: true, capture: true });
}

// A timer that comes late (the machine slept) counts for no more than two seconds.
function tick() {
  const now = performance.now();
  if (!document.hidden && now - touched < IDLE) active += Math.min(now - before, 2000) / 1000;
  before = now;
  held?.show();
}

setInterval(tick, 1000);
setInterval(() => !document.hidden && held?.beat(), BEAT);
document.addEventListener("visibilitychange", () => !document.hidden && held?.beat());

export function taken() {
  tick();
  const seconds = Math.min(active, 3600);
  active = 0;
  return seconds;
}

// Hold a task. `lost` is called when it is somebody else's to take, `guided` when other guidelines hold.
export function hold(task, element, lost, guided) {
  let until = Date.now() + task.left * 1000;
  let gone = false;
  const one = {
    show() {
      const left = Math.round((until - Date.now()) / 1000);
      element.hidden = gone || left > LAST;
      if (gone || element.hidden) return;
      const [minutes, seconds] = [Math.floor(Math.max(left, 0) / 60), Math.max(left, 0) % 60];
      element.textContent = `Yours for ${minutes}:${String(seconds).padStart(2, "0")} more`;
    },
    async beat() {
      if (gone) return;
      const seconds = left ? 0 : taken(); // what was done before goes first
      try {
        const said = await call("POST", `/api/tasks/${task.task}/beat`, { lease: task.lease, active: seconds });
        if (held !== one) return;
        if (said.until === null) {
          gone = true;
          lost(said.over);
        } else {
          until = Date.now() + said.left * 1000;
          if (said.guidelines !== (task.guidelines?.number ?? null)) guided(said.guidelines);
        }
      } catch {
        active += seconds; // another time
      }
      one.show();
    },
  };
  held = task.lease ? one : null;
  one.show();
  if (task.lay) held?.beat(); // it lay ready for a while: ask whether it is still theirs
}

export const letGo = () => (held = null);
