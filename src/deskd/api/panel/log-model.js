// The lines of a log in memory: chunked, bounded, searchable. Pure: no document here.
//
// A row is at most ROW_CHARS_MAX characters; longer lines go on in rows marked as continued. Rows
// are numbered from the first that ever came, so numbers stay true when the oldest are dropped.

import { PLAIN, isPlain, stripped, styleAfter } from "./ansi.js";

/** Longest row, in UTF-16 units: one element of the page. */
export const ROW_CHARS_MAX = 4096;
/** Rows per chunk; the oldest chunk is dropped as a whole. */
export const CHUNK_ROWS = 1024;
/** Rows kept. */
export const ROWS_MAX = 500_000;
/** Characters kept. */
export const CHARS_MAX = 96 << 20;
/** Rows with a match that are remembered. */
export const MATCH_ROWS_MAX = 100_000;

/** Row flags. */
export const STDERR = 1;
export const CONTINUED = 2;
export const GAP = 4;

class Chunk {
  constructor() {
    this.text = [];
    this.time = [];
    this.flags = new Uint8Array(CHUNK_ROWS);
    this.width = new Uint16Array(CHUNK_ROWS);
    this.styles = new Map();
    this.chars = 0;
    this.wrapped = { columns: 0, upTo: 0, rows: 0 };
  }

  /** Screen rows of this chunk at a width; counted once per row. */
  screenRows(columns) {
    const count = this.wrapped;
    if (count.columns !== columns) Object.assign(count, { columns, upTo: 0, rows: 0 });
    while (count.upTo < this.text.length) {
      count.rows += screenRows(this.width[count.upTo], columns);
      count.upTo += 1;
    }
    return count.rows;
  }
}

/** Screen rows of a row `width` columns wide. */
export function screenRows(width, columns) {
  return columns === Infinity ? 1 : Math.max(1, Math.ceil(width / columns));
}

export class LogModel {
  constructor(limits = {}) {
    this.rowsMax = limits.rowsMax ?? ROWS_MAX;
    this.charsMax = limits.charsMax ?? CHARS_MAX;
    this.clear();
  }

  clear() {
    this.chunks = [];
    this.first = 0;
    this.end = 0;
    this.chars = 0;
    this.style = [PLAIN, PLAIN];
    this.lastTime = "";
    this.open = null;
    this.query = "";
    this.matches = [];
    this.matchCount = 0;
    this.searchedTo = 0;
  }

  /** Rows that were dropped at the beginning. */
  get dropped() {
    return this.first;
  }

  /** Adds the records of one `lines` event. */
  append(records) {
    for (const record of records) {
      const stream = record.s === "stderr" ? 1 : 0;
      this.lastTime = record.t === this.lastTime ? this.lastTime : record.t;
      const goesOn = this.open !== null && this.open.stream === stream;
      this.addText(record.text, stream, goesOn);
      this.open = record.p ? { stream } : null;
    }
    this.trim();
  }

  /** Adds a row that says that bytes are missing. */
  appendGap(text) {
    this.open = null;
    this.pushRow(text, GAP, PLAIN);
    this.trim();
  }

  addText(text, stream, goesOn) {
    let rest = text;
    if (goesOn) {
      const last = this.chunks.at(-1);
      const at = last.text.length - 1;
      const room = ROW_CHARS_MAX - last.text[at].length;
      const taken = cut(rest, Math.max(0, room));
      if (taken > 0) this.extendRow(last, at, rest.slice(0, taken), stream);
      rest = rest.slice(taken);
      if (rest === "") return;
    }
    let flags = (stream === 1 ? STDERR : 0) | (goesOn ? CONTINUED : 0);
    do {
      const taken = cut(rest, ROW_CHARS_MAX);
      const piece = rest.slice(0, taken);
      this.pushRow(piece, flags, this.style[stream]);
      this.style[stream] = styleAfter(piece, this.style[stream]);
      rest = rest.slice(taken);
      flags |= CONTINUED;
    } while (rest !== "");
  }

  extendRow(chunk, at, more, stream) {
    chunk.text[at] += more;
    chunk.chars += more.length;
    this.chars += more.length;
    this.style[stream] = styleAfter(more, this.style[stream]);
    if (chunk.wrapped.upTo > at) chunk.wrapped.columns = 0;
    chunk.width[at] = widthOf(chunk.text[at]);
    this.searchedTo = Math.min(this.searchedTo, this.end - 1);
    if (this.matches.at(-1) === this.end - 1) {
      this.matches.pop();
      this.matchCount -= this.matchesIn(chunk.text[at].slice(0, -more.length));
    }
  }

  pushRow(text, flags, style) {
    let chunk = this.chunks.at(-1);
    if (chunk === undefined || chunk.text.length === CHUNK_ROWS) {
      chunk = new Chunk();
      this.chunks.push(chunk);
    }
    const at = chunk.text.length;
    chunk.text.push(text);
    chunk.time.push(this.lastTime);
    chunk.flags[at] = flags;
    chunk.width[at] = widthOf(text);
    if (style !== PLAIN) chunk.styles.set(at, style);
    chunk.chars += text.length;
    this.chars += text.length;
    this.end += 1;
  }

