// What is the matter, each in a line with what can be done about it; and the last answer, which can be taken back.

import { button, make } from "./make.js";

const matters = new Map();

export function banner(name, text, ...does) {
  if (text) matters.set(name, [text, does]);
  else matters.delete(name);
  drawBanner();
}

export function drawBanner() {
  const where = document.getElementById("banner");
  if (!where) return;
  where.hidden = !matters.size;
  where.replaceChildren(...[...matters].map(([name, [text, does]]) => line(name, text, does)));
}

function line(name, text, does) {
  const made = make("p", {}, text);
  for (const [label, act] of does) made.append(" ", button(label, () => (banner(name), act())));
  return made;
}

// Another task, other matters; those of the connection stay.
const OF_A_TASK = ["lost", "lacks", "conflict", "guided", "leave", "next"];

export function forget() {
  for (const name of OF_A_TASK) matters.delete(name);
}

const toast = document.body.appendChild(make("div", { id: "toast", role: "status", hidden: "" }));
const AT_ONCE = 5000;
let former = null;
let fading;

// For five seconds one key takes it back; after them a button beside the others, for as long as the job allows.
export function handedIn(task, arrived, open) {
  clearTimeout(fading);
  const lasts = arrived ? task.revise * 1000 : 0;
  former = lasts ? { until: Date.now() + lasts, take: () => open(`/work/${task.task}`) } : null;
  toast.replaceChildren(arrived ? "Handed in. " : "Kept here until there is a connection. ", ...(former ? [back("Take it back")] : []));
  toast.hidden = false;
  fading = setTimeout(() => {
    toast.hidden = true;
    offer();
  }, AT_ONCE);
}

export const takeBack = () => !toast.hidden && toast.querySelector("button")?.click();

function back(label, attributes) {
  const { take } = former;
  return button(label, () => {
    toast.hidden = true;
    former = null;
    take();
  }, attributes);
}

export function offer() {
  document.querySelector(".former")?.remove();
  if (!former || !toast.hidden || former.until < Date.now()) return;
  const made = back("Change the last one", { class: "quiet former" });
  (document.querySelector(".hand") ?? document.getElementById("main")).append(made);
  setTimeout(() => made.remove(), former.until - Date.now());
}
