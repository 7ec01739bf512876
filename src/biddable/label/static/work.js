// The work page: a task, its draft, handing it in, and the next one. What each kind of work asks is in cards.js,
// compare.js and write.js; the page is the server's, and without this script it is a plain form.

import * as fields from "./fields.js";
import * as keep from "./keep.js";
import * as clock from "./clock.js";
import { cards } from "./cards.js";
import { compare } from "./compare.js";
import { help, wish } from "./keys.js";
import { Offline, Refusal, call, page } from "./net.js";
import { Draft } from "./draft.js";
import { outbox } from "./outbox.js";

import { write } from "./write.js";

const AGAIN = 5000;
const STALE = 5 * 60_000; // a task that lay ready for longer is asked for again
const TYPING = 1000; // milliseconds of typing that are undone at once
const UNDONE = 200;

const KINDS = { rank: cards, judge: cards, toxicity: cards, compare, write, prompt: write };
const job = new URLSearchParams(location.search).get("job");
const query = (more) => new URLSearchParams(Object.entries({ job, ...more }).filter(([, value]) => value)).toString();
const toast = document.body.appendChild(Object.assign(document.createElement("div"), { id: "toast", hidden: true }));
toast.setAttribute("role", "status");

let work = null; // the task on this page
const box = outbox({ waiting, refused });

function waiting(count) {
  if (count) banner("outbox", `${count === 1 ? "An answer waits" : `${count} answers wait`} here for the connection, and will send ${count === 1 ? "itself" : "themselves"}.`);
  else banner("outbox");
}

function refused(task, why) {
  banner("refused", `What you handed in was not taken: ${why}`, ["Open it again", () => open(`/work/${task}`)]);
}

// One line for each thing that is the matter, with what can be done about it.
const matters = new Map();
function banner(name, text, ...does) {
  if (text) matters.set(name, [text, does]);
  else matters.delete(name);
  const where = document.getElementById("banner");
  if (!where) return;
  where.hidden = !matters.size;
  where.replaceChildren(
    ...[...matters].map(([of, [said, acts]]) => {
      const line = document.createElement("p");
      line.append(said, ...acts.flatMap(([label, act]) => [" ", button(label, () => (banner(of), act()))]));
      return line;
    }),
  );
}

function button(label, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: label });
  made.onclick = act;
  return made;
}

