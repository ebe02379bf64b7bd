// Texts in the language of the page, and numbers and times as its reader writes them.
//
// The English text is the key, as in gettext: a text that the catalogue does not have is shown in
// English. Sentences about tasks come from the daemon, which is asked for the same language.

/** The page's language: `de`. */
export const language = globalThis.document?.documentElement.lang || "en";
/** The same with the region that the reader prefers: `de-CH`. */
const locale = globalThis.navigator?.languages?.find((tag) => tag.split("-")[0] === language) ?? language;
const plural = new Intl.PluralRules(language);
let catalogue = {};

/** Fetches the catalogue; without it the page is in English. */
export async function load() {
  if (language === "en") return;
  try {
    const response = await fetch(new URL(`texts-${language}.json`, import.meta.url));
    if (response.ok) catalogue = await response.json();
  } catch {
    // English, then.
  }
}

/** A text with its `{name}`s filled in. */
export function t(english, values = {}) {
  return (catalogue[english] ?? english).replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** One of two texts about so many things, which are its `{count}`. */
export function counted(count, one, other) {
  return t(plural.select(count) === "one" ? one : other, { count: number(count) });
}

/** `1,234.5` */
export function number(value, options = {}) {
  return value.toLocaleString(locale, options);
}

/** The order of two names. */
export function compare(a, b) {
  return a.localeCompare(b, locale);
}

/** With its first letter as at the start of a sentence. */
export function capitalized(text) {
  return text.charAt(0).toLocaleUpperCase(locale) + text.slice(1);
}

/** A time of the day, to the second. */
export function time(at) {
  return new Date(at).toLocaleTimeString(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
}

/** `1.2 MB` */
export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  const digits = at === 0 || count >= 100 ? 0 : 1;
  const unitDisplay = at === 0 ? "long" : "short";
  return number(count, { style: "unit", unit: units[at], unitDisplay, minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `161 ms`, `2.4 s`, `3 min` */
export function duration(ms) {
  if (ms < 1000) return `${number(ms)} ms`;
  if (ms < 60_000) return `${number(ms / 1000, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} s`;
  if (ms < 3_600_000) return `${number(Math.floor(ms / 60_000))} min`;
  return `${number(Math.floor(ms / 3_600_000))} h ${number(Math.floor((ms % 3_600_000) / 60_000))} min`;
}
