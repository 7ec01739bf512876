// Answers on cards: judged one by one, then ranked on a board (rank, toxicity), or only judged (judge).

import { Board } from "./board.js";
import { Questions } from "./questions.js";
import { button, make } from "./make.js";

export const cards = (work) => new Cards(work);

class Cards {
  constructor(work) {
    const { form, task } = work;
    this.work = work;
    this.cards = [...form.querySelectorAll(".card")];
    const letters = this.cards.map((card) => card.dataset.letter);
    const judged = task.kind === "toxicity" || task.judge;
    this.questions = new Map(judged ? this.cards.map((card) => [card.dataset.letter, new Questions(work, card)]) : []);
    this.board = task.kind === "judge" ? null : new Board(work, this.cards);
    this.steps = [...(judged ? letters : []), ...(this.board ? ["rank"] : [])];
    this.step = this.steps[0];
    this.do = this.board ? { diff: () => this.board.differ(), expand: () => expand(form) } : {};
  }

  get at() {
    return this.step === "rank" ? this.board : this.questions.get(this.step);
  }

  get nextStep() {
    return this.steps[this.steps.indexOf(this.step) + 1];
  }

  done(step) {
    return step === "rank" ? this.board.done : this.questions.get(step).done;
  }

  begin() {
    this.show(this.steps.find((one) => !this.done(one)) ?? this.steps.at(-1));
    this.work.form.scrollIntoView({ block: "start" }); // the prompt first
  }

  key(key) {
    return this.at.key(key);
  }

  draw() {
    for (const one of this.questions.values()) one.draw();
    this.board?.draw();
    const nav = this.work.form.querySelector(".steps");
    if (!nav) return;
    nav.hidden = this.steps.length < 2;
    nav.replaceChildren(...this.steps.map((one) => this.tab(one)));
  }

  tab(step) {
    const made = button(step === "rank" ? "Rank all" : step, () => this.show(step), step === this.step ? { "aria-current": "step" } : {});
    if (this.done(step)) made.append(make("span", { class: "tick", "aria-hidden": "true" }, " ✓"), make("span", { class: "sr" }, " done"));
    return made;
  }

  // Turn to a step; `quiet` leaves the focus to whoever asks.
  show(step, quiet = false) {
    const { form, say } = this.work;
    const ranking = step === "rank";
    this.step = step;
    form.dataset.step = ranking ? "rank" : "judge";
    for (const card of this.cards) {
      card.hidden = !ranking && card.dataset.letter !== step;
      for (const [part, shown] of [[".questions", !ranking], [".ranks", ranking]]) card.querySelector(part)?.toggleAttribute("hidden", !shown);
    }
    form.querySelector(".over")?.toggleAttribute("hidden", !ranking);
    const { nextStep } = this;
    form.querySelector("[data-do=submit]").textContent = !nextStep ? "Hand in" : nextStep === "rank" ? "Next: rank them" : `Next: ${nextStep}`;
    this.draw();
    if (quiet) return;
    form.querySelector(".sheet").scrollIntoView({ block: "start" });
    if (ranking) this.board.focusOpen();
    else this.at.ask(this.at.firstOpen);
    say(ranking ? "Rank the answers, 1 is best." : `Answer ${step}`);
  }

  // Whether this was not the end: something is missing here, or there is a step to go to.
  onward() {
    const { nextStep } = this;
    const missing = this.step === "rank" ? null : this.at.firstOpen;
    if (missing) {
      this.at.ask(missing);
      this.work.lacks(missing.querySelector("input"));
    } else if (nextStep) this.show(nextStep);
    return Boolean(missing || nextStep);
  }

  // Bring what is missing before the eyes.
  reveal(one) {
    const letter = one.closest(".card")?.dataset.letter;
    const step = one.name.startsWith("rank.") ? "rank" : (letter ?? this.steps[0]);
    if (step !== this.step) this.show(step, true);
    if (step === "rank") this.board.focus(this.board.letters.indexOf(letter));
    else this.at.ask(one.closest("fieldset"));
  }
}

// Whole texts instead of panes that scroll.
export function expand(form) {
  const whole = form.classList.toggle("whole");
  form.querySelector("[data-do=expand]").setAttribute("aria-pressed", whole);
}
