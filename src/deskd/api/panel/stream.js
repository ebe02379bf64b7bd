// Server-sent events over fetch: unlike EventSource it tells why a stream ended, so that "log in
// again" and "try again" are different things. Also the other requests of the panel.

import { language } from "./text.js";

const WAITS_MS = [250, 500, 1000, 2000];
/** Working on events longer than this lets the page draw first. */
const SLICE_MS = 10;

/** Where deskd has `path`, also behind a proxy that has it below a path of its own. */
export const address = (path) => new URL(`..${path}`, import.meta.url).href;

/** Splits a stream's text into events; keeps what is not whole yet. */
export class EventParser {
  constructor() {
    this.rest = "";
  }

  /** The whole events in `text`: `{id, name, data}`, data as text. */
  push(text) {
    const events = [];
    this.rest += text;
    let from = 0;
    for (let end = this.rest.indexOf("\n\n"); end >= 0; end = this.rest.indexOf("\n\n", from)) {
      const event = parseEvent(this.rest.slice(from, end));
      if (event !== null) events.push(event);
      from = end + 2;
    }
    this.rest = this.rest.slice(from);
    return events;
  }
}

function parseEvent(block) {
  const event = { id: null, name: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("data: ")) event.data += line.slice(6);
    else if (line.startsWith("event: ")) event.name = line.slice(7);
    else if (line.startsWith("id: ")) event.id = line.slice(4);
  }
  return event.data === "" ? null : event;
}

/**
 * Follows a stream until it is closed. `on.event(name, data)`; `on.status("open" | "lost" | "login" |
 * "refused", message)`. After a loss it resumes after the last event that arrived whole.
 */
export class Stream {
  constructor(url, on) {
    this.url = url;
    this.on = on;
    this.lastId = null;
    this.closed = false;
    this.abort = null;
    this.run();
  }

  close() {
    this.closed = true;
    this.abort?.abort();
  }

  async run() {
    let tries = 0;
    while (!this.closed) {
      this.abort = new AbortController();
      try {
        const opened = await this.once(() => (tries = 0));
        if (opened === "over") return;
      } catch {
        // Lost: told and tried again below.
      }
      if (this.closed) return;
      this.on.status("lost", "");
      await new Promise((done) => setTimeout(done, WAITS_MS[Math.min(tries, WAITS_MS.length - 1)]));
      tries += 1;
    }
  }

  async once(opened) {
    const headers = { "Accept-Language": language };
    if (this.lastId !== null) headers["Last-Event-ID"] = this.lastId;
    const response = await fetch(address(this.url), { headers, signal: this.abort.signal, cache: "no-store" });
    if (response.status === 401 || response.status === 403) {
      this.on.status("login", "");
      return "over";
    }
    if (response.status >= 500) return "again";
    if (!response.ok) {
      const body = await response.json().catch(() => ({}));
      this.on.status("refused", body.message ?? response.statusText);
      return "over";
    }
    opened();
    this.on.status("open", "");
    return await this.read(response.body.getReader());
  }

  async read(reader) {
    const decoder = new TextDecoder();
    const parser = new EventParser();
    let since = performance.now();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "again";
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        if (this.closed) return "over";
        this.on.event(event.name, JSON.parse(event.data));
        if (event.id !== null) this.lastId = event.id;
        if (this.closed) return "over";
      }
      if (performance.now() - since > SLICE_MS) {
        await new Promise((next) => setTimeout(next, 0));
        since = performance.now();
      }
    }
  }
}

/** An error of the daemon, with its stable code. */
export class ApiError extends Error {
  constructor(status, body) {
    super(body.message ?? `deskd answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
  }
}

/** A request; answers the JSON body, or nothing for 204. */
export async function call(method, path, body, headers = {}) {
  const options = { method, headers: { "Accept-Language": language, ...headers }, cache: "no-store" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const response = await fetch(address(path), options);
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(response.status, answer);
  return answer;
}

/**
 * Launches an application. When the connection breaks, whether it was started is not known: the same
 * key asks again without starting it twice.
 */
export async function launch(app) {
  const random = crypto.getRandomValues(new Uint8Array(16));
  const key = Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (let tries = 0; ; tries += 1) {
    try {
      return await call("POST", "/v1/tasks", { app }, { "Idempotency-Key": key });
    } catch (error) {
      const unsure = !(error instanceof ApiError) || error.code === "keeper_away";
      if (!unsure || tries === WAITS_MS.length) throw error;
      await new Promise((done) => setTimeout(done, WAITS_MS[tries]));
    }
  }
}
