// A text to write: counted, shown as others will see it, and open about what was pasted.

import { page } from "./net.js";
import { chosen } from "./fields.js";

const PASTES = new Set(["insertFromPaste", "insertFromDrop", "insertFromYank"]);

export function write(work) {
  const { form, task } = work;
  const text = form.querySelector("[data-counted]");
  const pasted = form.elements.pasted;
  const view = form.querySelector("#preview");
  const button = form.querySelector("[data-do=preview]");
  const words = (some) => some.match(/\S+/gu)?.length ?? 0;

  form.addEventListener("beforeinput", (event) => {
    if (!PASTES.has(event.inputType)) return;
    const what = event.data ?? event.dataTransfer?.getData("text/plain") ?? "";
    pasted.value = Number(pasted.value) + what.length;
  });

  async function preview() {
    const shown = !view.hidden;
    button.setAttribute("aria-expanded", !shown);
    button.textContent = shown ? "Preview" : "Close the preview";
    view.hidden = shown;
    if (!shown) await render();
  }

  async function render() {
    const wanted = text.value;
    try {
      const made = await page(`/work/${task.task}/preview`, { text: wanted });
      const body = document.importNode(made.getElementById("preview"), true);
      if (text.value === wanted) view.replaceChildren(...body.childNodes);
    } catch {
      view.replaceChildren("The preview needs a connection.");
    }
  }

  let soon;
  function sources() {
    const kind = chosen(form, "source");
    if (task.kind !== "prompt") return;
    for (const part of form.querySelectorAll("[data-source]")) {
      const fits = part.dataset.source.split(" ").some((one) => JSON.stringify(one) === (kind ?? '"plain"'));
      part.hidden = !fits;
      if (part.tagName === "FIELDSET") part.disabled = !fits;
    }
    const rows = [...form.querySelectorAll("[data-example]")];
    const used = rows.findLastIndex((row) => [...row.querySelectorAll("textarea")].some((one) => one.value));
    rows.forEach((row, n) => (row.hidden = n > Math.max(1, used + 1))); // two, and one more than there are
  }

  for (const one of form.querySelectorAll("[data-required]")) one.required = true;
  button.hidden = false;

  return {
    draw() {
      sources();
      form.querySelector(".count").textContent = `${words(text.value)} words`;
      text.setCustomValidity(text.value.length > 64e3 ? "At most 64,000 characters" : "");
      const many = Number(pasted.value);
      form.querySelector(".pasted").textContent = many ? `${many} characters pasted` : "";
      clearTimeout(soon);
      if (!view.hidden) soon = setTimeout(render, 600);
    },
    begin: () => (chosen(form, "source") ? text : (form.querySelector("[name=source]") ?? text)).focus({ preventScroll: true }),
    key: () => false,
    do: { preview },
    onward: () => false,
    reveal: (one) => one.focus(),
  };
}
