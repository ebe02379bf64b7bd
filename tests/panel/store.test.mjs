import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { apply, barred, emptyState, failed, lingers, offer, origin, outcome, searchApps, sentence } = await load("store.js");
const { EventParser } = await load("stream.js");
const task = (id, state = "running", more = {}) => ({ id, app: "x", display_name: id.toUpperCase(), state, exit: null, cause: null, stop_steps: [], next_run_at: null, ...more });
const desktop = (more = {}) => ({ ready: true, started: true, sentence: "Display :0 works", ...more });
const app = (id, display_name, more = {}) => ({ id, display_name, keywords: [], categories: [], problems: [], ...more });
const snapshot = (tasks, more) => ({ desktop: desktop(more), tasks, apps: [app("x", "X")] });

test("the first snapshot is taken without announcing every task", () => {
  const state = emptyState();
  const change = apply(state, "snapshot", snapshot([task("a"), task("b")]));
  assert.deepEqual([...state.tasks.keys()], ["a", "b"]);
  assert.deepEqual(change.said, []);
  assert.ok(change.desktop && change.apps);
});

test("a task's new state is announced once, with its outcome", () => {
  const state = emptyState();
  apply(state, "snapshot", snapshot([task("a")]));
  const ended = task("a", "ended", { exit: { code: 3 } });
  assert.deepEqual(apply(state, "task", ended).said, ["A ended: exit code 3"]);
  assert.deepEqual(apply(state, "task", ended).said, []);
});

test("a task of others says whose it is and why it cannot be stopped while it lives", () => {
  assert.equal(origin(task("a", "running", { origin: "deskd" })), null);
  assert.equal(barred(task("a")), null);
  const other = { origin: "other", no_stop: { code: "processes_unseen", sentence: "it runs elsewhere" } };
  assert.equal(origin(task("a", "running", other)), "not started by deskd");
  assert.equal(origin(task("a", "running", { ...other, maker: "abcdesktop" })), "started by abcdesktop");
  assert.equal(barred(task("a", "running", other)), "It runs elsewhere");
  assert.equal(barred(task("a", "ended", other)), null, "it can be removed");
});

test("what outlives its main process is in the row, can be stopped, and is not announced", () => {
  const script = task("a", "ended", { exit: { code: 0 }, engine: "local", leftovers: true });
  assert.equal(lingers(script), true);
  assert.equal(outcome(script), "Exit code 0. Processes that it started run on.");
  assert.equal(sentence(script), "A ended: exit code 0");
  assert.equal(lingers({ ...script, engine: "pod_application" }), false, "its output is not read to the end");
});

test("a removed task is gone", () => {
  const state = emptyState();
  apply(state, "snapshot", snapshot([task("a")]));
  const change = apply(state, "removed", { id: "a" });
  assert.deepEqual([...change.removed], ["a"]);
  assert.equal(state.tasks.size, 0);
});

test("a daemon that came back and does not know its tasks yet loses none of them", () => {
  const state = emptyState();
  apply(state, "snapshot", snapshot([task("a"), task("b")]));
  const change = apply(state, "snapshot", snapshot([], { started: false }));
  assert.equal(change.removed.size, 0);
  apply(state, "task", task("a"));
  const settled = apply(state, "desktop", desktop());
  assert.deepEqual([...settled.removed], ["b"]);
  assert.deepEqual([...state.tasks.keys()], ["a"]);
});

test("a later snapshot replaces everything", () => {
  const state = emptyState();
  apply(state, "snapshot", snapshot([task("a"), task("b")]));
  const change = apply(state, "snapshot", snapshot([task("b", "ended"), task("c")]));
  assert.deepEqual([...change.removed], ["a"]);
  assert.deepEqual([...state.tasks.keys()], ["b", "c"]);
});

test("readiness that changes is announced", () => {
  const state = emptyState();
  apply(state, "snapshot", snapshot([]));
  const change = apply(state, "desktop", desktop({ ready: false, sentence: "Nothing listens on display :0" }));
  assert.deepEqual(change.said, ["Nothing listens on display :0"]);
});

test("outcomes are told in words", () => {
  assert.equal(outcome(task("a", "ended", { exit: { code: 0 } })), "exit code 0");
  assert.equal(outcome(task("a", "ended", { exit: { signal: { name: "SIGSEGV", core_dumped: true } } })), "SIGSEGV (core dumped)");
  assert.equal(outcome(task("a", "ended", { exit: { reason: "lost" } })), "lost");
  assert.match(outcome(task("a", "ended", { exit: { entry_point: 0 } })), /^exit code 0 of its entry point/);
  assert.equal(outcome(task("a", "ended", { exit: { code: 1 }, cause: "because" })), "because");
  assert.equal(outcome(task("a")), "");
});

