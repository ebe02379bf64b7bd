// What the unfolded row of a task tells: facts, why it failed, what was done about it, its history.

import { bytes, duration, h } from "./dom.js";
import { barred, failed, offer, origin, waits } from "./store.js";

export const ENGINES = { local: "Local", ephemeral_container: "Container", pod_application: "Pod" };

function time(at) {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** Why it failed or waits: the sentence, what shows it, what to change. */
function diagnosis(found, title) {
  const proof = found.proof.map(({ text }) => text).join("\n");
  return [
    h("h3", {}, found.cause ? title : "Its last output"),
    found.cause ? h("p", {}, found.sentence) : null,
    proof === "" ? null : h("pre", {}, h("code", {}, proof)),
    found.advice === "" ? null : h("p", { class: "advice" }, found.advice),
  ];
}

/** Why the last run failed or why it does not run yet, and the button that mends it. */
function trouble(task, button) {
  const waiting = waits(task);
  // What a remedy was applied for is told there, until the run with the remedy has something to say.
  const told = task.remedied && (task.runs < task.remedied.run || (task.state === "starting" && !waiting));
  if (!task.diagnosis || told) return null;
  const wrong = task.remedied ? "What went wrong again" : "What went wrong";
  const title = waiting ? "Why it is not running yet" : failed(task) ? wrong : "Why it ended";
  const calm = waiting || !failed(task);
  const able = offer(task) !== null;
  return h("div", { class: calm ? "diagnosis calm" : "diagnosis" }, ...diagnosis(task.diagnosis, title), able ? button : null);
}

/** What was done about a failure, and that failure. */
function remedied({ at, by, sentence, before, after, diagnosis: failure }) {
  return h(
    "div",
    { class: "diagnosis mended" },
    h("h3", {}, "What deskd changed"),
    h("p", {}, h("time", {}, time(at)), ` by ${by}: ${sentence}`),
    h("p", {}, h("span", { class: "before" }, before), h("span", { class: "offscreen" }, ", now "), h("span", { "aria-hidden": "true" }, " → "), h("span", {}, after)),
    ...diagnosis(failure, "What went wrong before"),
  );
}

/** Where it runs, as kubectl would name it. */
function place(task) {
  const object = task.object;
  if (!object) return "deskd's own container";
  const node = task.node ? `, node ${task.node}` : "";
  if (task.engine === "ephemeral_container") return `container ${object.container} of this pod${node}`;
  return `pod ${object.namespace}/${object.pod}${node}`;
}

/** The cell of all details; `button` is the one that applies a remedy. */
export function details(task, button) {
  const list = (title, items) => (items.length === 0 ? null : h("div", {}, h("h3", {}, title), h("ul", {}, ...items.map((item) => h("li", {}, item)))));
  const facts = [
    ["Command", h("code", {}, task.command.join(" "))],
    ...(task.program ? [["Program", h("code", {}, task.program.join(" "))]] : []),
    ["Runs in", place(task)],
    ["Started", task.started_at === null ? "not yet" : time(task.started_at)],
  ];
  if (origin(task) !== null) facts.push(["Origin", origin(task)]);
  if (barred(task) !== null) facts.push(["Stop", barred(task)]);
  if (task.ended_at !== null) facts.push(["Ended", time(task.ended_at)]);
  if (task.pid !== null) facts.push(["Process", String(task.pid)], ["Windows", String(task.windows)]);
  if (task.runs > 1) facts.push(["Runs", String(task.runs)]);
  if (task.log_bytes > 0) facts.push(["Output", bytes(task.log_bytes)]);
  if (task.rusage) {
    facts.push(["CPU time", duration(Math.round((task.rusage.user_us + task.rusage.system_us) / 1000))]);
    facts.push(["Peak memory", bytes(task.rusage.max_rss_kib * 1024)]);
  }
  const moment = ({ at, what, detail }) => h("span", {}, h("time", {}, time(at)), " ", what ?? detail);
  return h(
    "div",
    { role: "cell", class: "more-cell" },
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    trouble(task, button),
    task.remedied ? remedied(task.remedied) : null,
    list("Why this engine", task.reasons),
    list("Why not another", (task.rejected ?? []).map(({ engine, why }) => `${ENGINES[engine] ?? engine}: ${why}`)),
    list("Steps of the stop", task.stop_steps.map(moment)),
    list("History", task.history.map(moment)),
  );
}
