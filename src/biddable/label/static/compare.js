// Two answers beside each other: the first, the second, or neither.

import { choose, chosen } from "./fields.js";
import { compare as differ } from "./diff.js";

export function compare(work) {
  const { form, task, say, changed } = work;
  const letters = task.answers.map((one) => one.letter);
  const pick = (better) => {
    choose(form, "better", JSON.stringify(better));
    changed();
    say(better === null ? "Neither is better" : `${better} is better`);
  };
  const open = () => differ(work.root.querySelector("#diff"), task.answers, ...letters);
  const expand = () => {
    const button = form.querySelector("[data-do=expand]");
    button.setAttribute("aria-pressed", form.classList.toggle("whole"));
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
      const better = { 1: letters[0], 2: letters[1], 0: null, previous: letters[0], next: letters[1], tie: null }[key];
      if (better !== undefined) pick(better);
      else if (key === "diff") open();
      else if (key === "expand") expand();
      else return false;
      return true;
    },
    do: { diff: open, expand },
    onward: () => false,
    reveal() {
      const asked = form.querySelector(".better");
      asked.tabIndex = -1; // the question itself: on a button of it, arrows would be the button's
      asked.focus();
    },
  };
}
