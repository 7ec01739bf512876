// What differs between two texts, word by word: the shortest edit of Myers (1986), in linear space (his section 4b). Of
// texts that are long and unlike it is not the shortest: a search stops after some edits, fewer the longer the texts are,
// and goes on from where it came furthest, so that the time is bounded.

import { make } from "./make.js";

const furthest = (words) => Math.max(100, Math.ceil(3_600_000 / words)); // edits of one search

const words = (text) => text.match(/\s*[\p{L}\p{N}\p{M}'’]+|\s*[^\p{L}\p{N}\p{M}\s]|\s+$/gu) ?? [];

// Pieces [which, text]: which is "same", "gone" (only in the first) or "new" (only in the second).
export function diff(first, second) {
  const [a, b] = [words(first), words(second)];
  const names = new Map();
  const number = (word) => names.get(word.trim()) ?? names.set(word.trim(), names.size).get(word.trim());
  const [x, y] = [a.map(number), b.map(number)];
  const pieces = [];
  const tell = (which, text) => {
    const last = pieces.at(-1);
    if (last?.[0] === which) last[1] += text;
    else pieces.push([which, text]);
  };
  walk(x, 0, x.length, y, 0, y.length, (which, i) => tell(which, which === "gone" ? a[i] : b[i]));
  return pieces;
}

function walk(x, i, n, y, j, m, tell) {
  while (i < n && j < m && x[i] === y[j]) {
    tell("same", j++);
    i++;
  }
  let tail = 0;
  while (n > i && m > j && x[n - 1] === y[m - 1]) {
    n--;
    m--;
    tail++;
  }
  if (i === n) for (let at = j; at < m; at++) tell("new", at);
  else if (j === m) for (let at = i; at < n; at++) tell("gone", at);
  else {
    const [p, q] = middle(x, i, n, y, j, m);
    walk(x, i, p, y, j, q, tell);
    walk(x, p, n, y, q, m, tell);
  }
  for (let at = 0; at < tail; at++) tell("same", m + at);
}

// A point on a shortest path, where the searches from both ends meet. Neither text is empty, and they differ at both
// ends, so that it is never a corner at which nothing would get shorter.
function middle(x, i, n, y, j, m) {
  const [N, M] = [n - i, m - j];
  const delta = N - M;
  const most = furthest(x.length + y.length);
  const size = Math.min(N + M, most) + 1;
  const ahead = new Int32Array(2 * size + 1);
  const back = new Int32Array(2 * size + 1);
  for (let d = 0; ; d++) {
    let best = -1;
    let far;
    for (let k = -d; k <= d; k += 2) {
      let u = reached(ahead, size + k, k, d);
      while (u < N && u - k < M && x[i + u] === y[j + u - k]) u++;
      ahead[size + k] = u;
      const other = delta - k;
      if (delta % 2 !== 0 && Math.abs(other) <= d - 1 && u + back[size + other] >= N) return [i + u, j + u - k];
      if (u > N || u - k > M || 2 * u - k <= best) continue;
      best = 2 * u - k;
      far = [i + u, j + u - k];
    }
    if (d === most) return far;
    for (let k = -d; k <= d; k += 2) {
      let u = reached(back, size + k, k, d);
      while (u < N && u - k < M && x[n - 1 - u] === y[m - 1 - (u - k)]) u++;
      back[size + k] = u;
      const other = delta - k;
      if (delta % 2 === 0 && Math.abs(other) <= d && u + ahead[size + other] >= N) return [n - u, m - (u - k)];
    }
  }
}

// How far one edit more leads on a diagonal, from the better of those beside it.
const reached = (line, at, k, d) => (k === -d || (k !== d && line[at - 1] < line[at + 1]) ? line[at + 1] : line[at - 1] + 1);

// The dialog: two texts beside each other, and steps from one difference to the next.
export function compare(dialog, answers, left, right) {
  const sides = [...dialog.querySelectorAll("select")];
  const panes = [...dialog.querySelectorAll(".panes > div")];
  const says = dialog.querySelector("[role=status]");
  let at = -1;
  for (const [n, side] of sides.entries()) {
    side.replaceChildren(...answers.map((one) => new Option(one.letter, one.letter)));
    side.value = [left, right][n];
    side.onchange = draw;
  }
  function draw() {
    const [first, second] = sides.map((side) => answers.find((one) => one.letter === side.value).text);
    const pieces = diff(first, second);
    panes[0].replaceChildren(...pieces.filter(([which]) => which !== "new").map(piece));
    panes[1].replaceChildren(...pieces.filter(([which]) => which !== "gone").map(piece));
    const changed = pieces.filter(([which]) => which !== "same").length;
    says.textContent = changed ? `${changed} pieces differ.` : "They say the same.";
    if (changed && pieces[0][0] === "same") for (const pane of panes) pane.firstChild.className = "dim";
    at = -1;
  }
  const marks = () => [...dialog.querySelectorAll("del, ins")];
  for (const button of dialog.querySelectorAll("[data-step]")) {
    button.onclick = () => {
      const all = marks();
      if (!all.length) return;
      all[at]?.classList.remove("here");
      at = (at + Number(button.dataset.step) + all.length) % all.length;
      all[at].classList.add("here");
      all[at].scrollIntoView({ block: "center" });
      says.textContent = `${at + 1} of ${all.length}`;
    };
  }
  draw();
  dialog.showModal();
}

const piece = ([which, text]) => make({ same: "span", gone: "del", new: "ins" }[which], {}, text);
