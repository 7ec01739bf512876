// The questions about one answer (and about the prompt, once): a scale by its digits, yes by a key, the rest "no" by one.

import { choose, chosen } from "./fields.js";

const open = (box) => !box.querySelector("input:checked");
const name = (box) => box.querySelector("input").name;
const ASKED_IF = [["_constraint", "satisfies_constraint"], ["_closed", "hallucination"]];
const SIGNS = { "-": "-1", "+": "1" };

export class Questions {
  constructor(work, card) {
    this.work = work;
    this.card = card;
    card.addEventListener("focusin", (event) => card.querySelector(".questions:not([hidden])") && this.mark(event.target.closest("fieldset")));
    const rest = card.querySelector("[data-do=rest]");
    if (!rest) return;
    rest.hidden = false;
    rest.onclick = () => this.rest();
  }

  get own() {
    return [...this.card.querySelectorAll(".questions fieldset:not(:disabled)")];
  }

  get boxes() {
    return [...this.work.form.querySelectorAll(".prompt fieldset"), ...this.own];
  }

  get done() {
    return !this.own.some(open);
  }

  get firstOpen() {
    return this.boxes.find(open);
  }

  // Some things are asked only where the prompt is such.
  draw() {
    for (const [about, question] of ASKED_IF) {
      const asked = this.card.querySelector(`[data-question=${question}]`);
      if (!asked || !this.work.form.elements[about]) continue;
      asked.hidden = chosen(this.work.form, about) !== "true";
      asked.querySelector("fieldset").disabled = asked.hidden;
    }
  }

  mark(box) {
    for (const one of this.work.form.querySelectorAll("fieldset.now")) one.classList.remove("now");
    box?.classList.add("now");
  }

  // When nothing is asked any more, the answer itself has the focus, and Enter goes on.
  ask(box) {
    this.mark(box);
    if (!box) return this.card.focus({ preventScroll: true });
    box.tabIndex = -1;
    box.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  set(box, value) {
    if (!box || !choose(this.work.form, name(box), value)) return;
    const boxes = this.boxes;
    this.work.changed();
    this.ask(boxes.slice(boxes.indexOf(box)).find(open) ?? this.firstOpen);
  }

  // Of what is still open. Not that a constraint is kept: there, "no" is the fault.
  rest() {
    for (const box of this.boxes.filter((one) => one.matches(".yesno") && open(one))) {
      if (!name(box).endsWith("satisfies_constraint")) choose(this.work.form, name(box), "false");
    }
    this.work.changed();
    this.work.say("The rest: no");
    this.ask(this.firstOpen);
  }

  constraint() {
    const states = chosen(this.work.form, "_constraint") !== "true";
    if (!choose(this.work.form, "_constraint", states)) return;
    this.work.changed();
    this.work.say(`The prompt states a constraint: ${states ? "yes" : "no"}`);
  }

  key(key) {
    const boxes = this.boxes;
    const now = boxes.findIndex((box) => box.classList.contains("now"));
    if (/^[-+0-9]$/.test(key)) {
      this.set(boxes[now]?.matches(".scale") ? boxes[now] : this.card.querySelector(".scale"), SIGNS[key] ?? key);
      return true;
    }
    const acts = {
      next: () => this.ask(boxes[Math.min(now + 1, boxes.length - 1)]),
      previous: () => this.ask(boxes[Math.max(now - 1, 0)]),
      yes: () => boxes[now]?.matches(".yesno") && this.set(boxes[now], "true"),
      rest: () => this.rest(),
      constraint: () => this.constraint(),
    };
    acts[key]?.();
    return key in acts;
  }
}
