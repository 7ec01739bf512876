// The work page: from one task to the next without a new page. Pages are the server's; without this script they are
// plain forms.

import * as clock from "./clock.js";
import { sweep } from "./keep.js";
import { Refusal, page, why } from "./net.js";
import { banner, drawBanner, forget, handedIn, offer } from "./notices.js";
import { add, send } from "./outbox.js";
import { Task } from "./task.js";

const AGAIN = 5000;
const KEPT = 14 * 24 * 3600_000; // how long drafts stay in this browser
const STALE = 5 * 60_000; // a task that lay ready for longer is asked for again

const job = new URLSearchParams(location.search).get("job");
const address = (path, more = {}) => {
  const words = new URLSearchParams(Object.entries({ job, ...more }).filter(([, value]) => value)).toString();
  return words ? `${path}?${words}` : path;
};

let work = null; // the task on this page
let waits = null; // the timer, while there is no next task for want of a connection

const ways = {
  ready: (task) => ({ at: Date.now(), page: page(address("/work", { besides: task })).catch(() => null) }),
  leave: onward,
  async handIn(answer, from) {
    const outcome = await add(answer);
    if (outcome === "refused") return;
    handedIn(from.task, outcome === "sent", open);
    await onward(from.next, outcome);
  },
};

// As long as an answer waits here, the server would give its task again.
async function onward(next, outcome = "sent") {
  let made = next && Date.now() - next.at < STALE ? await next.page : null;
  const lay = Boolean(made?.getElementById("work"));
  if (!lay && outcome === "offline") return wait();
  if (!lay) {
    try {
      made = await page(address("/work", { besides: outcome === "failed" && work.task.task }));
    } catch (error) {
      return error instanceof Refusal ? banner("next", error.message) : wait();
    }
  }
  swap(made, lay);
}

function wait() {
  work.form.querySelector(".sheet").inert = true;
  banner("next", "There is no connection. The next task comes when it is back.");
  waits ??= setInterval(look, AGAIN);
}

async function look() {
  const outcome = await send();
  if (outcome === "offline" || waits === null) return;
  clearInterval(waits);
  waits = null;
  banner("next");
  onward(null, outcome);
}

async function open(path) {
  try {
    swap(await page(path));
  } catch (error) {
    banner("next", why(error));
  }
}

function swap(made, lay = false) {
  clock.letGo();
  forget();
  document.getElementById("main").replaceWith(made.getElementById("main"));
  document.title = made.title;
  scrollTo(0, 0);
  begin(lay);
  drawBanner();
  offer();
}

function begin(lay = false) {
  const root = document.getElementById("work");
  work = root && new Task(root, lay, ways);
  work?.start();
  history.replaceState(null, "", address(work ? `/work/${work.task.task}` : "/work"));
}

document.addEventListener("keydown", (event) => {
  const handIn = event.target.matches?.("textarea") && event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (handIn && !event.target.closest("dialog")) work?.form.requestSubmit();
  else work?.key(event);
});

const offline = () => banner("offline", !navigator.onLine && "You are offline. What you do is kept in this browser.");
addEventListener("offline", offline);
addEventListener("online", () => {
  offline();
  if (waits !== null) look();
});

begin();
if (work) {
  offline();
  sweep(Date.now() - KEPT);
}