function begin(root, lay = false) {
  const task = { ...JSON.parse(root.dataset.task), lay };
  const form = root.querySelector("#form");
  const said = root.querySelector("#say");
  const undone = [];
  let last = "";
  let typed = 0;
  let next = null;
  let sent = null; // the key and the body that were handed in, so that twice is once

  work = { root, task, form, me: root.dataset.me, say: (text) => (said.textContent = text), changed, lacks, busy: false };
  const draft = new Draft(work, {
    shown: (text) => (root.querySelector("#saved").textContent = text),
    conflict: (theirs, ours) => banner("conflict", "This task was changed in another window.", ["Take that version", theirs], ["Keep this one", ours]),
  });
  const kind = (work.kind = KINDS[task.kind](work));
  form.noValidate = true;

  function changed(typing = false) {
    const now = JSON.stringify(fields.read(form));
    if (now === last) return;
    if (!typing || Date.now() - typed > TYPING) undone.push(last);
    if (undone.length > UNDONE) undone.shift();
    typed = typing ? Date.now() : 0;
    settle(now);
    draft.changed(now);
  }

  function settle(now) {
    last = now;
    kind.draw();
    last = JSON.stringify(fields.read(form));
    root.querySelector("[data-do=undo]").hidden = !undone.length;
    if (!("text" in form.elements)) ready();
  }

  // Everything is answered: have the next task lie ready. A text is never known to be at its end, so there it is the
  // way to the button that tells.
  function ready() {
    if (next || !task.lease || task.changeable !== null || fields.missing(form)) return;
    next = { at: Date.now(), page: page(`/work?${query({ besides: task.task })}`).catch(() => null) };
  }

  function put(text) {
    fields.fill(form, JSON.parse(text));
    settle(text);
  }

  function undo() {
    if (undone.length) {
      const before = undone.pop();
      put(before);
      draft.changed(before);
      work.say("Undone");
    } else if (!toast.hidden) toast.querySelector("button").click();
  }

  function lacks(one) {
    const card = one.closest(".card")?.dataset.letter;
    const what = one.name.startsWith("rank.") ? `${card} has no rank yet` : `${card ? `${card}: ` : ""}${fields.about(one)} is not answered yet`;
    banner("lacks", `${what}.`);
    work.say(`${what}.`);
  }

  async function submit() {
    if (work.busy || form.inert) return;
    banner("lacks");
    if (kind.onward()) return;
    const open = fields.missing(form);
    if (open) {
      kind.reveal(open);
      return lacks(open);
    }
    const body = JSON.stringify(fields.answer(form));
    if (sent?.body !== body) sent = { key: crypto.randomUUID(), body };
    await away(async () => {
      draft.push();
      await box.add({ ...sent, me: work.me, task: task.task, guidelines: task.guidelines?.id ?? null, active: clock.taken() });
      const arrived = await box.send();
      if (arrived === "refused") return;
      after(task, arrived === "sent");
      await onward(next, arrived === "sent");
    });
  }

  // Something that ends with another task: never two at once.
  async function away(then) {
    work.busy = true;
    form.setAttribute("aria-busy", "true");
    try {
      await then();
    } finally {
      if (work?.task === task) {
        work.busy = false;
        form.removeAttribute("aria-busy");
      }
    }
  }

  function leave(what) {
    const dialog = root.querySelector(`#${what}`);
    dialog.showModal();
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      const told = Object.fromEntries(new FormData(event.target));
      dialog.close();
      away(async () => {
        try {
          await call("POST", `/api/tasks/${task.task}/leave`, told);
          await onward(next);
        } catch (error) {
          if (!(error instanceof Offline || error instanceof Refusal)) throw error;
          banner("leave", error instanceof Refusal ? error.message : "There is no connection; try again in a moment.");
        }
      });
    };
  }

  function guidelines() {
    const beside = root.querySelector("#guidelines");
    if (!beside) return;
    beside.hidden = !beside.hidden;
    localStorage.setItem("guidelines", beside.hidden ? "" : "open");
    if (!beside.hidden) beside.focus();
  }

  function together() {
    const button = form.querySelector("[data-do=together]");
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") !== "true");
  }

  const acts = {
    undo, guidelines, together, submit, help: () => help(root.querySelector("#keys")),
    skip: () => leave("skip"), flag: () => leave("flag"), ...kind.do,
  };
  work.key = (event) => {
    if (work.busy || form.inert) return;
    const wanted = wish(event);
    if (wanted === null || !(kind.key(wanted) || acts[wanted])) return;
    event.preventDefault();
    if (acts[wanted] && !["diff", "expand"].includes(wanted)) acts[wanted]();
  };
  for (const one of root.querySelectorAll("[data-do]")) {
    if (one.dataset.do in acts && one.dataset.do !== "submit") {
      one.hidden = one.dataset.do === "undo";
      one.addEventListener("click", (event) => (event.preventDefault(), work.busy || acts[one.dataset.do]()));
    }
  }
  for (const one of root.querySelectorAll("[data-close]")) {
    one.addEventListener("click", (event) => (event.preventDefault(), one.closest("dialog").close()));
  }
  form.addEventListener("submit", (event) => (event.preventDefault(), submit()));
  form.addEventListener("change", () => changed());
  form.addEventListener("input", (event) => event.target.matches("textarea") && changed(true));
  for (const what of ["pointerenter", "focus"]) form.querySelector("[data-do=submit]").addEventListener(what, ready);
  panes(form);

  clock.hold(task, root.querySelector("#lease"), () => banner("lost", "The time for this task is over, and somebody else may be given it. Your draft stays; you can still hand it in."), (number) => banner("guided", `The guidelines have changed: version ${number} holds from your next task on.`));
  if (!task.lease && task.changeable === null) banner("lost", "This task went back into the queue. Your draft is here, and you can still hand it in.");
  if (localStorage.getItem("guidelines")) root.querySelector("#guidelines")?.removeAttribute("hidden");

  work.take = (text) => {
    put(text);
    undone.length = 0;
    settle(text);
  };
  last = JSON.stringify(fields.read(form));
  kind.draw();
  draft.start().then(() => {
    undone.length = 0;
    settle(JSON.stringify(fields.read(form)));
    kind.begin();
    root.dataset.ready = "true";
  });
}

