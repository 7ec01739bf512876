// What this browser keeps until the server has it: drafts, and answers on their way.

let shelf; // the database, or the shelves of this page alone where a browser keeps none

function opened() {
  shelf ??= new Promise((done) => {
    const asked = indexedDB.open("biddable", 1);
    asked.onupgradeneeded = () => ["drafts", "outbox"].forEach((name) => asked.result.createObjectStore(name));
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => done({ drafts: new Map(), outbox: new Map() });
  });
  return shelf;
}

async function ask(name, mode, what, without) {
  const base = await opened();
  if (!(base instanceof IDBDatabase)) return without(base[name]);
  return new Promise((done, failed) => {
    const change = base.transaction(name, mode, { durability: "strict" });
    const asked = what(change.objectStore(name));
    change.oncomplete = () => done(asked.result);
    change.onabort = change.onerror = () => failed(change.error);
  });
}

export const get = (name, key) => ask(name, "readonly", (on) => on.get(key), (on) => on.get(key));
export const all = (name) => ask(name, "readonly", (on) => on.getAll(), (on) => [...on.values()]);
export const put = (name, key, value) => ask(name, "readwrite", (on) => on.put(value, key), (on) => on.set(key, value));
export const drop = (name, key) => ask(name, "readwrite", (on) => on.delete(key), (on) => on.delete(key));

// Drafts that nobody has touched since then are on the server, or nobody's any more.
export async function sweep(before) {
  for (const one of await all("drafts")) if (one.at < before) drop("drafts", one.name);
}
