import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./modules.mjs";

const { bytes, capitalized, counted, duration, t } = await load("text.js");

test("a text without a catalogue is English, with its values filled in once", () => {
  assert.equal(t("{name} ended: {how}", { name: "{how}", how: "well" }), "{how} ended: well");
  assert.equal(t("{name} ended", {}), "{name} ended");
  assert.equal(counted(1, "1 line", "{count} lines"), "1 line");
  assert.equal(counted(1234, "1 line", "{count} lines"), "1,234 lines");
  assert.equal(capitalized("it ended"), "It ended");
});

test("amounts are short", () => {
  assert.deepEqual([7, 1200, 12_345_678, 512_000_000].map(bytes), ["7 bytes", "1.2 kB", "12.3 MB", "512 MB"]);
  assert.deepEqual([161, 2400, 180_000, 7_260_000].map(duration), ["161 ms", "2.4 s", "3 min", "2 h 1 min"]);
});
