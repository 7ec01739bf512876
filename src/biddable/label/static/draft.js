// A draft: kept in this browser at once, on the server a second later, and never over another window's.

import * as fields from "./fields.js";
import * as keep from "./keep.js";
import { Refusal, call, me } from "./net.js";

const SOON = 1000;
const AGAIN = 10_000;

export class Draft {
  constructor(work, tell) {
    this.work = work;
    this.tell = tell;
    this.name = `${me}/${work.task.task}`;
    this.version = work.task.draft?.version ?? 0; // the server's newest that we know of
    this.body = null;
    this.stored = work.task.draft?.body ?? null;
    this.stopped = false;
  }

  // What this browser has goes before what the server has, unless that was written on top of something newer.
  async start() {
    const here = await keep.get("drafts", this.name).catch(() => null);
    const theirs = readable(this.stored);
    if (here && here.body !== this.stored && readable(here.body)) {
      if (here.version === this.version) {
        this.work.take(here.body);
        this.changed(here.body);
        return;
      }
      if (theirs) this.work.take(this.stored);
      this.stopped = true;
      this.tell.conflict(() => this.take(this.stored), () => (this.work.take(here.body), this.go(here.body)));
      return;
    }
    if (theirs) {
      this.work.take(this.stored);
      this.tell.shown("Your draft is back");
    }
  }

  take(body) {
    this.stopped = false;
    this.stored = body;
    if (readable(body)) this.work.take(body);
    this.keep(body);
  }

  go(body) {
    this.stopped = false;
    this.changed(body);
  }

  keep(body) {
    return keep.put("drafts", this.name, { name: this.name, body, version: this.version, at: Date.now() }).catch(() => null);
  }

  changed(body) {
    this.body = body;
    this.keep(body);
    this.tell.shown("Saving …");
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.push(), SOON);
  }

  async push() {
    clearTimeout(this.timer);
    const body = this.body;
    if (this.stopped || body === null) return;
    if (this.pushing) return void (this.more = true);
    if (body === this.stored) return this.tell.shown("Saved"); // changed, and changed back
    this.pushing = true;
    try {
      const said = await call("PUT", `/api/tasks/${this.work.task.task}/draft`, { version: this.version + 1, body });
      this.version = said.version;
      this.stored = body;
      await this.keep(this.body);
      if (this.body === body) this.tell.shown("Saved");
    } catch (error) {
      this.failed(error);
    } finally {
      this.pushing = false;
      if (this.more) {
        this.more = false;
        this.push();
      }
    }
  }

  failed(error) {
    const theirs = error instanceof Refusal && error.status === 409 && error.detail;
    if (theirs?.body !== undefined) {
      this.stopped = true;
      this.version = theirs.version;
      this.tell.shown("Saved in this browser");
      this.tell.conflict(() => this.take(theirs.body), () => this.go(this.body));
      return;
    }
    this.tell.shown("Saved in this browser, not yet on the server");
    this.timer = setTimeout(() => this.push(), AGAIN);
  }
}

function readable(body) {
  try {
    const told = JSON.parse(body);
    return told && typeof told === "object" && Object.values(told).every((one) => typeof one === "string");
  } catch {
    return false;
  }
}