const SHM = "The program draws through shared memory.";
const remedied = { kind: "other_engine", run: 2, before: "as a pod of its own", after: "as an ephemeral container", diagnosis: { sentence: SHM } };
const mended = (state, more = {}) => task("a", state, { remedied, runs: 2, ...more });

test("a task that waits says why", () => {
  const diagnosis = { cause: "quota_exceeded", sentence: "The quota is used up.", remedy: null };
  const waiting = task("a", "starting", { waiting: "pods \"x\" is forbidden", diagnosis });
  assert.equal(outcome(waiting), "The quota is used up.");
  assert.equal(outcome({ ...waiting, diagnosis: undefined }), "pods \"x\" is forbidden");
});

test("the row of a mended task tells its story", () => {
  assert.equal(outcome(mended("running")), `Runs as an ephemeral container because it failed as a pod of its own: ${SHM}`);
  assert.equal(outcome(mended("ended", { exit: { code: 0 } })), `Ran as an ephemeral container because it failed as a pod of its own: ${SHM}`);
  // The exit and the cause are still the first run's.
  const asked = mended("planned", { runs: 1, exit: { code: 1 }, cause: SHM });
  assert.equal(outcome(asked), `Starts as an ephemeral container because it failed as a pod of its own: ${SHM}`);
  const waiting = mended("starting", { waiting: "its image is being pulled" });
  assert.equal(outcome(waiting), `its image is being pulled. Starts as an ephemeral container because it failed as a pod of its own: ${SHM}`);
  assert.equal(sentence(mended("running")), "A (as an ephemeral container) is running");
  const words = { disable_dev_shm: ["without --x", "with --x"], other_class: ["with the execute class `s`", "with the execute class `l`"] };
  const stories = Object.entries(words).map(([kind, [before, after]]) => outcome(mended("running", { remedied: { ...remedied, kind, before, after } })));
  assert.deepEqual(stories, [`Runs with --x because it failed without --x: ${SHM}`, `Runs with the execute class \`l\` because it failed with the execute class \`s\`: ${SHM}`]);
});

test("a mended task that failed again tells both", () => {
  const again = { exit: { code: 3 }, cause: null };
  const story = `Failed as an ephemeral container too: exit code 3. Before, as a pod of its own: ${SHM}`;
  assert.equal(outcome(mended("ended", again)), story);
  assert.equal(outcome(mended("planned", again)), story);
});

test("a remedy is offered where the daemon offers one", () => {
  const proposal = { kind: "other_engine", sentence: "start it again as an ephemeral container" };
  assert.equal(offer(task("a", "ended", { diagnosis: { remedy: proposal } })), "Start it again as an ephemeral container");
  assert.equal(offer(task("a", "ended", { diagnosis: { remedy: null } })), null);
  assert.equal(offer(task("a", "ended")), null);
});

test("a stopped task has not failed", () => {
  const signal = { exit: { signal: { name: "SIGTERM" } } };
  assert.equal(failed(task("a", "ended", signal)), true);
  assert.equal(failed(task("a", "ended", { ...signal, stop_steps: [{}] })), false);
  assert.equal(failed(task("a", "ended", { exit: { code: 0 } })), false);
});

test("a search needs every word and puts names that begin with it first", () => {
  const apps = [app("gnome-2048", "GNOME 2048", { keywords: ["puzzle"] }), app("q", "2048"), app("xclock", "Clock"), app("t", "Terminal", { keywords: ["2048"] })];
  assert.deepEqual(searchApps(apps, "2048").map(({ id }) => id), ["q", "gnome-2048", "t"]);
  assert.deepEqual(searchApps(apps, "PUZZLE gnome").map(({ id }) => id), ["gnome-2048"]);
  assert.equal(searchApps(apps, "").length, 4);
  const writer = app("writer", "Writer", { file_extensions: ["odt"], mime_types: ["application/pdf"] });
  for (const query of [".odt", "application/PDF"]) assert.deepEqual(searchApps([...apps, writer], query), [writer]);
  assert.deepEqual(searchApps(apps, "nope"), []);
});

test("events are found wherever the connection cuts them", () => {
  const text = "retry: 1000\n\nevent: lines\ndata: [1,2]\nid: 7\n\n: keep-alive\n\nevent: end\ndata: {}\n\n";
  for (let size = 1; size < text.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, [{ id: "7", name: "lines", data: "[1,2]" }, { id: null, name: "end", data: "{}" }]);
  }
});
