// The log drawer: follows a task's log and shows the part of it that is in sight.
//
// Rows stand in one block inside a tall sizer. Where the block stands is computed from the widths of
// the rows (log-model.js); inside the block the browser lays them out, so a wrong guess about a wide
// character moves the scroll bar a little and never a row onto another.

import { parse, stripped } from "./ansi.js";
import { copyText, h, setText } from "./dom.js";
import { CONTINUED, GAP, LogModel, ranges, STDERR } from "./log-model.js";
import { Stream, address } from "./stream.js";
import { counted, number, t } from "./text.js";

/** Rows drawn beyond each end of what is in sight. */
const MARGIN_ROWS = 24;
/** Rows searched before the page may draw again. */
const SEARCH_SLICE_ROWS = 20_000;
/** Longest element browsers lay out well, in pixels. */
const HEIGHT_PX_MAX = 15_000_000;
/** Least height of the drawer, and of what stays free above it, in pixels. */
const DRAWER_PX_MIN = 160;
const ABOVE_PX_MIN = 120;

/** Why a piece of a log is missing. */
function gapReason(reason) {
  const words = {
    task_limit: t("the limit of this task's log"),
    total_limit: t("the limit of all logs together"),
    write_failed: t("the log could not be written"),
    torn: t("a crash tore the log"),
    damaged: t("the log's file was damaged"),
  };
  return words[reason] ?? reason;
}

export class LogView {
  constructor(drawer) {
    this.drawer = drawer;
    this.model = new LogModel();
    this.stream = null;
    this.task = null;
    this.scheduled = false;
    this.build();
  }

  build() {
    // A symbol has its title for a name; words are their own.
    const button = (text, title, act, more = {}) => h("button", { type: "button", class: "quiet", "aria-label": text.length === 1 ? title : null, title, onclick: act, ...more }, text);
    this.title = h("h2");
    this.search = h("input", { type: "search", placeholder: t("Search the log…"), "aria-label": t("Search the log"), spellcheck: "false" });
    this.count = h("span", { class: "count", role: "status" });
    this.wrap = button(t("Wrap"), t("Wrap long lines"), () => this.toggle(this.wrap), { "aria-pressed": "true" });
    this.times = button(t("Times"), t("Show timestamps"), () => this.toggle(this.times), { "aria-pressed": "false" });
    this.copy = button(t("Copy"), t("Copy the log"), () => this.copyAll());
    this.download = h("a", { class: "button quiet", title: t("Download the log") }, t("Download"));
    this.scroller = h("div", { class: "lines", tabindex: "0", role: "log", "aria-live": "off", "aria-label": t("Output") });
    this.sizer = h("div", { class: "sizer" });
    this.block = h("div", { class: "block" });
    this.probe = h("span", { class: "probe", "aria-hidden": "true" }, "0".repeat(100));
    this.status = h("span", { role: "status" });
    this.end = button(t("Jump to end ↓"), t("Jump to the end of the log"), () => this.toEnd(), { hidden: true });
    this.end.className = "to-end";
    this.sizer.append(this.block);
    this.scroller.append(this.probe, this.sizer);
    this.drawer.append(
      h("div", { class: "grip", role: "separator", "aria-orientation": "horizontal", "aria-label": t("Height of the log"), tabindex: "0" }),
      h(
        "div",
        { class: "log-bar" },
        this.title,
        h("div", { class: "find" }, this.search, this.count, button("↑", t("Previous match"), () => this.step(-1)), button("↓", t("Next match"), () => this.step(1))),
        h("div", { class: "tools" }, this.wrap, this.times, this.copy, this.download, button("×", t("Close the log"), () => this.close(), { class: "quiet close" })),
      ),
      this.scroller,
      this.end,
      h("div", { class: "log-foot" }, this.status),
    );
    this.listen();
  }

