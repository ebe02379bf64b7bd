import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { parse, PLAIN, sgr, stripped, styleAfter } = await load("ansi.js");
const texts = (line) => parse(line).pieces.map(({ text }) => text);

test("text without escapes is one plain piece", () => {
  assert.deepEqual(parse("plain <b>text</b> & more"), { pieces: [{ text: "plain <b>text</b> & more", style: PLAIN }], style: PLAIN });
  assert.deepEqual(parse("").pieces, []);
});

test("the sixteen colours, bright ones too, and their ends", () => {
  const { pieces, style } = parse("a\x1b[31mred\x1b[39;44mon blue\x1b[0m\x1b[92;103mbright");
  assert.deepEqual(pieces.map(({ text, style: { fg, bg } }) => [text, fg, bg]), [
    ["a", null, null],
    ["red", 1, null],
    ["on blue", null, 4],
    ["bright", 10, 11],
  ]);
  assert.equal(style.fg, 10);
});

test("256 colours and true colours, with semicolons and colons", () => {
  assert.equal(sgr("38;5;9", PLAIN).fg, 9);
  assert.equal(sgr("38;5;196", PLAIN).fg, "rgb(255 0 0)");
  assert.equal(sgr("48;5;244", PLAIN).bg, "rgb(128 128 128)");
  assert.equal(sgr("38;2;1;2;3", PLAIN).fg, "rgb(1 2 3)");
  assert.equal(sgr("38:5:21", PLAIN).fg, "rgb(0 0 255)");
  assert.deepEqual(sgr("1;38;2;1;2;3;4", PLAIN), { ...PLAIN, bold: true, underline: true, fg: "rgb(1 2 3)" });
});

test("colours that are none change nothing", () => {
  for (const bad of ["38;5;300", "38;2;1;2", "38", "48;2;999;0;0", "38;5;", "107x", "999"]) {
    const style = sgr(bad, PLAIN);
    assert.ok(style.fg === null || style.fg === 0, `${bad}: ${style.fg}`);
    assert.equal(typeof style.bg === "string" && style.bg.includes("999"), false);
  }
});

test("attributes come and go", () => {
  const on = sgr("1;2;3;4;7;9", PLAIN);
  assert.deepEqual(on, { fg: null, bg: null, bold: true, dim: true, italic: true, underline: true, inverse: true, strike: true });
  assert.equal(sgr("22;23;24;27;29", on), PLAIN);
  assert.equal(sgr("", on), PLAIN);
});

test("everything else that a terminal would obey is left out", () => {
  assert.deepEqual(texts("a\x1b[2Kb\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\x1b(Be\x1b[?25lf\x1b"), ["a", "b", "c", "d", "e", "f"]);
  assert.equal(stripped("x\x1b[31my\x1b[0mz\x1b[1;"), "xyz");
});

test("other control characters are shown as pictures, tabs stay", () => {
  assert.equal(stripped("a\0b\x07c\td\x7f"), "a\u2400b\u2407c\td\u2421");
});

test("a carriage return goes back to the beginning of the line", () => {
  assert.equal(stripped(" 10%\r 50%\r100%"), "100%");
  assert.equal(stripped("windows line\r"), "windows line");
  assert.deepEqual(texts("\x1b[32m 10%\r\x1b[33m 50%\r"), [" 50%"]);
});

test("a style goes on in the next line", () => {
  const style = styleAfter("\x1b[1;31mred", PLAIN);
  assert.deepEqual(parse("still red\x1b[0m not", style).pieces.map(({ text, style: { fg } }) => [text, fg]), [["still red", 1], [" not", null]]);
});

test("stripped text is the joined text of the pieces, whatever the bytes", () => {
  const alphabet = ["\x1b", "[", "]", "3", "1", ";", "m", "a", "\r", "\x07", "\\", "(", "\0", "é"];
  let seed = 1;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 5000; round += 1) {
    const line = Array.from({ length: random(12) }, () => alphabet[random(alphabet.length)]).join("");
    assert.equal(texts(line).join(""), stripped(line), JSON.stringify(line));
    assert.ok(!stripped(line).includes("\x1b"), JSON.stringify(line));
  }
});