// Panes of one height scroll as one, by share of their length.
function panes(form) {
  const texts = [...form.querySelectorAll(".card .words")];
  let led = null;
  for (const one of texts) {
    one.addEventListener("scroll", () => {
      if (form.querySelector("[data-do=together]")?.getAttribute("aria-pressed") !== "true" || (led && led !== one)) return;
      led = one;
      const share = one.scrollTop / Math.max(1, one.scrollHeight - one.clientHeight);
      for (const other of texts) if (other !== one) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
      clearTimeout(form.led);
      form.led = setTimeout(() => (led = null), 80);
    }, { passive: true });
  }
}

// From one task to another without a new page. As long as an answer waits here, the server would give its task again.
async function onward(ready, arrived = true) {
  let made = ready && Date.now() - ready.at < STALE ? await ready.page : null;
  const lay = Boolean(made?.getElementById("work"));
  if (!lay && !arrived) return wait();
  if (!lay) {
    try {
      made = await page(`/work?${query()}`);
    } catch (error) {
      if (error instanceof Refusal) return banner("next", error.message);
      return wait();
    }
  }
  swap(made, lay);
}

let waits = null;
function wait() {
  work.form.inert = true;
  banner("next", "There is no connection. The next task comes when it is back.");
  waits ??= setInterval(look, AGAIN);
}

async function look() {
  if ((await box.send()) === "waiting" || waits === null) return;
  clearInterval(waits);
  waits = null;
  banner("next");
  onward();
}

addEventListener("online", () => waits !== null && look());

async function open(path) {
  try {
    swap(await page(path));
  } catch (error) {
    banner("next", error instanceof Refusal ? error.message : "There is no connection; try again in a moment.");
  }
}

function swap(made, lay = false) {
  clock.letGo();
  for (const name of ["lost", "lacks", "conflict", "guided", "leave", "next"]) matters.delete(name);
  const main = document.importNode(made.getElementById("main"), true);
  document.getElementById("main").replaceWith(main);
  document.title = made.title;
  work = null;
  const root = document.getElementById("work");
  scrollTo(0, 0);
  if (root) begin(root, lay);
  history.replaceState(null, "", root ? `/work/${work.task.task}?${query()}` : `/work?${query()}`);
  banner();
  offer();
}

// Five seconds in which one key takes it back; after them a button beside the others, for as long as the job allows.
let fading;
let former = null;
function after(task, arrived) {
  clearTimeout(fading);
  former = arrived && task.revise > 0 ? { task: task.task, until: Date.now() + task.revise * 1000 } : null;
  toast.replaceChildren(arrived ? "Handed in. " : "Kept here until there is a connection. ", ...(former ? [back("Take it back")] : []));
  toast.hidden = false;
  fading = setTimeout(() => {
    toast.hidden = true;
    offer();
  }, 5000);
}

function back(label) {
  const { task } = former;
  return button(label, () => {
    toast.hidden = true;
    former = null;
    open(`/work/${task}`);
  });
}

function offer() {
  document.querySelector(".former")?.remove();
  if (!former || !toast.hidden || former.until < Date.now()) return;
  const made = back("Change the last one");
  made.className = "quiet former";
  (document.querySelector(".hand") ?? document.getElementById("main")).append(made);
  setTimeout(() => made.remove(), former.until - Date.now());
}

document.addEventListener("keydown", (event) => {
  const within = event.target.matches?.("textarea") && event.key === "Enter" && (event.ctrlKey || event.metaKey);
  if (within && !event.target.closest("dialog")) work?.form.requestSubmit();
  else work?.key(event);
});
addEventListener("offline", () => banner("offline", "You are offline. What you do is kept in this browser."));
addEventListener("online", () => banner("offline"));

const root = document.getElementById("work");
if (root) {
  begin(root);
  history.replaceState(null, "", `/work/${work.task.task}?${query()}`);
  if (!navigator.onLine) banner("offline", "You are offline. What you do is kept in this browser.");
  box.begin(root.dataset.me);
}