  listen() {
    this.search.addEventListener("input", () => this.find(this.search.value));
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.step(event.shiftKey ? -1 : 1);
      else if (event.key === "Escape" && this.search.value !== "") {
        event.stopPropagation();
        this.search.value = "";
        this.find("");
      }
    });
    this.scroller.addEventListener("scroll", () => this.scrolled());
    this.scroller.addEventListener("copy", (event) => this.copySelection(event));
    this.drawer.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
      if (event.key === "f" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        this.search.select();
      }
    });
    this.resizing(this.drawer.firstElementChild);
    new ResizeObserver(() => this.schedule()).observe(this.scroller);
  }

  resizing(grip) {
    const limits = () => [DRAWER_PX_MIN, Math.max(DRAWER_PX_MIN, innerHeight - ABOVE_PX_MIN)];
    const tell = (px) => {
      const [least, most] = limits();
      const values = { now: Math.round(px), min: least, max: most };
      for (const [name, value] of Object.entries(values)) grip.setAttribute(`aria-value${name}`, String(value));
    };
    const set = (px) => {
      const [least, most] = limits();
      const height = Math.max(least, Math.min(px, most));
      // The page below keeps as much room free as the drawer takes.
      document.body.style.setProperty("--height", `${height}px`);
      tell(height);
    };
    tell(innerHeight / 2);
    grip.addEventListener("pointerdown", (event) => {
      grip.setPointerCapture(event.pointerId);
      const move = (moved) => set(innerHeight - moved.clientY);
      grip.addEventListener("pointermove", move);
      grip.addEventListener("pointerup", () => grip.removeEventListener("pointermove", move), { once: true });
    });
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 40, ArrowDown: -40 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      set(this.drawer.offsetHeight + step);
    });
  }

  /** Opens the log of a task; `opener` gets the focus back. */
  open(task, opener) {
    this.opener = opener;
    if (this.task?.id !== task.id) {
      this.stream?.close();
      this.task = task;
      this.reset();
      const path = `/v1/tasks/${task.id}/log`;
      this.download.href = address(path);
      this.download.download = `${task.id}.log`;
      this.stream = new Stream(`${path}/stream`, {
        event: (name, data) => this.event(name, data),
        status: (status, message) => this.connection(status, message),
      });
    }
    setText(this.title, task.display_name);
    this.drawer.setAttribute("aria-label", t("Log of {name}", { name: task.display_name }));
    this.drawer.hidden = false;
    document.body.classList.add("with-log");
    this.scroller.focus({ preventScroll: true });
    this.schedule();
  }

  reset() {
    this.model.clear();
    this.sticky = true;
    this.over = false;
    this.current = -1;
    this.search.value = "";
    this.model.search("");
    this.status.className = "";
    this.link = "connecting";
  }

  close() {
    if (this.drawer.hidden) return;
    this.stream?.close();
    this.stream = null;
    this.task = null;
    this.model.clear();
    this.block.replaceChildren();
    this.drawer.hidden = true;
    document.body.classList.remove("with-log");
    this.opener?.focus();
  }

  /** The task changed or was removed (`null`). */
  changed(task) {
    if (task === null) this.gone = true;
    else this.task = task;
    this.schedule();
  }

  event(name, data) {
    if (name === "lines") this.model.append(data);
    else if (name === "gap") {
      const missing = counted(data.dropped_bytes, "1 byte is missing here", "{count} bytes are missing here");
      this.model.appendGap(`${missing}: ${gapReason(data.reason)}`);
    } else if (name === "end") {
      this.over = true;
      this.stream.close();
    }
    this.schedule();
  }

  connection(status, message) {
    this.link = status;
    if (status === "refused") this.refusal = message;
    this.schedule();
  }

  toggle(button) {
    const top = this.sticky ? null : this.topRow();
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    this.drawer.classList.toggle("unwrapped", !this.on(this.wrap));
    this.drawer.classList.toggle("timed", this.on(this.times));
    this.draw();
    if (top !== null) this.scrollTo(top, "start");
  }

  on(button) {
    return button.getAttribute("aria-pressed") === "true";
  }

  schedule() {
    if (this.scheduled || this.drawer.hidden) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      if (this.drawer.hidden) return;
      if (this.model.searchMore(SEARCH_SLICE_ROWS)) this.schedule();
      this.firstMatch();
      this.draw();
    });
  }

  /** Measures of the moment: row height and columns. */
  measure() {
    const box = this.probe.getBoundingClientRect();
    const character = box.width / 100;
    this.rowPx = box.height || 18;
    const room = this.scroller.clientWidth - 32 - (this.on(this.times) ? character * 14 : 0);
    this.columns = this.on(this.wrap) ? Math.max(20, Math.floor(room / character)) : Infinity;
  }

  draw() {
    this.measure();
    const { model, scroller, rowPx, columns } = this;
    const rows = model.height(columns);
    const height = Math.min(rows * rowPx, HEIGHT_PX_MAX);
    const scale = rows * rowPx > HEIGHT_PX_MAX ? (rows * rowPx) / HEIGHT_PX_MAX : 1;
    if (this.droppedBefore !== undefined && !this.sticky && model.dropped > this.droppedBefore) {
      scroller.scrollTop -= ((model.dropped - this.droppedBefore) * rowPx) / scale;
    }
    this.droppedBefore = model.dropped;
    this.sizer.style.height = `${height}px`;
    const view = scroller.clientHeight;
    const top = this.sticky ? Math.max(0, height - view) : scroller.scrollTop;
    const atTop = Math.floor((top * scale) / rowPx);
    const from = model.at(Math.max(0, atTop - MARGIN_ROWS), columns);
    const wanted = Math.ceil(view / rowPx) + 2 * MARGIN_ROWS;
    this.rows(from.row, Math.min(model.end, from.row + wanted));
    const blockTop = from.top * rowPx - (scale === 1 ? 0 : top * scale - top);
    const atEnd = this.sticky && this.block.offsetHeight > 0;
    const y = atEnd ? height - this.block.offsetHeight : blockTop;
    this.block.style.transform = `translateY(${Math.max(0, y)}px)`;
    if (this.sticky) {
      this.programmatic = Math.max(0, scroller.scrollHeight - view);
      scroller.scrollTop = this.programmatic;
    }
    this.end.hidden = this.sticky;
    this.foot();
  }

  rows(from, to) {
    const key = (n) => `${n}`;
    const kept = new Map([...this.block.children].map((element) => [element.dataset.row, element]));
    const stamp = `${this.model.query}|${this.current}`;
    const elements = [];
    for (let n = from; n < to; n += 1) {
      const row = this.model.row(n);
      const known = kept.get(key(n));
      if (known && known.raw === row.text && known.stamp === stamp) elements.push(known);
      else elements.push(this.row(n, row, stamp));
    }
    this.block.replaceChildren(...elements);
  }

  row(n, row, stamp) {
    const kind = row.flags & GAP ? " gap" : row.flags & STDERR ? " stderr" : "";
    const line = h("div", { class: `line${kind}${row.flags & CONTINUED ? " continued" : ""}`, "data-row": n });
    line.raw = row.text;
    line.stamp = stamp;
    const shown = row.flags & CONTINUED || row.time === "" ? "" : localTime(row.time);
    line.append(h("time", { "data-time": shown }));
    if (row.flags & STDERR) line.append(h("span", { class: "offscreen" }, `${t("error output")}: `));
    const { pieces } = parse(row.text, row.style);
    const found = ranges(stripped(row.text), this.model.query);
    let at = 0;
    for (const piece of pieces) {
      line.append(...this.piece(piece, at, found, n));
      at += piece.text.length;
    }
    return line;
  }

  /** A piece of text in its colours, its matches marked. */
  piece({ text, style }, at, found, n) {
    const parts = [];
    let from = 0;
    const push = (to, mark) => {
      if (to <= from) return;
      const element = h(mark ? "mark" : "span", { class: classes(style) });
      if (mark && n === this.current) element.classList.add("current");
      if (typeof style.fg === "string") element.style.color = style.fg;
      if (typeof style.bg === "string") {
        element.style.backgroundColor = style.bg;
        if (style.fg === null) element.style.color = readableOn(style.bg);
      }
      element.textContent = text.slice(from, to);
      parts.push(element);
      from = to;
    };
    for (const [start, end] of found) {
      if (end <= at || start >= at + text.length) continue;
      push(Math.max(0, start - at), false);
      push(Math.min(text.length, end - at), true);
    }
    push(text.length, false);
    return parts;
  }

  foot() {
    const { model, link } = this;
    const lines = model.end - model.first;
    let text = counted(lines, "1 line", "{count} lines");
    if (model.dropped > 0) text += ` · ${t("the first {count} are not shown here; Download has all of them", { count: number(model.dropped) })}`;
    const states = {
      connecting: t("connecting…"),
      open: this.over ? t("complete: the task has ended") : t("following"),
      lost: t("connection lost, trying again…"),
      login: t("the session has ended: run “deskd panel” and open the link it prints"),
      refused: this.refusal,
    };
    setText(this.status, `${text} · ${this.over ? states.open : states[link]}`);
    this.status.className = !this.over && (link === "lost" || link === "login" || link === "refused") ? "bad" : "";
    if (model.query === "") return setText(this.count, "");
    const position = model.matches.indexOf(this.current);
    const before = position < 0 ? "" : `${number(position + 1)} / `;
    const more = model.searchedTo < model.end ? "…" : "";
    setText(this.count, `${before}${number(model.matches.length)}${more}`);
    this.count.title = t("{matches} matches in {lines} lines", { matches: number(model.matchCount), lines: number(model.matches.length) });
  }

  scrolled() {
    const { scroller } = this;
    if (this.programmatic !== undefined && Math.abs(scroller.scrollTop - this.programmatic) < 2) {
      this.programmatic = undefined;
      return;
    }
    this.sticky = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < this.rowPx;
    this.schedule();
  }

  toEnd() {
    this.sticky = true;
    this.schedule();
    this.scroller.focus({ preventScroll: true });
  }

  topRow() {
    return this.model.at(Math.floor(this.scroller.scrollTop / this.rowPx), this.columns).row;
  }

  scrollTo(row, where) {
    const px = this.model.topOf(row, this.columns) * this.rowPx;
    const margin = where === "start" ? 0 : this.scroller.clientHeight / 2;
    const scale = Math.max(1, (this.model.height(this.columns) * this.rowPx) / HEIGHT_PX_MAX);
    this.sticky = false;
    this.scroller.scrollTop = px / scale - margin;
    this.schedule();
  }

  find(query) {
    this.model.search(query);
    this.current = -1;
    // The first slice now, so that the view jumps while one types.
    this.model.searchMore(SEARCH_SLICE_ROWS);
    this.seeking = query !== "";
    this.firstMatch();
    this.schedule();
  }

  /** Goes to the first match once there is one; the search may need several slices to find it. */
  firstMatch() {
    if (!this.seeking || this.model.matches.length === 0) return;
    this.seeking = false;
    this.step(1);
  }

  /** To the next or previous row with a match; from the top of the view at first. */
  step(direction) {
    const { matches } = this.model;
    if (matches.length === 0) return;
    const from = this.current >= 0 ? this.current : this.topRow() - direction;
    let at = matches.findIndex((row) => row > from);
    if (direction < 0) {
      at = (at < 0 ? matches.length : at) - 1;
      while (at >= 0 && matches[at] >= from) at -= 1;
    }
    if (at < 0) at = direction > 0 ? 0 : matches.length - 1;
    this.current = matches[at];
    this.scrollTo(this.current, "center");
  }

  async copyAll() {
    const done = await copyText(this.model.text());
    setText(this.copy, done ? t("Copied") : t("Could not copy"));
    setTimeout(() => setText(this.copy, t("Copy")), 1500);
  }

  /** A selection is copied as the text of its lines, without helper texts and line breaks of wrapping. */
  copySelection(event) {
    const selection = document.getSelection();
    const row = (node) => (node.nodeType === 1 ? node : node.parentElement).closest("[data-row]");
    const [a, b] = [row(selection.anchorNode), row(selection.focusNode)];
    if (a === null || b === null || a === b) return;
    const [from, to] = [Number(a.dataset.row), Number(b.dataset.row)].sort((x, y) => x - y);
    event.clipboardData.setData("text/plain", this.model.text(from, to + 1));
    event.preventDefault();
  }
}

/** Black or white, whichever can be read on `rgb(r g b)`. */
function readableOn(color) {
  const [red, green, blue] = color.match(/\d+/g).map(Number);
  return red * 0.299 + green * 0.587 + blue * 0.114 > 140 ? "#111" : "#fff";
}

function classes(style) {
  const names = [];
  for (const key of ["bold", "dim", "italic", "underline", "inverse", "strike"]) if (style[key]) names.push(key);
  if (typeof style.fg === "number") names.push(`fg${style.fg}`);
  if (typeof style.bg === "number") names.push(`bg${style.bg}`);
  return names.join(" ");
}

function localTime(text) {
  const at = new Date(text);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${text.slice(20, 23).padEnd(3, "0")}`;
}
