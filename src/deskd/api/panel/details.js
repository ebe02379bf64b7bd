// What the unfolded row of a task tells: facts, why it failed, what was done about it, its history.

import { h, prose } from "./dom.js";
import { barred, failed, offer, origin, waits } from "./store.js";
import { bytes, duration, number, t, time } from "./text.js";

/** An engine in a word. */
export function engine(kind) {
  return { local: t("Local"), ephemeral_container: t("Container"), pod_application: t("Pod") }[kind] ?? kind;
}

/** Why it failed or waits: the sentence, what shows it, what to change. */
function diagnosis(found, title) {
  const proof = found.proof.map(({ text }) => text).join("\n");
  return [
    h("h2", {}, found.cause ? title : t("Its last output")),
    found.cause ? h("p", {}, found.sentence) : null,
    proof === "" ? null : h("pre", {}, h("code", {}, proof)),
    found.advice === "" ? null : h("p", { class: "advice" }, ...prose(found.advice)),
  ];
}

/** Why the last run failed or why it does not run yet, and the button that mends it. */
function trouble(task, button) {
  const waiting = waits(task);
  // What a remedy was applied for is told there, until the run with the remedy has something to say.
  const told = task.remedied && (task.runs < task.remedied.run || (task.state === "starting" && !waiting));
  if (!task.diagnosis || told) return null;
  const wrong = task.remedied ? t("What went wrong again") : t("What went wrong");
  const title = waiting ? t("Why it is not running yet") : failed(task) ? wrong : t("Why it ended");
  const calm = waiting || !failed(task);
  const able = offer(task) !== null;
  return h("div", { class: calm ? "diagnosis calm" : "diagnosis" }, ...diagnosis(task.diagnosis, title), able ? button : null);
}

/** What was done about a failure, and that failure. */
function remedied({ at, by, sentence, before, after, diagnosis: failure }) {
  return h(
    "div",
    { class: "diagnosis mended" },
    h("h2", {}, t("What deskd changed")),
    h("p", {}, h("time", {}, time(at)), ` ${t("by {who}: {what}", { who: by, what: sentence })}`),
    h("p", {}, h("span", { class: "before" }, before), h("span", { class: "offscreen" }, `, ${t("now")} `), h("span", { "aria-hidden": "true" }, " → "), h("span", {}, after)),
    ...diagnosis(failure, t("What went wrong before")),
  );
}

/** Where it runs, as kubectl would name it. */
function place(task) {
  const object = task.object;
  if (!object) return t("deskd's own container");
  const { container } = object;
  const where = task.engine === "ephemeral_container" ? t("container {container} of this pod", { container }) : t("pod {pod}", { pod: `${object.namespace}/${object.pod}` });
  return task.node ? `${where}, ${t("node {node}", { node: task.node })}` : where;
}

/** The place that it shares with others or takes over from them, and since when that is there. */
function keeper(task, places) {
  const own = task.object;
  const same = (other) => ["namespace", "pod", "container"].every((key) => own[key] === other[key]);
  const found = own ? places.find(({ object, keeper_since: since }) => since !== null && same(object)) : undefined;
  if (found === undefined) return [];
  const { image, keeper_since: since } = found;
  return [[t("Place"), t("{image}, keeper there since {time}", { image, time: time(since) })]];
}

/** A stage of a launch in words. */
function stageWord(stage) {
  return {
    queue: t("Queue"),
    api: t("API server"),
    schedule: t("Scheduler"),
    pull: t("Image pull"),
    start: t("Process start"),
    first_window: t("First window"),
  }[stage];
}

/** How long each stage of the launch took: what a slow one was slow in. */
function stages(task) {
  const shown = (task.stages ?? []).filter(({ stage, to }) => stageWord(stage) && (to !== null || task.state === "starting"));
  // A program that ended, or never shows a window, was not slow in showing one.
  const timed = shown.filter(({ stage }) => stage !== "first_window" || task.first_window_ms !== null);
  const whole = timed.reduce((sum, { from, to }) => sum + (to ?? from) - from, 0);
  const bar = ({ from, to }) => h("meter", { min: 0, max: Math.max(whole, 1), value: (to ?? from) - from, "aria-hidden": "true" });
  return timed.map((it) => h("span", { class: "stage" }, h("span", {}, stageWord(it.stage)), h("span", { class: "number" }, it.to === null ? t("goes on") : duration(it.to - it.from)), bar(it)));
}

/** The cell of all details; `button` is the one that applies a remedy. */
export function details(task, button, places) {
  const list = (title, items) => (items.length === 0 ? null : h("div", {}, h("h2", {}, title), h("ul", {}, ...items.map((item) => h("li", {}, ...[item].flat())))));
  const facts = [
    [t("Command"), h("code", {}, task.command.join(" "))],
    ...(task.program ? [[t("Program"), h("code", {}, task.program.join(" "))]] : []),
    [t("Runs in"), place(task)],
    ...keeper(task, places ?? []),
    [t("Started"), task.started_at === null ? t("not yet") : time(task.started_at)],
  ];
  if (origin(task) !== null) facts.push([t("Origin"), origin(task)]);
  if (barred(task) !== null) facts.push([t("Stop"), barred(task)]);
  if (task.ended_at !== null) facts.push([t("Ended"), time(task.ended_at)]);
  if (task.pid !== null) facts.push([t("Process"), String(task.pid)], [t("Windows"), number(task.windows)]);
  if (task.runs > 1) facts.push([t("Runs"), number(task.runs)]);
  if (task.log_bytes > 0) facts.push([t("Output"), bytes(task.log_bytes)]);
  if (task.rusage) {
    facts.push([t("CPU time"), duration(Math.round((task.rusage.user_us + task.rusage.system_us) / 1000))]);
    facts.push([t("Peak memory"), bytes(task.rusage.max_rss_kib * 1024)]);
  }
  const moment = ({ at, what, detail }) => h("span", {}, h("time", {}, time(at)), " ", what ?? detail);
  return h(
    "div",
    { role: "cell", class: "more-cell" },
    h("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    trouble(task, button),
    task.remedied ? remedied(task.remedied) : null,
    list(t("Stages of the launch"), stages(task)),
    list(t("Why this engine"), task.reasons.map(prose)),
    list(t("Why not another"), (task.rejected ?? []).map((no) => prose(`${engine(no.engine)}: ${no.why}`))),
    list(t("Steps of the stop"), task.stop_steps.map(moment)),
    list(t("History"), task.history.map(moment)),
  );
}
