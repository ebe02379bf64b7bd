// Modal dialogs (environment, confirmation) and the messages that come and go.

import { copyText, h } from "./dom.js";
import { t } from "./text.js";

/** How long a message stays. */
const TOAST_MS = 8000;

/** A message; errors stay until they are closed. */
export function toast(text, kind = "error") {
  const box = document.getElementById("toasts");
  const item = h("div", { class: `toast ${kind}` }, h("span", {}, text));
  item.append(h("button", { type: "button", class: "quiet", "aria-label": t("Close this message"), onclick: () => item.remove() }, "×"));
  box.append(item);
  while (box.children.length > 4) box.firstElementChild.remove();
  setTimeout(() => item.remove(), TOAST_MS);
}

function dialog(title, ...content) {
  const box = h("dialog", { class: "dialog", "aria-label": title }, h("h2", {}, title), ...content);
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", (event) => {
    if (event.target === box) box.close();
  });
  document.body.append(box);
  box.showModal();
  return box;
}

/** Asks; resolves to whether the answer was yes. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    const say = (answer) => () => {
      resolve(answer);
      box.close();
    };
    const box = dialog(
      title,
      h("p", {}, text),
      h(
        "div",
        { class: "dialog-buttons" },
        h("button", { type: "button", onclick: say(false) }, t("Cancel")),
        h("button", { type: "button", class: "danger", autofocus: true, onclick: say(true) }, yes),
      ),
    );
    box.addEventListener("close", () => resolve(false));
  });
}

/** The environment of a task, with a filter; `opener` gets the focus back, which had it before the question. */
export function showEnvironment(task, variables, opener) {
  const rows = variables.map(({ name, value }) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: value.includes("[redacted]") ? "muted" : "" }, value)),
  );
  const body = h("tbody", {}, ...rows);
  const filter = h("input", { type: "search", placeholder: t("Filter…"), "aria-label": t("Filter variables"), autofocus: true });
  filter.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  const copy = h("button", { type: "button" }, t("Copy all"));
  copy.addEventListener("click", async () => {
    const text = variables.map(({ name, value }) => `${name}=${value}`).join("\n");
    copy.textContent = (await copyText(text)) ? t("Copied") : t("Could not copy");
  });
  const box = dialog(
    t("Environment of {name}", { name: task.display_name }),
    h("p", { class: "muted" }, t("Variables as the application got them at its start. Secret values are hidden.")),
    h("div", { class: "dialog-bar" }, filter, copy),
    h("div", { class: "env" }, h("table", {}, h("caption", { class: "offscreen" }, t("Variables")), body)),
    h("div", { class: "dialog-buttons" }, h("button", { type: "button", onclick: () => box.close() }, t("Close"))),
  );
  box.addEventListener("close", () => opener.focus());
}
