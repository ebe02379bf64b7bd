// What the panel knows, as a pure reducer over the daemon's events.

import { capitalized, compare, t } from "./text.js";

/** Nothing known yet. */
export function emptyState() {
  return { desktop: null, tasks: new Map(), apps: new Map(), usage: new Map(), unconfirmed: new Set() };
}

/** Applies one event; changes `state` in place and tells what changed. */
export function apply(state, name, data) {
  const change = { tasks: new Set(), removed: new Set(), desktop: false, apps: false, usage: false, said: [] };
  if (name === "snapshot") everything(state, data, change);
  else if (name === "task") oneTask(state, data, change);
  else if (name === "removed") remove(state, data.id, change);
  else if (name === "desktop") setDesktop(state, data, change);
  else if (name === "apps") setApps(state, data, change);
  else if (name === "usage") {
    state.usage = new Map(Object.entries(data));
    change.usage = true;
  }
  return change;
}

function everything(state, data, change) {
  const first = state.desktop === null;
  const known = new Set(data.tasks.map((task) => task.id));
  setApps(state, data.apps, change);
  for (const task of data.tasks) oneTask(state, task, change, first);
  for (const id of [...state.tasks.keys()].filter((id) => !known.has(id))) {
    // A daemon that just came back has not heard of its tasks yet: they are not gone for that.
    if (data.desktop.started) remove(state, id, change);
    else state.unconfirmed.add(id);
  }
  setDesktop(state, data.desktop, change);
}

function oneTask(state, task, change, quiet = false) {
  const before = state.tasks.get(task.id);
  state.tasks.set(task.id, task);
  state.unconfirmed.delete(task.id);
  change.tasks.add(task.id);
  if (!quiet && before?.state !== task.state) change.said.push(sentence(task));
}

function remove(state, id, change) {
  state.tasks.delete(id);
  state.usage.delete(id);
  state.unconfirmed.delete(id);
  change.tasks.delete(id);
  change.removed.add(id);
}

function setDesktop(state, desktop, change) {
  if (state.desktop !== null && state.desktop.ready !== desktop.ready) change.said.push(desktop.sentence);
  state.desktop = desktop;
  change.desktop = true;
  if (desktop.started) {
    for (const id of state.unconfirmed) remove(state, id, change);
  }
}

function setApps(state, apps, change) {
  state.apps = new Map(apps.map((app) => [app.id, app]));
  change.apps = true;
}

/** What a screen reader is told about a task's new state. */
export function sentence(task) {
  // What runs on is not announced: of most tasks nothing does a moment later.
  const how = result(task);
  const name = task.remedied && (task.state === "running" || task.state === "starting") ? `${task.display_name} (${task.remedied.after})` : task.display_name;
  switch (task.state) {
    case "ended":
      return how ? t("{name} ended: {how}", { name, how }) : t("{name} ended", { name });
    case "running":
      return t("{name} is running", { name });
    case "stopping":
      return t("{name} is being stopped", { name });
    case "starting":
      return t("{name} is starting", { name });
    default:
      return t("{name} is waiting to start", { name });
  }
}

/** What deskd would do about a task's failure, as a button says it; null when there is nothing. */
export function offer(task) {
  const remedy = task.diagnosis?.remedy;
  return remedy ? capitalized(remedy.sentence) : null;
}

/** The story of a task that a remedy was applied to: how it goes on, and why. */
function story(task) {
  const applied = task.remedied;
  const values = { before: applied.before, after: applied.after, why: applied.diagnosis.sentence };
  const again = task.runs >= applied.run && (failed(task) || task.state === "planned");
  if (again) return t("Failed {after} too: {how} Before, {before}: {why}", { ...values, how: closed(ending(task)) });
  if (task.state === "running") return t("Runs {after} because it failed {before}: {why}", values);
  if (task.state === "ended" || task.state === "stopping") return t("Ran {after} because it failed {before}: {why}", values);
  const starts = t("Starts {after} because it failed {before}: {why}", values);
  return waits(task) ? `${closed(ending(task))} ${starts}` : starts;
}

/** With a full stop. */
function closed(text) {
  return /[.!?。！？]$/.test(text) ? text : `${text}.`;
}

/** Who started it, if it was not deskd; null for deskd's own. */
export function origin(task) {
  if (task.origin !== "other") return null;
  return task.maker ? t("started by {maker}", { maker: task.maker }) : t("not started by deskd");
}

/** Why its button to stop it does nothing; null when it works. */
export function barred(task) {
  return task.no_stop && task.state !== "ended" ? capitalized(task.no_stop.sentence) : null;
}

/** Whether it was asked for and cannot run yet. */
export function waits(task) {
  return task.state === "starting" && Boolean(task.waiting);
}

/** Whether processes of it outlive its main process, as the application of a launcher script does. */
export function lingers(task) {
  return task.state === "ended" && task.leftovers && task.engine === "local";
}

/** How a task goes or went, in a few words; empty when there is nothing to say. */
export function outcome(task) {
  const how = result(task);
  return lingers(task) ? `${capitalized(closed(how))} ${t("Processes that it started run on.")}` : how;
}

/** The same of its runs alone, whatever runs on. */
function result(task) {
  if (task.stale && !task.waiting) return t("The Kubernetes API does not answer: this may be out of date");
  return task.remedied ? story(task) : ending(task);
}

/** How the last run ended or what the task waits for. */
function ending(task) {
  if (waits(task) && task.diagnosis?.cause) return task.diagnosis.sentence;
  if (task.waiting) return task.waiting;
  if (task.cause) return task.cause;
  const exit = task.exit;
  if (!exit) return "";
  if (exit.code !== undefined) return t("exit code {code}", { code: exit.code });
  if (exit.entry_point !== undefined)
    return t("exit code {code} of its entry point (the program's own is not known)", { code: exit.entry_point });
  if (exit.signal) return exit.signal.core_dumped ? t("{name} (core dumped)", exit.signal) : exit.signal.name;
  return exit.reason ?? "";
}

/** Whether the last run ended badly by itself. */
export function failed(task) {
  if (task.state !== "ended" || !task.exit) return false;
  return task.stop_steps.length === 0 && (task.exit.code ?? task.exit.entry_point) !== 0;
}

/** Applications that have every word of the query (file types too, such as .odt), those whose name begins with it first. */
export function searchApps(apps, query) {
  const words = query.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const rated = [];
  for (const app of apps) {
    const name = app.display_name.toLowerCase();
    const types = [...(app.mime_types ?? []), ...(app.file_extensions ?? []).map((type) => `.${type}`)];
    const hay = [app.id, name, ...app.keywords, ...app.categories, ...types].join("\n").toLowerCase();
    if (!words.every((word) => hay.includes(word))) continue;
    const begins = words.length > 0 && (name.startsWith(words[0]) || app.id.startsWith(words[0]));
    const named = words.length > 0 && words.every((word) => name.includes(word) || app.id.includes(word));
    rated.push({ app, rank: begins ? 0 : named ? 1 : 2 });
  }
  rated.sort((a, b) => a.rank - b.rank || compare(a.app.display_name, b.app.display_name));
  return rated.map(({ app }) => app);
}
