// The table of tasks. All rows are elements of the page; the browser skips laying out and painting
// those out of sight (content-visibility), so a thousand cost little and find-in-page still works.

import { details, engine } from "./details.js";
import { appIcon, glyph, h, setAttribute, setText } from "./dom.js";
import { barred, failed, lingers, offer, origin, outcome } from "./store.js";
import { bytes, duration, number, t } from "./text.js";

const CHEVRON = "M6 4l4 4-4 4";

export class Table {
  /** `act(name, task)` with `logs`, `env`, `stop`, `kill`, `remove`, `remedy`, `barred`. */
  constructor(body, state, act) {
    Object.assign(this, { body, state, act, rows: new Map() });
    body.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-act]");
      const row = event.target.closest("[data-task]");
      const task = row && this.state.tasks.get(row.dataset.task);
      if (!button || !task) return;
      if (button.dataset.act === "unfold") this.unfold(task.id);
      else if (button.getAttribute("aria-disabled") === "true") this.act("barred", task, button);
      else this.act(button.dataset.act, task, button);
    });
    body.addEventListener("keydown", (event) => this.key(event));
  }

  /** Brings the rows up to date with one change of the store. */
  show(change) {
    for (const id of change.removed) this.remove(id);
    const fresh = document.createDocumentFragment();
    for (const id of change.tasks) {
      const task = this.state.tasks.get(id);
      const row = this.rows.get(id);
      if (row !== undefined) this.update(row, task);
      else fresh.prepend(this.create(task));
    }
    // Newest first.
    this.body.prepend(fresh);
    if (change.usage) for (const [id, row] of this.rows) this.usage(row, this.state.tasks.get(id));
    if (change.apps) for (const [id, row] of this.rows) this.icon(row, this.state.tasks.get(id));
  }

  create(task) {
    const cell = (name, ...children) => h("span", { role: "cell", class: name }, ...children);
    const button = (act, text) => h("button", { type: "button", "data-act": act, class: "quiet" }, text);
    const unfold = h("button", { type: "button", "data-act": "unfold", class: "unfold", "aria-expanded": "false" }, glyph(CHEVRON));
    const row = {
      unfold,
      iconBox: h("span", { class: "icon-box" }),
      name: h("b"),
      id: h("small", { class: "muted" }),
      origin: h("small", { class: "muted" }),
      engine: h("span", { class: "chip" }),
      state: h("span", { class: "state" }),
      window: cell("number"),
      cpu: cell("number cpu"),
      memory: cell("number memory"),
      result: cell("result"),
      logs: button("logs", t("Logs")),
      env: button("env", t("Environment")),
      end: button("stop", t("Stop")),
      remedy: h("button", { type: "button", "data-act": "remedy" }),
      more: null,
      shown: "",
      iconOf: null,
    };
    const line = h(
      "div",
      { class: "row", role: "row" },
      cell("app", unfold, row.iconBox, h("span", { class: "words" }, row.name, row.id, row.origin)),
      cell("engine", row.engine),
      cell("state-cell", row.state),
      row.window,
      row.cpu,
      row.memory,
      row.result,
      cell("actions", row.logs, row.env, row.end),
    );
    row.box = h("div", { class: "task", role: "presentation", "data-task": task.id }, line);
    this.rows.set(task.id, row);
    this.update(row, task);
    return row.box;
  }

  update(row, task) {
    const name = task.display_name;
    setAttribute(row.box, "data-state", task.state);
    setAttribute(row.box, "data-failed", failed(task) ? "" : null);
    setAttribute(row.box, "data-mended", task.remedied ? "" : null);
    setAttribute(row.box, "data-stale", task.stale ? "" : null);
    setText(row.name, name);
    setText(row.id, task.id);
    const mark = origin(task);
    setText(row.origin, mark ?? "");
    row.origin.hidden = mark === null;
    setAttribute(row.box, "data-origin", mark === null ? null : task.origin);
    setText(row.engine, engine(task.engine));
    setAttribute(row.engine, "title", task.reasons.join("\n"));
    setText(row.state, stateWord(task));
    setText(row.window, task.first_window_ms === null ? "–" : duration(task.first_window_ms));
    const result = outcome(task);
    setText(row.result, result);
    setAttribute(row.result, "title", result);
    this.buttons(row, task);
    this.icon(row, task);
    this.usage(row, task);
    if (row.more !== null) this.details(row, task);
  }

  buttons(row, task) {
    const name = task.display_name;
    const live = task.state !== "ended" || task.next_run_at !== null || lingers(task);
    const act = !live ? "remove" : task.state === "stopping" ? "kill" : "stop";
    const word = { remove: t("Remove"), kill: t("Kill now"), stop: t("Stop") }[act];
    // What is seen, so that it can be said too; and of which task it is.
    const label = (element, text) => setAttribute(element, "aria-label", `${text}: ${name} (${task.id})`);
    setAttribute(row.end, "data-act", act);
    setText(row.end, word);
    // It can still be focused and pressed: then it says why it does nothing.
    const why = barred(task);
    setAttribute(row.end, "aria-disabled", why === null ? null : "true");
    setAttribute(row.end, "title", why);
    label(row.end, word);
    label(row.logs, t("Logs"));
    label(row.env, t("Environment"));
    label(row.unfold, t("Details"));
    const remedy = offer(task);
    setText(row.remedy, remedy ?? "");
    label(row.remedy, remedy);
  }

  icon(row, task) {
    const app = this.state.apps.get(task.app);
    const key = `${app?.icon ?? ""} ${task.display_name}`;
    if (row.iconOf === key) return;
    row.iconOf = key;
    row.iconBox.replaceChildren(appIcon(app, task.display_name));
  }

  usage(row, task) {
    const use = task.pid === null || task.state === "ended" ? undefined : this.state.usage.get(task.id);
    setText(row.cpu, use ? percent(use.cpu_percent) : "–");
    setText(row.memory, use ? bytes(use.rss_bytes) : "–");
  }

  unfold(id) {
    const row = this.rows.get(id);
    const open = row.more === null;
    row.unfold.setAttribute("aria-expanded", String(open));
    if (open) {
      row.more = h("div", { class: "more", role: "row" });
      this.details(row, this.state.tasks.get(id));
      row.box.append(row.more);
    } else {
      row.more.remove();
      row.more = null;
    }
  }

  /** Back to a button of a task, to the first of its row when that button is gone, or without the row elsewhere. */
  focus(id, button) {
    if (button.isConnected) button.focus();
    else (this.rows.get(id)?.unfold ?? elsewhere()).focus();
  }

  /** The unfolded part; who was on its button stays there, or goes to the row's when it is gone. */
  details(row, task) {
    const focused = document.activeElement === row.remedy;
    row.more.replaceChildren(details(task, row.remedy, this.state.desktop?.kubernetes.places));
    if (focused) this.focus(task.id, row.remedy);
  }

  remove(id) {
    const row = this.rows.get(id);
    if (row === undefined) return;
    const next = row.box.nextElementSibling ?? row.box.previousElementSibling;
    const focused = row.box.contains(document.activeElement);
    row.box.remove();
    this.rows.delete(id);
    if (focused) (next?.querySelector("[data-act=logs]") ?? elsewhere()).focus();
  }

  /** Arrow keys go from row to row, staying in the same column of buttons. */
  key(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const button = event.target.closest("button");
    const box = event.target.closest("[data-task]");
    if (button === null || box === null) return;
    const at = [...box.querySelectorAll("button")].indexOf(button);
    const step = event.key === "ArrowDown" ? "nextElementSibling" : "previousElementSibling";
    let to = box[step];
    while (to !== null && to.offsetParent === null) to = to[step];
    if (to === null) return;
    event.preventDefault();
    const buttons = to.querySelectorAll("button");
    buttons[Math.min(at, buttons.length - 1)].focus();
  }
}

/** Where the focus goes from a row that is gone: to the first of those that are left. */
function elsewhere() {
  return document.querySelector("[data-task] [data-act=logs]") ?? document.getElementById("search");
}

function stateWord(task) {
  if (task.next_run_at !== null && task.state !== "running") return t("Restarting");
  if (failed(task)) return t("Failed");
  return { planned: t("Waiting"), starting: t("Starting"), running: t("Running"), stopping: t("Stopping"), ended: t("Ended") }[task.state];
}

function percent(value) {
  const digits = value < 10 ? 1 : 0;
  return number(value / 100, { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits });
}
