// The Tasks panel: connects the daemon's events with what is on the page.

import { AppSearch } from "./combobox.js";
import { Health } from "./desktop.js";
import { confirm, showEnvironment, toast } from "./dialogs.js";
import { h, setText } from "./dom.js";
import { LogView } from "./log-view.js";
import { apply, barred, emptyState, lingers } from "./store.js";
import { ApiError, call, launch, Stream } from "./stream.js";
import { Table } from "./table.js";
import { counted, load, number, t } from "./text.js";

/** A tab out of sight lets go of its connections after this long; browsers have six per host. */
const HIDDEN_MS = 20_000;
/** Requests at once when many tasks are removed. */
const REMOVALS_AT_ONCE = 4;

await load();

const byId = (id) => document.getElementById(id);
const state = emptyState();
const health = new Health(byId("health"), byId("health-text"), byId("checks"), byId("desktop-name"));
const log = new LogView(byId("log"));
const table = new Table(byId("rows"), state, act);
new AppSearch(byId("search"), byId("apps"), () => state.apps.values(), start);
let events = null;
let connected = false;

function connect() {
  events = new Stream("/v1/events?usage=true", { event: onEvent, status: onStatus });
  if (state.desktop !== null) events.lastId = connect.lastId ?? null;
}

function onEvent(name, data) {
  const change = apply(state, name, data);
  table.show(change);
  if (change.desktop) health.show(state.desktop, connected);
  if (log.task !== null && (change.tasks.has(log.task.id) || change.removed.has(log.task.id))) {
    log.changed(state.tasks.get(log.task.id) ?? null);
  }
  if (change.tasks.size > 0 || change.removed.size > 0 || name === "snapshot") counts();
  if (change.said.length > 0) byId("announcer").replaceChildren(...change.said.slice(-5).map((text) => h("p", {}, text)));
}

function onStatus(status) {
  connected = status === "open";
  health.show(state.desktop, connected);
  const banner = byId("lost");
  banner.hidden = connected;
  document.body.classList.toggle("disconnected", !connected);
  if (status === "lost") setText(banner, t("The connection to deskd is lost. Trying again…"));
  else if (status === "login") setText(banner, t("This session has ended. Run “deskd panel” and open the link it prints."));
  else if (!connected) setText(banner, t("deskd refused the connection. Reload the page to try again."));
}

function counts() {
  const tasks = [...state.tasks.values()];
  const ended = tasks.filter((task) => task.state === "ended").length;
  const numbers = { all: tasks.length, live: tasks.length - ended, ended };
  for (const button of byId("filter").children) setText(button.querySelector(".count"), number(numbers[button.dataset.filter]));
  byId("remove-ended").disabled = ended === 0;
  const shown = numbers[byId("table").dataset.filter];
  byId("empty").hidden = shown > 0;
  const hint = tasks.length === 0 ? t("No application has been started yet. To start one, type its name above.") : t("No task is in this state.");
  setText(byId("empty"), hint);
}

async function act(name, task, button) {
  if (name === "logs") return log.open(task, button);
  if (name === "barred") return toast(barred(task));
  const focused = document.activeElement === button;
  button.disabled = true;
  try {
    if (name === "env") showEnvironment(task, await call("GET", `/v1/tasks/${task.id}/env`), button);
    else if (name === "stop") await call("POST", `/v1/tasks/${task.id}/stop`, {});
    else if (name === "kill") await call("POST", `/v1/tasks/${task.id}/stop`, { force: true });
    else if (name === "remove") await call("DELETE", `/v1/tasks/${task.id}`);
    else if (name === "remedy") await call("POST", `/v1/tasks/${task.id}/remedy`);
  } catch (error) {
    toast(sentence(error));
  } finally {
    button.disabled = false;
    // A browser takes the focus from a button that cannot be pressed.
    if (focused && document.activeElement === document.body) table.focus(task.id, button);
  }
}

async function start(app) {
  try {
    await launch(app.id);
  } catch (error) {
    toast(sentence(error));
  }
}

function sentence(error) {
  if (error instanceof ApiError) return error.message;
  return t("deskd does not answer. Try again in a moment.");
}

async function removeEnded() {
  const ended = [...state.tasks.values()].filter((task) => task.state === "ended" && task.next_run_at === null && !lingers(task));
  const what = counted(
    ended.length,
    "This removes 1 ended task and its log. It cannot be undone.",
    "This removes {count} ended tasks and their logs. It cannot be undone.",
  );
  if (!(await confirm(t("Remove all ended"), what, t("Remove")))) return;
  const left = ended.map((task) => task.id);
  const failures = [];
  const one = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      await call("DELETE", `/v1/tasks/${id}`).catch((error) => failures.push(error));
    }
  };
  await Promise.all(Array.from({ length: REMOVALS_AT_ONCE }, one));
  // One that somebody else removed meanwhile is what was wanted.
  const real = failures.filter((error) => error.code !== "unknown_task");
  if (real.length > 0) toast(sentence(real[0]));
  // The button cannot be pressed any more when nothing is left.
  if (document.activeElement === document.body) byId("search").focus();
}

function filter(button) {
  for (const other of byId("filter").children) {
    const chosen = other === button;
    other.setAttribute("aria-checked", String(chosen));
    other.tabIndex = chosen ? 0 : -1;
  }
  byId("table").dataset.filter = button.dataset.filter;
  counts();
}

byId("remove-ended").addEventListener("click", removeEnded);
byId("filter").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button !== null) filter(button);
});
byId("filter").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (step === undefined) return;
  event.preventDefault();
  const buttons = [...byId("filter").children];
  const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
  filter(next);
  next.focus();
});

let hiding = 0;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (document.visibilityState === "hidden") {
    hiding = setTimeout(() => {
      connect.lastId = events.lastId;
      events.close();
      events = null;
    }, HIDDEN_MS);
  } else if (events === null) {
    connect();
  }
});
connect();
