// Building elements. Text is always text: nothing here parses HTML.

import { address } from "./stream.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`onclick: fn`) and children (strings become text). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text as children of an element: what is between backticks is code, as the daemon writes commands and settings. */
export function prose(text) {
  const pieces = text.split("`");
  return pieces.length % 2 === 0 ? [text] : pieces.map((piece, at) => (at % 2 === 0 ? piece : h("code", {}, piece)));
}

/** Sets text only when it differs, so that nothing is laid out again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets or removes an attribute when it differs. */
export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** A stroke icon of 16 units; decoration, so hidden from screen readers. */
export function glyph(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "glyph");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** An application's icon, from its address, or a coloured letter. */
export function appIcon(app, name) {
  const letter = () => {
    const box = h("span", { class: "icon letter", "aria-hidden": "true" }, (name.trim()[0] ?? "?").toUpperCase());
    let hash = 0;
    for (const character of name) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
    box.style.setProperty("--hue", String(hash % 360));
    return box;
  };
  if (!app?.icon) return letter();
  const image = h("img", { class: "icon", alt: "", src: address(app.icon), loading: "lazy" });
  image.addEventListener("error", () => image.replaceWith(letter()), { once: true });
  return image;
}

/** Copies text; works without a secure context (plain HTTP to a pod's address) too. */
export async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed here: the old way below.
    }
  }
  const box = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  box.value = text;
  document.body.append(box);
  box.select();
  const copied = document.execCommand("copy");
  box.remove();
  return copied;
}
