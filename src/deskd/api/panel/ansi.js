// Terminal colours: SGR sequences to styled pieces of text. Pure; everything else that a terminal
// would obey (cursor, title, links) is left out of the text.

/** What text looks like; frozen, so that lines can share one. */
export const PLAIN = Object.freeze({ fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false, strike: false });

// CSI, OSC (ended by BEL or ST), other string sequences, two-byte escapes, and an escape that is none.
const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~]|$)|\][^\x07\x1b]*(?:\x07|\x1b\\|$)|[PX^_][^\x1b]*(?:\x1b\\|$)|[ -/]*[0-~]|)/g;
const CONTROL = /[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]/g;

/** Whether the text has anything that is not plain. */
export function isPlain(text) {
  return !text.includes("\x1b");
}

/** The text a reader sees: no escapes, other control characters as pictures, `\r` as a terminal does. */
export function stripped(text) {
  const bare = isPlain(text) ? text : text.replace(ESCAPE, "");
  const [from, to] = keptRange(bare);
  return visible(bare.slice(from, to));
}

/** Pieces `{text, style}` of one line that begins in `style`, and the style after it. */
export function parse(line, style = PLAIN) {
  const raw = [];
  let at = 0;
  for (const found of isPlain(line) ? [] : line.matchAll(ESCAPE)) {
    raw.push({ text: line.slice(at, found.index), style });
    at = found.index + found[0].length;
    if (found[2] === "m") style = sgr(found[1], style);
  }
  raw.push({ text: line.slice(at), style });
  const [from, to] = keptRange(raw.map(({ text }) => text).join(""));
  const pieces = [];
  let start = 0;
  for (const piece of raw) {
    const text = visible(piece.text.slice(Math.max(0, from - start), Math.max(0, to - start)));
    start += piece.text.length;
    if (text !== "") pieces.push({ text, style: piece.style });
  }
  return { pieces, style };
}

/** The style after a line, without making pieces. */
export function styleAfter(line, style) {
  if (isPlain(line)) return style;
  for (const found of line.matchAll(ESCAPE)) {
    if (found[2] === "m") style = sgr(found[1], style);
  }
  return style;
}

/** One SGR sequence's parameters applied to a style (ECMA-48 8.3.117, xterm's 38 and 48). */
export function sgr(parameters, style) {
  const next = { ...style };
  const codes = parameters === "" ? [0] : parameters.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i];
    if (code === 0) Object.assign(next, PLAIN);
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 21 || code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code === 27) next.inverse = false;
    else if (code === 29) next.strike = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code === 39) next.fg = null;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code === 49) next.bg = null;
    else if (code >= 90 && code <= 97) next.fg = code - 82;
    else if (code >= 100 && code <= 107) next.bg = code - 92;
    else if (code === 38 || code === 48) {
      const { color, used } = extended(codes, i + 1);
      i += used;
      if (color !== undefined) next[code === 38 ? "fg" : "bg"] = color;
    }
  }
  return same(next, PLAIN) ? PLAIN : Object.freeze(next);
}

/** Whether two styles look alike. */
export function same(a, b) {
  return Object.keys(PLAIN).every((key) => a[key] === b[key]);
}

function extended(codes, at) {
  const byte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
  if (codes[at] === 5) {
    return { color: byte(codes[at + 1]) ? indexed(codes[at + 1]) : undefined, used: 2 };
  }
  if (codes[at] === 2) {
    const rgb = codes.slice(at + 1, at + 4);
    return { color: rgb.length === 3 && rgb.every(byte) ? `rgb(${rgb.join(" ")})` : undefined, used: 4 };
  }
  return { color: undefined, used: 1 };
}

/** xterm's 256 colours: the first 16 are the theme's, then a 6x6x6 cube, then greys. */
function indexed(index) {
  if (index < 16) return index;
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return `rgb(${grey} ${grey} ${grey})`;
  }
  const level = (value) => (value === 0 ? 0 : 55 + value * 40);
  const cube = index - 16;
  return `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`;
}

/** What stays of a line on a terminal when `\r` went back to its beginning. */
function keptRange(text) {
  if (!text.includes("\r")) return [0, text.length];
  let to = text.length;
  while (text[to - 1] === "\r") to -= 1;
  return [text.lastIndexOf("\r", to - 1) + 1, to];
}

/** Control characters as their Unicode pictures. */
function visible(text) {
  return text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    return String.fromCharCode(code === 0x7f ? 0x2421 : 0x2400 + code);
  });
}
