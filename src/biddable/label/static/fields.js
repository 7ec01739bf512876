// The fields of a form, and the answer that they are. `answer` does what forms.from_fields does on the server.

const WORDS = new Set(["text", "note", "about", "examples", "use_case"]);

const named = (form) => [...form.elements].filter((one) => one.name && one.name !== "_key" && one.name !== "_guidelines");
const ticks = (one) => one.type === "radio" || one.type === "checkbox";

// All fields, those too that are not asked now, so that nothing is lost by a change of mind.
export function read(form) {
  const fields = {};
  for (const one of named(form)) {
    if (ticks(one) ? one.checked : one.value !== one.defaultValue || one.value !== "") fields[one.name] = one.value;
  }
  return fields;
}

export function fill(form, fields) {
  for (const one of named(form)) {
    if (ticks(one)) one.checked = fields[one.name] === one.value;
    else one.value = fields[one.name] ?? (one.type === "hidden" ? one.defaultValue : "");
  }
}

export function answer(form) {
  const told = {};
  const ranks = {};
  for (const one of named(form)) {
    const [first, ...path] = one.name.split(".");
    if (first.startsWith("_") || one.matches(":disabled") || (ticks(one) && !one.checked)) continue;
    if (first === "use_case" && !one.value) continue;
    if (first === "rank") (ranks[one.value] ??= []).push(path.join("."));
    else set(told, [first, ...path], WORDS.has(first) ? one.value : JSON.parse(one.value));
  }
  if (told.examples) told.examples = Object.values(told.examples).filter((one) => one.query?.trim() || one.response?.trim());
  if (Object.keys(ranks).length) told.order = Object.keys(ranks).sort((a, b) => a - b).map((rank) => ranks[rank]);
  return told;
}

function set(told, path, value) {
  const last = path.pop();
  for (const part of path) told = told[part] ??= {};
  told[last] = value;
}

export const missing = (form) => [...form.elements].find((one) => one.willValidate && !one.validity.valid);

// What a control is about, in words.
export function about(one) {
  const legend = one.closest("fieldset")?.querySelector("legend")?.textContent;
  const label = one.labels?.[0]?.childNodes[0]?.textContent;
  return ((one.type === "radio" ? legend : label) ?? one.name).trim();
}

export function choose(form, name, value) {
  const one = [...form.querySelectorAll(`input[name="${name}"]`)].find((input) => input.value === String(value));
  if (!one || one.disabled) return false;
  one.checked = true;
  return true;
}

export const chosen = (form, name) => form.querySelector(`input[name="${name}"]:checked`)?.value ?? null;
