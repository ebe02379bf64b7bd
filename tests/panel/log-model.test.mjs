import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { CHUNK_ROWS, CONTINUED, GAP, LogModel, ranges, ROW_CHARS_MAX, STDERR } = await load("log-model.js");
const line = (text, more = {}) => ({ c: 0, t: "2026-11-24T05:30:26.123456789Z", s: "stdout", p: false, text, ...more });
const filled = (count, limits) => {
  const model = new LogModel(limits);
  for (let n = 0; n < count; n += 500) model.append(Array.from({ length: Math.min(500, count - n) }, (_, i) => line(`row ${n + i}`)));
  return model;
};

test("rows come out as they went in", () => {
  const model = filled(3000);
  assert.equal(model.end - model.first, 3000);
  assert.equal(model.row(2047).text, "row 2047");
  assert.equal(model.row(3000), null);
  assert.equal(model.text(10, 12), "row 10\nrow 11");
});

test("pieces of a line become one row, also across events", () => {
  const model = new LogModel();
  model.append([line("a", { p: true }), line("b", { p: true })]);
  model.append([line("c"), line("d")]);
  assert.equal(model.text(), "abc\nd");
  assert.equal(model.end, 2);
});

test("output of the other stream between two pieces is a row of its own", () => {
  const model = new LogModel();
  model.append([line("one ", { p: true }), line("oops", { s: "stderr" }), line("two")]);
  assert.deepEqual([0, 1, 2].map((n) => [model.row(n).text, model.row(n).flags]), [["one ", 0], ["oops", STDERR], ["two", 0]]);
});

test("a line of megabytes becomes rows of bounded length and is copied as one line", () => {
  const model = new LogModel();
  const long = "x".repeat(1_000_000);
  model.append([line(long.slice(0, 600_000), { p: true }), line(long.slice(600_000)), line("next")]);
  for (let n = 0; n < model.end; n += 1) assert.ok(model.row(n).text.length <= ROW_CHARS_MAX);
  assert.ok(model.row(1).flags & CONTINUED);
  assert.equal(model.text(), `${long}\nnext`);
});

test("neither a pair of surrogates nor an escape is cut", () => {
  const model = new LogModel();
  model.append([line(`${"x".repeat(ROW_CHARS_MAX - 1)}\u{1f600}y`), line(`${"x".repeat(ROW_CHARS_MAX - 2)}\x1b[31mred`)]);
  const rows = Array.from({ length: model.end }, (_, n) => model.row(n).text);
  assert.equal(rows[1], "\u{1f600}y");
  assert.equal(rows[3], "\x1b[31mred");
});

test("colours go on in the next row, per stream", () => {
  const model = new LogModel();
  model.append([line("\x1b[31mred"), line("plain", { s: "stderr" }), line("still red\x1b[0m"), line("over")]);
  assert.deepEqual([0, 1, 2, 3].map((n) => model.row(n).style.fg), [null, null, 1, null]);
});

test("the oldest rows go when there are too many, and numbers stay true", () => {
  const model = filled(10 * CHUNK_ROWS, { rowsMax: 3 * CHUNK_ROWS });
  assert.ok(model.end - model.first <= 3 * CHUNK_ROWS);
  assert.equal(model.end, 10 * CHUNK_ROWS);
  assert.equal(model.row(model.first).text, `row ${model.first}`);
  assert.equal(model.row(model.first - 1), null);
  assert.equal(model.dropped, model.first);
});

test("the oldest rows go when they are too large", () => {
  const model = new LogModel({ charsMax: 1 << 20 });
  for (let n = 0; n < 5000; n += 1) model.append([line("y".repeat(1000))]);
  assert.ok(model.chars <= (1 << 20) + ROW_CHARS_MAX);
});

test("a gap is a row of its own", () => {
  const model = new LogModel();
  model.append([line("half", { p: true })]);
  model.appendGap("42 bytes are missing here");
  model.append([line("rest")]);
  assert.equal(model.row(1).flags, GAP);
  assert.equal(model.end, 3);
});

test("screen rows and rows find each other at every width", () => {
  const model = new LogModel();
  for (let n = 0; n < 3000; n += 1) model.append([line("z".repeat((n * 37) % 400))]);
  for (const columns of [Infinity, 80, 20]) {
    let top = 0;
    for (let n = 0; n < 3000; n += 7) {
      top = model.topOf(n, columns);
      assert.deepEqual(model.at(top, columns), { row: n, top });
    }
    assert.ok(model.height(columns) > top);
  }
});

test("a row that grows changes the height", () => {
  const model = new LogModel();
  model.append([line("x".repeat(10), { p: true })]);
  assert.equal(model.height(20), 1);
  model.append([line("x".repeat(30))]);
  assert.equal(model.height(20), 2);
});

test("a search finds every match, in old rows and new ones, without looking at colours", () => {
  const model = filled(5000);
  model.append([line("a \x1b[31mne\x1b[0medle"), line("two needle needle")]);
  model.search("needle");
  while (model.searchMore(700));
  assert.deepEqual(model.matches, [5000, 5001]);
  assert.equal(model.matchCount, 3);
  model.append([line("nee", { p: true })]);
  model.searchMore(700);
  model.append([line("dle")]);
  model.searchMore(700);
  assert.deepEqual(model.matches, [5000, 5001, 5002]);
  assert.equal(model.matchCount, 4);
});

test("a row that matched and grows is counted once", () => {
  const model = new LogModel();
  model.search("x");
  model.append([line("x", { p: true })]);
  model.searchMore(100);
  model.append([line("xx")]);
  model.searchMore(100);
  assert.deepEqual([model.matches, model.matchCount], [[0], 3]);
});

test("matches in dropped rows are forgotten", () => {
  const model = new LogModel({ rowsMax: 2 * CHUNK_ROWS });
  model.search("row");
  for (let n = 0; n < 10; n += 1) {
    model.append(Array.from({ length: CHUNK_ROWS }, () => line("row")));
    while (model.searchMore(10_000));
  }
  assert.equal(model.matches[0], model.first);
  assert.equal(model.matchCount, model.end - model.first);
});

test("capitals in the query make it exact", () => {
  assert.deepEqual(ranges("Error error ERROR", "error"), [[0, 5], [6, 11], [12, 17]]);
  assert.deepEqual(ranges("Error error ERROR", "Error"), [[0, 5]]);
  assert.deepEqual(ranges("aaa", "aa"), [[0, 2]]);
  assert.deepEqual(ranges("abc", ""), []);
  assert.deepEqual(ranges("\u0130x", "x"), [[1, 2]]);
});

test("a hundred megabytes are taken in seconds and bounded", () => {
  const model = new LogModel();
  const batch = Array.from({ length: 600 }, (_, n) => line(`${n} ${"lorem ipsum ".repeat(8)}`));
  const begun = performance.now();
  for (let n = 0; n < 1700; n += 1) {
    model.append(batch);
    model.height(120);
    model.at(model.height(120) - 1, 120);
  }
  const took = performance.now() - begun;
  assert.ok(model.end - model.first <= 500_000);
  assert.ok(took < 10_000, `${took} ms`);
});
