// Which key does what. Each can be another, and all can be off (WCAG 2.1.4).

import { button, make } from "./make.js";

const WORDS = {
  next: ["j", "Next answer or question"],
  previous: ["k", "The one before"],
  worse: ["J", "Rank it one lower"],
  better: ["K", "Rank it one higher"],
  tie: ["=", "Same rank as the answer before"],
  split: ["x", "Part from those of the same rank"],
  diff: ["d", "Word by word with the next answer"],
  expand: ["e", "Whole texts, or panes that scroll"],
  yes: ["y", "Yes"],
  rest: ["n", "All the rest: no"],
  constraint: ["c", "The prompt states a constraint: yes, no"],
  undo: ["z", "Undo; just after handing in: take it back"],
  skip: ["s", "Skip"],
  flag: ["f", "Flag"],
  guidelines: ["g", "Guidelines"],
  submit: ["Enter", "Hand in, or on to the next step"],
  help: ["?", "These keys"],
};

const ALSO = { ArrowDown: "next", ArrowRight: "next", ArrowUp: "previous", ArrowLeft: "previous" };

function kept() {
  try {
    return JSON.parse(localStorage.getItem("keys")) ?? {};
  } catch {
    return {};
  }
}

let { on = true, own = {} } = kept();
const keep = () => localStorage.setItem("keys", JSON.stringify({ on, own }));
const keyOf = (name) => own[name] ?? WORDS[name][0];
const shown = (key) => (/^[A-Z]$/.test(key) ? `Shift ${key}` : key === " " ? "Space" : key);

const typing = (target) => target.matches?.("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])");

// What a key press asks for: a name of WORDS, or a digit or sign as itself; nothing when it is not for us.
export function wish(event) {
  if (!on || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return null;
  const target = event.target;
  if (typing(target) || target.closest?.("dialog")) return null;
  const own = target.closest?.("a, button, summary, label");
  if (event.key === "Enter" && (own || target.type === "radio" || target.type === "checkbox")) return null;
  if (event.key in ALSO) return target.type === "radio" || target.matches?.(".words") ? null : ALSO[event.key]; // they scroll
  const name = Object.keys(WORDS).find((one) => keyOf(one) === event.key);
  return name ?? (/^[-+0-9]$/.test(event.key) ? event.key : null);
}

export function help(dialog) {
  const box = dialog.querySelector("#keys-on");
  const body = dialog.querySelector("tbody");
  const draw = () => body.replaceChildren(...Object.keys(WORDS).map((name) => line(name, draw)));
  box.checked = on;
  box.onchange = () => {
    on = box.checked;
    keep();
  };
  dialog.querySelector("[data-reset]").onclick = () => {
    own = {};
    keep();
    draw();
  };
  draw();
  dialog.showModal();
}

function line(name, draw) {
  const [now, what] = [shown(keyOf(name)), WORDS[name][1]];
  const ask = () => {
    key.textContent = "press a key";
    key.onkeydown = (event) => {
      if (["Tab", "Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key !== "Escape" && !/^[-+0-9]$/.test(event.key)) change(name, event.key);
      draw();
      document.querySelector(`[data-key="${name}"]`).focus();
    };
  };
  const key = button(now, ask, { "aria-label": `${what}: ${now}. Change`, "data-key": name });
  return make("tr", {}, make("th", { scope: "row" }, what), make("td", {}, key));
}

// Whoever had the key before gets the one that is free now.
function change(name, key) {
  const other = Object.keys(WORDS).find((one) => one !== name && keyOf(one) === key);
  if (other) own[other] = keyOf(name);
  own[name] = key;
  keep();
}
