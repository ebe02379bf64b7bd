// The field that finds an application and starts it: the ARIA combobox pattern with a listbox.

import { appIcon, h } from "./dom.js";
import { searchApps } from "./store.js";
import { t } from "./text.js";

/** Most options shown; more than fit on a screen help nobody. */
const OPTIONS_MAX = 40;

export class AppSearch {
  /** `apps()` gives the applications, `start(app)` starts one. */
  constructor(input, list, apps, start) {
    Object.assign(this, { input, list, apps, start, options: [], active: -1 });
    input.addEventListener("input", () => this.show());
    input.addEventListener("click", () => this.show());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("blur", () => this.hide());
    // The field keeps the focus while an option is clicked.
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option !== null) this.choose(Number(option.dataset.at));
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select, dialog");
      if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.focus();
      input.select();
    });
  }

  get open() {
    return !this.list.hidden;
  }

  show() {
    this.options = searchApps(this.apps(), this.input.value).slice(0, OPTIONS_MAX);
    const rows = this.options.map((app, at) => this.option(app, at));
    const none = h("li", { class: "none", role: "presentation" }, this.input.value === "" ? t("No applications are configured.") : t("No application matches these words."));
    this.list.replaceChildren(...(rows.length > 0 ? rows : [none]));
    this.list.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    this.activate(this.options.length > 0 ? 0 : -1);
  }

  option(app, at) {
    const problem = app.problems[0];
    const more = problem ?? [app.id, ...app.categories.slice(0, 2)].join(" · ");
    return h(
      "li",
      { role: "option", id: `app-${app.id}`, "data-at": at, "aria-selected": "false" },
      appIcon(app, app.display_name),
      h("span", { class: "words" }, h("b", {}, app.display_name), h("small", { class: problem ? "problem" : "muted" }, more)),
      h("kbd", { "aria-hidden": "true" }, "Enter"),
    );
  }

  hide() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
    this.active = -1;
  }

  activate(at) {
    const rows = this.list.children;
    rows[this.active]?.setAttribute("aria-selected", "false");
    this.active = at;
    if (at < 0) return this.input.removeAttribute("aria-activedescendant");
    rows[at].setAttribute("aria-selected", "true");
    rows[at].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", rows[at].id);
  }

  key(event) {
    if (event.isComposing) return;
    const count = this.options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!this.open) return this.show();
      const step = event.key === "ArrowDown" ? 1 : -1;
      if (count > 0) this.activate((this.active + step + count) % count);
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (!this.open && this.input.value.trim() === "") return;
      if (!this.open) this.show();
      if (this.active >= 0) this.choose(this.active);
    } else if (event.key === "Escape") {
      if (this.open) this.hide();
      else this.input.value = "";
    }
  }

  choose(at) {
    const app = this.options[at];
    this.input.value = "";
    this.hide();
    this.start(app);
  }
}
