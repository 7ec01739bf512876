// The ranking board: every card gets its rank by an act, and equals may share one.

import { choose, chosen } from "./fields.js";
import { compare } from "./diff.js";
import { drag } from "./drag.js";
import { make } from "./make.js";

const plain = (text) => text.normalize("NFKC").replace(/\s+/g, " ").trim();
const list = (letters) => letters.join(", ").replace(/, ([^,]*)$/, " and $1");

export class Board {
  constructor(work, cards) {
    this.work = work;
    this.cards = cards;
    this.letters = cards.map((card) => card.dataset.letter);
    this.at = 0;
    this.ladder = work.form.querySelector(".ladder");
    const texts = work.task.answers.map((one) => plain(one.text));
    this.twins = new Map(this.letters.map((one, n) => [one, this.letters.filter((_, m) => texts[m] === texts[n])]));
    drag(work.form, this.ladder, (letter, to) => this.place(letter, to), work.say);
    for (const [n, card] of cards.entries()) {
      const letter = this.letters[n];
      card.addEventListener("focusin", () => this.mark(n));
      card.querySelector(".ranks").addEventListener("change", () => this.place(letter, this.rank(letter)));
    }
  }

  get shown() {
    return this.work.form.dataset.step === "rank";
  }

  // Ranks, from 1, the best; 0 is none yet.

  rank(letter) {
    return Number(chosen(this.work.form, `rank.${letter}`) ?? 0);
  }

  put(letter, rank) {
    for (const one of this.twins.get(letter)) choose(this.work.form, `rank.${one}`, rank);
  }

  place(letter, rank) {
    if (rank < 1 || rank > this.letters.length) return false;
    this.put(letter, rank);
    this.work.changed();
    this.tell(letter);
    return true;
  }

  tell(letter) {
    const rank = this.rank(letter);
    const equals = this.letters.filter((one) => one !== letter && this.rank(one) === rank);
    this.work.say(`${letter}, rank ${rank} of ${this.letters.length}${equals.length ? `, tied with ${list(equals)}` : ""}`);
  }

  get done() {
    return this.letters.every((one) => this.rank(one));
  }

  step(letter, by) {
    const none = by > 0 ? this.letters.length : 1;
    this.place(letter, this.rank(letter) ? this.rank(letter) + by : none);
  }

  tie(letter) {
    const before = this.letters[this.letters.indexOf(letter) - 1];
    if (before && this.rank(before)) this.place(letter, this.rank(before));
    else this.work.say(before ? `${before} has no rank yet` : "No answer stands before this one");
  }

  // It goes just below its former equals. Those below make room down to the next empty rank; where there is none, the
  // equals go up.
  split(letter) {
    const rank = this.rank(letter);
    const others = this.letters.filter((one) => this.rank(one) === rank && !this.twins.get(letter).includes(one));
    if (!rank || !others.length) return this.work.say(`${letter} is tied with nothing`);
    const taken = new Set(this.letters.map((one) => this.rank(one)));
    let empty = rank + 1;
    while (taken.has(empty)) empty++;
    const room = empty <= this.letters.length;
    const moved = room ? this.letters.filter((one) => this.rank(one) > rank && this.rank(one) < empty) : others;
    const to = new Map(moved.map((one) => [one, this.rank(one) + (room ? 1 : -1)]));
    for (const [one, there] of to) choose(this.work.form, `rank.${one}`, there);
    this.place(letter, room ? rank + 1 : rank);
  }

  // What is seen.

  draw() {
    for (const card of this.cards) {
      const letter = card.dataset.letter;
      const hint = card.querySelector(".hint");
      hint.textContent = this.shown ? this.hint(letter) : "";
      hint.hidden = !hint.textContent;
      card.classList.toggle("ranked", this.rank(letter) > 0);
    }
    this.ladder.hidden = !this.shown;
    const rungs = this.letters.map((_, n) => this.rung(n + 1));
    this.ladder.querySelector("ol").replaceChildren(...rungs, ...(this.done ? [] : [this.rung(0)]));
  }

  rung(rank) {
    const here = this.letters.filter((one) => this.rank(one) === rank);
    return make("li", { "data-rank": rank }, make("span", { class: "rung" }, rank || "to rank"), ...here.map((one) => this.chip(one)));
  }

  chip(letter) {
    const chip = make("button", { type: "button", class: "chip", "data-letter": letter, "aria-label": `Go to ${letter}` }, letter);
    chip.onclick = () => this.focus(this.letters.indexOf(letter));
    return chip;
  }

  hint(letter) {
    const twins = this.twins.get(letter).filter((one) => one !== letter);
    if (twins.length) return `Same text as ${list(twins)}: ranked together.`;
    const overall = (one) => Number(chosen(this.work.form, `judgements.${one}.overall`) ?? 0);
    const rank = this.rank(letter);
    const odd = this.letters.find((one) => rank && rank < this.rank(one) && overall(letter) < overall(one));
    if (!odd) return "";
    return `You rate ${odd} higher (${overall(odd)}, and ${letter} ${overall(letter)}), and rank ${letter} above it. Is that so?`;
  }

  mark(n) {
    this.at = n;
    for (const [m, card] of this.cards.entries()) card.classList.toggle("now", m === n && this.shown);
  }

  focus(n) {
    const card = this.cards[(n + this.cards.length) % this.cards.length];
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  focusOpen(from = 0) {
    const all = this.letters.map((_, n) => (from + n) % this.letters.length);
    this.focus(all.find((n) => !this.rank(this.letters[n])) ?? this.at);
  }

  differ() {
    const next = this.letters[(this.at + 1) % this.letters.length];
    compare(this.work.root.querySelector("#diff"), this.work.task.answers, this.letters[this.at], next);
  }

  key(key) {
    const letter = this.letters[this.at];
    if (/^[1-9]$/.test(key)) {
      if (this.place(letter, Number(key))) this.focusOpen(this.at + 1);
      return true;
    }
    const acts = {
      next: () => this.focus(this.at + 1),
      previous: () => this.focus(this.at - 1),
      worse: () => this.step(letter, 1),
      better: () => this.step(letter, -1),
      tie: () => this.tie(letter),
      split: () => this.split(letter),
    };
    acts[key]?.();
    return key in acts;
  }
}