  trim() {
    while (this.chunks.length > 1 && (this.end - this.first > this.rowsMax || this.chars > this.charsMax)) {
      const oldest = this.chunks.shift();
      const end = this.first + oldest.text.length;
      let gone = 0;
      while (gone < this.matches.length && this.matches[gone] < end) {
        this.matchCount -= this.matchesIn(oldest.text[this.matches[gone] - this.first]);
        gone += 1;
      }
      this.matches.splice(0, gone);
      this.first = end;
      this.chars -= oldest.chars;
    }
    this.searchedTo = Math.max(this.searchedTo, this.first);
  }

  /** Row number `n`, or nothing when it is not there. */
  row(n) {
    if (n < this.first || n >= this.end) return null;
    const chunk = this.chunks[Math.floor((n - this.first) / CHUNK_ROWS)];
    const at = (n - this.first) % CHUNK_ROWS;
    return { text: chunk.text[at], time: chunk.time[at], flags: chunk.flags[at], style: chunk.styles.get(at) ?? PLAIN };
  }

  /** Screen rows of everything at a width. */
  height(columns) {
    if (columns === Infinity) return this.end - this.first;
    return this.chunks.reduce((sum, chunk) => sum + chunk.screenRows(columns), 0);
  }

  /** The row at a screen row, and where that row begins. */
  at(screenRow, columns) {
    if (columns === Infinity) {
      const row = Math.max(this.first, Math.min(this.first + screenRow, this.end - 1));
      return { row, top: row - this.first };
    }
    let top = 0;
    let row = this.first;
    for (const chunk of this.chunks) {
      const rows = chunk.screenRows(columns);
      if (top + rows > screenRow) {
        for (let at = 0; at < chunk.text.length; at += 1) {
          const here = screenRows(chunk.width[at], columns);
          if (top + here > screenRow) return { row: row + at, top };
          top += here;
        }
      }
      top += rows;
      row += chunk.text.length;
    }
    const last = Math.max(this.first, this.end - 1);
    return { row: last, top: this.topOf(last, columns) };
  }

  /** The screen row at which row `n` begins. */
  topOf(n, columns) {
    if (columns === Infinity) return n - this.first;
    let left = n - this.first;
    let top = 0;
    for (const chunk of this.chunks) {
      if (left >= chunk.text.length) {
        top += chunk.screenRows(columns);
        left -= chunk.text.length;
        continue;
      }
      for (let at = 0; at < left; at += 1) top += screenRows(chunk.width[at], columns);
      break;
    }
    return top;
  }

  /** Begins a search; `searchMore` does the work. Case matters only when the query has capitals. */
  search(query) {
    this.query = query;
    this.matches = [];
    this.matchCount = 0;
    this.searchedTo = query === "" ? this.end : this.first;
  }

  /** Searches at most `rows` further rows; whether there are more. */
  searchMore(rows) {
    if (this.query === "") {
      this.searchedTo = this.end;
      return false;
    }
    const to = Math.min(this.end, this.searchedTo + rows);
    for (let n = this.searchedTo; n < to; n += 1) {
      const chunk = this.chunks[Math.floor((n - this.first) / CHUNK_ROWS)];
      const count = this.matchesIn(chunk.text[(n - this.first) % CHUNK_ROWS]);
      if (count === 0) continue;
      this.matchCount += count;
      if (this.matches.length < MATCH_ROWS_MAX) this.matches.push(n);
    }
    this.searchedTo = to;
    return to < this.end;
  }

  matchesIn(text) {
    return ranges(stripped(text), this.query).length;
  }

  /** All text from row `from` to before `to`, as it was written but for colours. */
  text(from = this.first, to = this.end) {
    const parts = [];
    for (let n = from; n < to; n += 1) {
      const row = this.row(n);
      if (n > from && !(row.flags & CONTINUED)) parts.push("\n");
      parts.push(stripped(row.text));
    }
    return parts.join("");
  }
}

/** Where `query` occurs in `text`: `[from, to]` pairs that do not overlap. */
export function ranges(text, query) {
  if (query === "") return [];
  const exact = query !== query.toLowerCase();
  const hay = exact ? text : text.toLowerCase();
  // Some characters change their length in lower case: then positions would not fit.
  const within = hay.length === text.length ? hay : text;
  const found = [];
  for (let at = within.indexOf(query); at >= 0; at = within.indexOf(query, at + query.length)) {
    found.push([at, at + query.length]);
  }
  return found;
}

/** How many characters of `text` fit into `room` without cutting a pair or an escape's start. */
function cut(text, room) {
  if (text.length <= room) return text.length;
  const code = text.charCodeAt(room - 1);
  const pair = code >= 0xd800 && code <= 0xdbff ? room - 1 : room;
  const escape = text.lastIndexOf("\x1b", pair - 1);
  return escape > 0 && pair - escape < 24 ? escape : pair;
}

function widthOf(text) {
  const shown = isPlain(text) && !text.includes("\r") ? text : stripped(text);
  if (!/[^\x20-\x7e]/.test(shown)) return shown.length;
  let width = 0;
  for (const character of shown) {
    const code = character.codePointAt(0);
    if (code === 9) width += 8 - (width % 8);
    else width += (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xffdc && code < 0xff61) || code >= 0x1f300 ? 2 : 1;
  }
  return Math.min(width, 65535);
}
