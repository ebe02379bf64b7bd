// The panel's modules as node can load them: browsers know by the server's word that a `.js` file is
// a module, node by its name or a package file, and the binary needs neither.

import { readFileSync } from "node:fs";

const DIRECTORY = new URL("../../src/deskd/api/panel/", import.meta.url);
const urls = new Map();

function url(name) {
  if (!urls.has(name)) {
    const source = readFileSync(new URL(name, DIRECTORY), "utf8");
    const linked = source.replaceAll(/from "\.\/([\w-]+\.js)"/g, (_, other) => `from "${url(other)}"`);
    urls.set(name, `data:text/javascript;base64,${Buffer.from(linked).toString("base64")}`);
  }
  return urls.get(name);
}

/** The module `name` of the panel. */
export const load = (name) => import(url(name));
