// Two answers beside each other: the first, the second, or neither.

import { choose, chosen } from "./fields.js";
import { compare as differ } from "./diff.js";
import { expand } from "./cards.js";

export function compare(work) {
  const { form, task, say, changed } = work;
  const [first, second] = task.answers.map((one) => one.letter);
  const picks = { 1: first, previous: first, 2: second, next: second, 0: null, tie: null };
  const acts = {
    diff: () => differ(work.root.querySelector("#diff"), task.answers, first, second),
    expand: () => expand(form),
  };
  form.querySelector(".over").hidden = false;

  return {
    draw() {
      for (const card of form.querySelectorAll(".card")) {
        card.classList.toggle("ranked", chosen(form, "better") === JSON.stringify(card.dataset.letter));
      }
    },
    begin: () => form.querySelector(".card").focus({ preventScroll: true }),
    key(key) {
      if (!(key in picks)) return false;
      choose(form, "better", JSON.stringify(picks[key]));
      changed();
      say(picks[key] === null ? "Neither is better" : `${picks[key]} is better`);
      return true;
    },
    do: acts,
    onward: () => false,
    reveal() {
      const asked = form.querySelector(".better");
      asked.tabIndex = -1; // the question itself: on a button of it, arrows would be the button's
      asked.focus();
    },
  };
}
