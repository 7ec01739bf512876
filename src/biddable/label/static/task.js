// One task on the page: its fields, their undoing and their draft, and handing it in. What each kind of work asks is in
// cards.js, compare.js and write.js.

import * as fields from "./fields.js";
import * as clock from "./clock.js";
import { cards } from "./cards.js";
import { compare } from "./compare.js";
import { Draft } from "./draft.js";
import { help, wish } from "./keys.js";
import { call, why } from "./net.js";
import { banner, takeBack } from "./notices.js";
import { write } from "./write.js";

const KINDS = { rank: cards, judge: cards, toxicity: cards, compare, write, prompt: write };
const TYPING = 1000; // milliseconds of typing that are undone at once
const UNDONE = 200;

export class Task {
  // `ways` lead on: ready() fetches the next task, leave(next) goes to it, handIn(answer, next) does both.
  constructor(root, lay, ways) {
    this.root = root;
    this.ways = ways;
    this.task = { ...JSON.parse(root.dataset.task), lay };
    this.form = root.querySelector("#form");
    this.undone = [];
    this.last = "";
    this.typed = 0;
    this.next = null;
    this.sent = null; // the key and the body that were handed in, so that twice is once
    this.busy = false;
    this.changed = this.changed.bind(this);
    this.say = (text) => (root.querySelector("#say").textContent = text);
    this.draft = new Draft(this, {
      shown: (text) => (root.querySelector("#saved").textContent = text),
      conflict: (theirs, ours) =>
        banner("conflict", "This task was changed in another window.", ["Take that version", theirs], ["Keep this one", ours]),
    });
    this.kind = KINDS[this.task.kind](this);
    this.acts = {
      undo: () => this.undo(),
      guidelines: () => this.guidelines(),
      together: () => this.together(),
      help: () => help(root.querySelector("#keys")),
      skip: () => this.leave("skip"),
      flag: () => this.leave("flag"),
      ...this.kind.do,
    };
    this.listen();
    this.hold();
  }

  async start() {
    this.last = this.now();
    this.kind.draw();
    await this.draft.start();
    this.undone.length = 0;
    this.settle();
    this.kind.begin();
    this.root.dataset.ready = "true";
  }

  listen() {
    const { form, root } = this;
    form.noValidate = true;
    form.addEventListener("submit", (event) => (event.preventDefault(), this.submit()));
    form.addEventListener("change", () => this.changed());
    form.addEventListener("input", (event) => event.target.matches("textarea") && this.changed(true));
    for (const what of ["pointerenter", "focus"]) form.querySelector("[data-do=submit]").addEventListener(what, () => this.prefetch());
    for (const one of root.querySelectorAll("[data-do]")) {
      const act = this.acts[one.dataset.do];
      if (!act) continue;
      one.hidden = one.dataset.do === "undo";
      one.addEventListener("click", (event) => (event.preventDefault(), this.still || act()));
    }
    for (const one of root.querySelectorAll("[data-close]")) {
      one.addEventListener("click", (event) => (event.preventDefault(), one.closest("dialog").close()));
    }
    together(form);
    const room = matchMedia("(width >= 60rem)").matches; // elsewhere they lie over the work
    if (room && localStorage.getItem("guidelines")) root.querySelector("#guidelines")?.removeAttribute("hidden");
  }

  hold() {
    const guided = (number) => banner("guided", `The guidelines have changed: version ${number} holds from your next task on.`);
    clock.hold(this.task, this.root.querySelector("#lease"), (over) => banner("lost", over), guided);
    banner("lost", this.task.over);
  }

  // Nothing is to be done here now: it is on its way, or waits for the connection.
  get still() {
    return this.busy || this.form.querySelector(".sheet").inert;
  }

  key(event) {
    const wanted = this.still ? null : wish(event);
    if (wanted === null) return;
    const done = this.kind.key(wanted);
    if (!done && wanted === "submit") this.submit();
    else if (!done && !this.acts[wanted]) return;
    else if (!done) this.acts[wanted]();
    event.preventDefault();
  }

  // Fields.

  now() {
    return JSON.stringify(fields.read(this.form));
  }

