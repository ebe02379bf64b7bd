// The desktop's health in one line, its checks unfolded on demand.

import { h, setAttribute, setText } from "./dom.js";
import { number, t } from "./text.js";

export class Health {
  constructor(button, text, checks, name) {
    Object.assign(this, { button, text, checks, name });
    button.addEventListener("click", () => this.unfold(checks.hidden));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && !checks.hidden) {
        this.unfold(false);
        button.focus();
      }
    });
    document.addEventListener("pointerdown", (event) => {
      if (!checks.hidden && !event.target.closest(".health")) this.unfold(false);
    });
  }

  unfold(open) {
    this.checks.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }

  /** Shows a desktop; `open` is whether the daemon is connected. */
  show(desktop, open) {
    const state = !open || desktop === null ? "unknown" : desktop.ready ? "well" : "ill";
    setAttribute(this.button, "data-state", state);
    setText(this.text, desktop === null ? t("Connecting…") : desktop.sentence);
    if (desktop === null) return;
    setText(this.name, desktop.name);
    document.title = `${desktop.ready ? "" : "⚠ "}${t("Tasks")} · ${desktop.name}`;
    const server = desktop.display.server;
    const facts = [
      [t("Display"), desktop.display.display],
      [t("Screen"), server ? `${server.width_px} × ${server.height_px}` : t("unknown")],
      [t("Server"), server ? server.vendor : t("does not answer")],
      ["deskd", desktop.version],
    ];
    this.checks.replaceChildren(
      h("ul", { class: "checks" }, ...desktop.checks.map(check)),
      ...desktop.kubernetes.rights.filter((right) => !right.allowed).map((right) => h("p", { class: "note" }, right.sentence)),
      ...desktop.display.notes.map((note) => h("p", { class: "note" }, note)),
      h("dl", { class: "facts" }, ...facts.concat(ready(desktop.kubernetes.places)).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
    );
  }
}

/** What is there before anybody asks, by image. */
function ready(places) {
  const images = new Map();
  for (const { image, state, warm } of places ?? []) {
    if (warm && state === "up") images.set(image, (images.get(image) ?? 0) + 1);
  }
  if (images.size === 0) return [];
  const pods = [...images].map(([image, count]) => `${number(count)} × ${image}`);
  return [[t("Pods kept ready"), pods.join(", ")]];
}

function check({ name, ok, detail, required }) {
  const state = ok ? "well" : required ? "ill" : "warn";
  const word = ok ? t("passes") : t("fails");
  return h(
    "li",
    { "data-state": state },
    h("span", { class: "dot", "aria-hidden": "true" }),
    h("b", {}, name, h("span", { class: "offscreen" }, ` ${word}: `)),
    h("span", { class: "detail" }, detail, required ? null : h("small", { class: "muted" }, ` (${t("not required")})`)),
  );
}
