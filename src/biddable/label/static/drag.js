// Drag a letter, of a card or of the ladder, onto a rung of the ladder: with a mouse, a pen or a finger.

const FAR = 6; // pixels; less is a click

export function drag(form, ladder, place, say) {
  form.addEventListener("pointerdown", (event) => {
    const grip = event.target.closest(".letter, .chip");
    if (!grip || event.button !== 0 || form.dataset.step !== "rank") return;
    const letter = grip.dataset.letter ?? grip.closest(".card").dataset.letter;
    const from = [event.clientX, event.clientY];
    let ghost = null;
    let over = null;

    const move = (moved) => {
      if (!ghost && Math.hypot(moved.clientX - from[0], moved.clientY - from[1]) < FAR) return;
      if (!ghost) {
        ghost = Object.assign(document.createElement("span"), { className: "ghost", textContent: letter });
        document.body.append(ghost);
        say(`${letter} is lifted`);
      }
      ghost.style.translate = `${moved.clientX}px ${moved.clientY}px`;
      const rung = document.elementFromPoint(moved.clientX, moved.clientY)?.closest(".ladder li[data-rank]");
      if (rung === over) return;
      over?.classList.remove("over");
      over = Number(rung?.dataset.rank) > 0 ? rung : null;
      over?.classList.add("over");
      if (over) say(`Rank ${over.dataset.rank}`);
    };
    const end = (ended) => {
      for (const [what, then] of listens) removeEventListener(what, then);
      if (!ghost) return;
      ghost.remove();
      over?.classList.remove("over");
      if (over && ended.type === "pointerup") place(letter, Number(over.dataset.rank));
      else say(`${letter} stays where it was`);
      addEventListener("click", swallow, { capture: true, once: true }); // of the chip, after a drag
      setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
    };
    const escape = (pressed) => pressed.key === "Escape" && end(pressed);
    const listens = [["pointermove", move], ["pointerup", end], ["pointercancel", end], ["keydown", escape]];
    for (const [what, then] of listens) addEventListener(what, then);
  });
}

const swallow = (event) => {
  event.preventDefault();
  event.stopPropagation();
};