  changed(typing = false) {
    const now = this.now();
    if (now === this.last) return;
    if (!typing || Date.now() - this.typed > TYPING) this.undone.push(this.last);
    if (this.undone.length > UNDONE) this.undone.shift();
    this.typed = typing ? Date.now() : 0;
    banner("lacks");
    this.settle();
    this.draft.changed(now);
  }

  settle() {
    this.last = this.now();
    this.kind.draw();
    this.root.querySelector("[data-do=undo]").hidden = !this.undone.length;
    if (!("text" in this.form.elements)) this.prefetch();
  }

  // Show what a draft says.
  take(body) {
    fields.fill(this.form, JSON.parse(body));
    this.undone.length = 0;
    this.settle();
  }

  undo() {
    if (!this.undone.length) return takeBack();
    const before = this.undone.pop();
    fields.fill(this.form, JSON.parse(before));
    this.settle();
    this.draft.changed(before);
    this.say("Undone");
  }

  // Handing in.

  // Everything is answered: have the next task lie ready. A text is never known to be at its end, so there it is the
  // way to the button that tells.
  prefetch() {
    const { lease, changeable, task } = this.task;
    if (this.next || !lease || changeable !== null || fields.missing(this.form)) return;
    this.next = this.ways.ready(task);
  }

  lacks(one) {
    const card = one.closest(".card")?.dataset.letter;
    const what = one.name.startsWith("rank.") ? `${card} has no rank yet.` : `Still to answer${card ? ` in ${card}` : ""}: ${fields.about(one)}`;
    banner("lacks", what);
    this.say(what);
  }

  async submit() {
    if (this.still) return;
    banner("lacks");
    if (this.kind.onward()) return;
    const open = fields.missing(this.form);
    if (open) {
      this.kind.reveal(open);
      return this.lacks(open);
    }
    const body = JSON.stringify(fields.answer(this.form));
    if (this.sent?.body !== body) this.sent = { key: crypto.randomUUID(), body };
    const { task, guidelines: read } = this.task;
    await this.alone(async () => {
      this.draft.push();
      await this.ways.handIn({ ...this.sent, task, guidelines: read?.id ?? null, active: clock.taken() }, this);
    });
  }

  // Something that may end with another task: never two at once.
  async alone(act) {
    this.busy = true;
    this.form.setAttribute("aria-busy", "true");
    try {
      await act();
    } finally {
      this.busy = false;
      this.form.removeAttribute("aria-busy");
    }
  }

  leave(what) {
    const dialog = this.root.querySelector(`#${what}`);
    dialog.showModal();
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close();
      this.alone(() => this.left(Object.fromEntries(new FormData(event.target))));
    };
  }

  async left(told) {
    try {
      await call("POST", `/api/tasks/${this.task.task}/leave`, told);
    } catch (error) {
      return banner("leave", why(error));
    }
    await this.ways.leave(this.next);
  }

  // What is beside the work.

  guidelines() {
    const beside = this.root.querySelector("#guidelines");
    if (!beside) return;
    beside.hidden = !beside.hidden;
    localStorage.setItem("guidelines", beside.hidden ? "" : "open");
    if (!beside.hidden) beside.focus();
  }

  together() {
    const one = this.form.querySelector("[data-do=together]");
    one.setAttribute("aria-pressed", one.getAttribute("aria-pressed") !== "true");
  }
}

// Panes of one height scroll as one, by share of their length.
function together(form) {
  const panes = [...form.querySelectorAll(".card .words")];
  const wanted = () => form.querySelector("[data-do=together]")?.getAttribute("aria-pressed") === "true";
  let leads = null;
  let rest;
  const follow = (pane) => {
    if (!wanted() || (leads && leads !== pane)) return;
    leads = pane;
    const share = pane.scrollTop / Math.max(1, pane.scrollHeight - pane.clientHeight);
    for (const other of panes) if (other !== pane) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    clearTimeout(rest);
    rest = setTimeout(() => (leads = null), 80);
  };
  for (const pane of panes) pane.addEventListener("scroll", () => follow(pane), { passive: true });
}
