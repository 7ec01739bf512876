// Answers on cards: judged one by one, then ranked on a board (rank, toxicity), or only judged (judge).

import { choose, chosen } from "./fields.js";
import { compare } from "./diff.js";
import { drag } from "./drag.js";

const plain = (text) => text.normalize("NFKC").replace(/\s+/g, " ").trim();
const list = (letters) => letters.join(", ").replace(/, ([^,]*)$/, " and $1");

export function cards(work) {
  const { form, task, say, changed } = work;
  const all = [...form.querySelectorAll(".card")];
  const letters = all.map((card) => card.dataset.letter);
  const card = (letter) => all[letters.indexOf(letter)];
  const ranks = task.kind !== "judge";
  const judged = task.kind === "toxicity" || task.judge;
  const steps = [...(judged ? letters : []), ...(ranks ? ["rank"] : [])];
  const texts = new Map(task.answers.map((one) => [one.letter, plain(one.text)]));
  const twins = new Map(letters.map((one) => [one, letters.filter((other) => texts.get(other) === texts.get(one))]));
  const rank = (letter) => Number(chosen(form, `rank.${letter}`) ?? 0);
  const ladder = form.querySelector(".ladder");
  let step = steps[0];
  let at = 0;

  // Where each stands, and what follows from it.

  function place(letter, to) {
    if (to < 1 || to > letters.length) return false;
    for (const one of twins.get(letter)) choose(form, `rank.${one}`, to);
    tell(letter);
    changed();
    return true;
  }

  function tell(letter) {
    const with_ = letters.filter((one) => one !== letter && rank(one) === rank(letter));
    say(`${letter}, rank ${rank(letter)} of ${letters.length}${with_.length ? `, tied with ${list(with_)}` : ""}`);
  }

  function hint(letter) {
    const twin = twins.get(letter).filter((one) => one !== letter);
    if (twin.length && step === "rank") return `Same text as ${list(twin)}: ranked together.`;
    const overall = (one) => Number(chosen(form, `judgements.${one}.overall`) ?? 0);
    const odd = letters.find((o) => rank(o) && rank(letter) && rank(letter) < rank(o) && overall(letter) < overall(o));
    return odd && step === "rank"
      ? `You rate ${odd} higher (${overall(odd)}, and ${letter} ${overall(letter)}), and rank ${letter} above it. Is that so?`
      : "";
  }

  function draw() {
    const constraint = chosen(form, "_constraint") === "true";
    for (const one of all) {
      const note = one.querySelector(".hint");
      note.textContent = hint(one.dataset.letter);
      note.hidden = !note.textContent;
      one.classList.toggle("ranked", rank(one.dataset.letter) > 0);
      const asked = one.querySelector("[data-question=satisfies_constraint]");
      if (asked) asked.hidden = asked.querySelector("fieldset").disabled = !constraint;
    }
    if (!ladder) return;
    const rungs = letters.map((_, n) => rung(n + 1, letters.filter((one) => rank(one) === n + 1)));
    const rest = letters.filter((one) => !rank(one));
    ladder.querySelector("ol").replaceChildren(...rungs, ...(rest.length ? [rung(0, rest)] : []));
    drawSteps();
  }

  function rung(n, some) {
    const made = document.createElement("li");
    const label = document.createElement("span");
    made.dataset.rank = n;
    label.className = "rung";
    label.textContent = n || "to rank";
    made.append(label, ...some.map(chip));
    return made;
  }

  function chip(letter) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "chip";
    made.dataset.letter = letter;
    made.textContent = letter;
    made.setAttribute("aria-label", `Go to ${letter}`);
    made.onclick = () => focus(letters.indexOf(letter));
    return made;
  }

  // Steps.

  const questions = () =>
    [...form.querySelectorAll(".prompt fieldset"), ...(card(step)?.querySelectorAll(".questions fieldset") ?? [])].filter(
      (one) => !one.disabled,
    );
  const open = (box) => !box.querySelector("input:checked");
  const done = (one) =>
    one === "rank"
      ? letters.every(rank)
      : ![...card(one).querySelectorAll(".questions fieldset:not(:disabled)")].some(open);

  function drawSteps() {
    const nav = form.querySelector(".steps");
    nav.hidden = steps.length < 2;
    nav.replaceChildren(
      ...steps.map((one) => {
        const made = document.createElement("button");
        made.type = "button";
        made.textContent = one === "rank" ? "Rank all" : one;
        if (done(one)) made.append(Object.assign(document.createElement("span"), { className: "tick", textContent: " ✓" }));
        if (done(one)) made.append(Object.assign(document.createElement("span"), { className: "sr", textContent: " done" }));
        if (one === step) made.setAttribute("aria-current", "step");
        made.onclick = () => show(one);
        return made;
      }),
    );
  }

  function show(which, quiet = false) {
    step = which;
    form.dataset.step = step === "rank" ? "rank" : "judge";
    const rankingNow = step === "rank";
    for (const one of all) {
      one.hidden = !rankingNow && one.dataset.letter !== step;
      const asked = one.querySelector(".questions");
      if (asked) asked.hidden = rankingNow;
      const ranking = one.querySelector(".ranks");
      if (ranking) ranking.hidden = !rankingNow;
    }
    if (ladder) ladder.hidden = !rankingNow;
    const over = form.querySelector(".over");
    if (over) over.hidden = !rankingNow;
    const more = steps[steps.indexOf(step) + 1];
    form.querySelector("[data-do=submit]").textContent = more ? (more === "rank" ? "Next: rank them" : `Next: ${more}`) : "Hand in";
    at = rankingNow ? Math.max(0, letters.findIndex((one) => !rank(one))) : 0;
    draw();
    if (quiet) return;
    form.scrollIntoView({ block: "start" });
    if (rankingNow) focus(at);
    else ask(questions().find(open));
    say(rankingNow ? "Rank the answers, 1 is best." : `Answer ${step}`);
  }

  function focus(n) {
    at = (n + all.length) % all.length;
    for (const [i, one] of all.entries()) one.classList.toggle("now", i === at);
    all[at].focus({ preventScroll: true });
    all[at].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function mark(box) {
    for (const one of form.querySelectorAll("fieldset.now")) one.classList.remove("now");
    box?.classList.add("now");
  }

  // Nothing is asked any more: the answer itself has the focus, and Enter goes on.
  function ask(box) {
    mark(box);
    if (!box) return card(step)?.focus({ preventScroll: true });
    box.tabIndex = -1;
    box.focus({ preventScroll: true });
    box.scrollIntoView({ block: "nearest" });
  }

  // Keys.

  function onBoard(key) {
    const letter = letters[at];
    if (/^[1-9]$/.test(key)) {
      if (!place(letter, Number(key))) return true;
      const left = letters.map((_, n) => (at + 1 + n) % letters.length).find((n) => !rank(letters[n]));
      focus(left ?? at);
      return true;
    }
    const before = letters[at - 1];
    switch (key) {
      case "next": focus(at + 1); return true;
      case "previous": focus(at - 1); return true;
      case "worse": place(letter, rank(letter) ? rank(letter) + 1 : letters.length); return true;
      case "better": place(letter, rank(letter) ? rank(letter) - 1 : 1); return true;
      case "tie":
        if (before && rank(before)) place(letter, rank(before));
        else say(before ? `${before} has no rank yet` : "No answer stands before this one");
        return true;
      case "split": split(letter); return true;
      case "diff": differ(letter, letters[(at + 1) % letters.length]); return true;
      case "expand": expand(); return true;
    }
    return false;
  }

  // It takes the place just below its former equals; what stands there makes room, where there is room.
  function split(letter) {
    const mine = rank(letter);
    const same = twins.get(letter);
    if (!mine || !letters.some((one) => rank(one) === mine && !same.includes(one))) return say(`${letter} is tied with nothing`);
    const below = [...new Set(letters.map(rank))].filter((one) => one > mine).sort((a, b) => a - b);
    let gap = mine + 1;
    while (below.includes(gap)) gap++;
    if (gap <= letters.length) {
      const moved = letters.filter((one) => rank(one) > mine && rank(one) < gap);
      const to = new Map(moved.map((one) => [one, rank(one) + 1]));
      for (const [one, n] of to) choose(form, `rank.${one}`, n);
      return place(letter, mine + 1);
    }
    for (const one of letters.filter((one) => rank(one) === mine && !same.includes(one))) choose(form, `rank.${one}`, mine - 1);
    changed();
    tell(letter);
  }

  function onQuestions(key) {
    const boxes = questions();
    const now = boxes.findIndex((box) => box.classList.contains("now"));
    const go = (n) => ask(boxes[Math.min(Math.max(n, 0), boxes.length - 1)]);
    const onward = () => ask(questions().slice(Math.max(now, 0)).find(open) ?? questions().find(open));
    const set = (box, value) => {
      const name = box?.querySelector("input").name;
      if (!name || !choose(form, name, value)) return false;
      changed();
      onward();
      return true;
    };
    if (/^[-+0-9]$/.test(key)) {
      const value = { "-": "-1", "+": "1" }[key] ?? key;
      const scale = boxes[now]?.matches(".scale") ? boxes[now] : card(step)?.querySelector(".scale");
      set(scale, value);
      return true;
    }
    switch (key) {
      case "next": go(now + 1); return true;
      case "previous": go(now - 1); return true;
      case "yes": if (boxes[now]?.matches(".yesno")) set(boxes[now], "true"); return true;
      case "rest": rest(); return true;
      case "constraint": {
        if (!form.querySelector("[name=_constraint]")) return true;
        const to = chosen(form, "_constraint") === "true" ? "false" : "true";
        choose(form, "_constraint", to);
        changed();
        say(to === "true" ? "The prompt states a constraint" : "The prompt states no constraint");
        return true;
      }
    }
    return false;
  }

  // Of what is still open. That a constraint is kept is good, so its "no" is nothing to be said by the way.
  function rest() {
    const where = step === "rank" ? form : card(step);
    for (const box of where.querySelectorAll(".questions .yesno")) {
      const name = box.querySelector("input").name;
      if (open(box) && !name.endsWith("satisfies_constraint")) choose(form, name, "false");
    }
    if (form.querySelector("[name=_constraint]") && !chosen(form, "_constraint")) choose(form, "_constraint", "false");
    changed();
    say("The rest: no");
    ask(questions().find(open));
  }

  // Texts.

  const differ = (left, right) => compare(work.root.querySelector("#diff"), task.answers, left, right);

  function expand() {
    const button = form.querySelector("[data-do=expand]");
    const whole = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", whole);
    form.classList.toggle("whole", whole);
  }

  if (ladder) drag(form, ladder, (letter, to) => place(letter, to), say);
  for (const button of form.querySelectorAll("[data-do=rest]")) {
    button.hidden = false;
    button.onclick = rest;
  }
  for (const one of all) {
    one.addEventListener("focusin", (event) => {
      if (step !== "rank") mark(event.target.closest("fieldset"));
      at = all.indexOf(one);
      for (const [i, other] of all.entries()) other.classList.toggle("now", i === at && step === "rank");
    });
    one.querySelector(".ranks")?.addEventListener("change", () => place(one.dataset.letter, rank(one.dataset.letter)));
  }

  return {
    draw,
    begin: () => show(steps.find((one) => !done(one)) ?? steps.at(-1)),
    key: (key) => (step === "rank" ? onBoard(key) : onQuestions(key)),
    do: { diff: () => differ(letters[at], letters[(at + 1) % letters.length]), expand },
    // Whether there was a step to go to, or something is missing here.
    onward() {
      const here = step === "rank" ? [] : questions().filter(open);
      const more = steps[steps.indexOf(step) + 1];
      if (here.length) {
        ask(here[0]);
        work.lacks(here[0].querySelector("input"));
        return true;
      }
      if (more) show(more);
      return Boolean(more);
    },
    // Bring what is missing before the eyes.
    reveal(one) {
      const of = one.closest(".card")?.dataset.letter;
      const ranking = one.name.startsWith("rank.");
      const wanted = ranking ? "rank" : judged ? (of ?? letters[0]) : steps[0];
      if (step !== wanted) show(wanted, true);
      if (ranking) focus(letters.indexOf(of));
      else ask(one.closest("fieldset"));
    },
  };
}
