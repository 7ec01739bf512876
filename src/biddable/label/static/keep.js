// What this browser keeps until the server has it: drafts, and answers on their way.

// Where a browser keeps nothing: for as long as this page is open.
class Shelf extends Map {
  getAll = () => [...this.values()];
  put = (value, key) => this.set(key, value);
}

let base;

function opened() {
  base ??= new Promise((done) => {
    const asked = indexedDB.open("biddable", 1);
    asked.onupgradeneeded = () => ["drafts", "outbox"].forEach((name) => asked.result.createObjectStore(name));
    asked.onsuccess = () => done(asked.result);
    asked.onerror = () => done({ drafts: new Shelf(), outbox: new Shelf() });
  });
  return base;
}

async function ask(name, what) {
  const kept = await opened();
  if (!(kept instanceof IDBDatabase)) return what(kept[name]);
  return new Promise((done, failed) => {
    const change = kept.transaction(name, "readwrite", { durability: "strict" });
    const asked = what(change.objectStore(name));
    change.oncomplete = () => done(asked.result);
    change.onabort = change.onerror = () => failed(change.error);
  });
}

export const get = (name, key) => ask(name, (on) => on.get(key));
export const all = (name) => ask(name, (on) => on.getAll());
export const put = (name, key, value) => ask(name, (on) => on.put(value, key));
export const drop = (name, key) => ask(name, (on) => on.delete(key));

// Drafts that nobody has touched since then are on the server, or nobody's any more.
export async function sweep(before) {
  for (const one of await all("drafts")) if (one.at < before) drop("drafts", one.name);
}
