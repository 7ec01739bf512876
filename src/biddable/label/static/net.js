// Talking with the server: what is refused, what did not arrive, and a session that ended.

export const me = document.body.dataset.me; // whose page this is; the server takes nothing from it for somebody else's
const AS = "x-labeler";

// Nothing came back, or a status that says that the server failed.
export class Offline extends Error {
  constructor(status) {
    super();
    this.status = status;
  }
}

export class Refusal extends Error {
  constructor(status, detail) {
    super(typeof detail === "string" ? detail : `status ${status}`);
    this.status = status;
    this.detail = detail;
  }
}

export const why = (error) => (error instanceof Refusal ? error.message : "There is no connection; try again in a moment.");

const PATIENCE = 20_000;

export async function call(method, path, body) {
  for (;;) {
    const reply = await fetch(path, {
      method,
      headers: { "content-type": "application/json", [AS]: me },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(PATIENCE),
    }).catch(() => null);
    if (!reply || reply.status >= 500) throw new Offline(reply?.status);
    if (reply.status === 401) {
      await renewed();
      continue;
    }
    const said = await reply.json().catch(() => null);
    if (!reply.ok) throw new Refusal(reply.status, said?.detail);
    return said;
  }
}

// A page as a document that is not shown: no text is ever made HTML by a script of ours.
export async function page(path, body) {
  for (;;) {
    const ask = new XMLHttpRequest();
    ask.open(body ? "POST" : "GET", path);
    ask.responseType = "document";
    ask.timeout = PATIENCE;
    ask.setRequestHeader("accept", "text/html");
    ask.setRequestHeader(AS, me);
    if (body) ask.setRequestHeader("content-type", "application/json");
    await new Promise((done) => {
      ask.onloadend = done;
      ask.send(body && JSON.stringify(body));
    });
    if (ask.status === 0 || ask.status >= 500 || !ask.response) throw new Offline();
    if (new URL(ask.responseURL).pathname === "/sign-in") {
      await renewed();
      continue;
    }
    if (ask.status >= 400) throw new Refusal(ask.status, ask.response.querySelector("[role=alert]")?.textContent);
    return ask.response;
  }
}

let renewing = null;

// Resolves when the same person is signed in again.
function renewed() {
  renewing ??= signIn().finally(() => (renewing = null));
  return renewing;
}

async function signIn() {
  const dialog = document.getElementById("renew");
  const form = dialog.querySelector("form");
  const wrong = dialog.querySelector(".error");
  const before = document.activeElement;
  dialog.oncancel = (event) => event.preventDefault(); // there is nowhere else to go
  dialog.showModal();
  form.elements.password.focus();
  for (;;) {
    await new Promise((done) => {
      form.onsubmit = (event) => {
        event.preventDefault();
        done();
      };
    });
    const sent = new URLSearchParams(new FormData(form));
    sent.set("to", "/health");
    const reply = await fetch("/sign-in", { method: "POST", body: sent }).catch(() => null);
    if (reply?.ok) break;
    wrong.textContent = !reply
      ? "There is no connection."
      : reply.status === 429
        ? "Too many tries. Wait a minute, then try again."
        : "This is not the password.";
    form.elements.password.select();
  }
  form.reset();
  wrong.textContent = "";
  dialog.close();
  before?.focus?.();
}
