// The operations of Knock's SDKs, read out of their own sources: a newer SDK with more of them is noticed.

import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));

/** Where the Node SDKs call, and how many operations each has. */
const SOURCES = {
  "1.35.0": ["resources", 98, /_client\.(get|post|put|delete|getAPIList)\(\s*(?:\(0, path_1\.path\)\s*)?[`']([^`']+)[`']/g],
  "0.6.19": ["dist/src/resources", 70, /knock\.(get|post|put|delete)\(\s*[`"']([^`"']+)[`"']/g],
  "0.4.3": ["dist/src/resources", 36, /knock\.(get|post|put|delete)\(\s*[`"']([^`"']+)[`"']/g],
};

export const VERSIONS = Object.keys(SOURCES);

async function sources(dir) {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".js"));
  return Promise.all(files.map(({ parentPath, path, name }) => readFile(`${parentPath ?? path}/${name}`, "utf8")));
}

/** The operations of a Node SDK, each as `METHOD /path`, with `{name}` where a path has a name. */
export async function operations(version) {
  const [folder, count, call] = SOURCES[version];
  const found = new Set();
  for (const text of await sources(`${MODULES}/knock-node-${version}/${folder}`)) {
    for (const [, method, path] of text.matchAll(call)) {
      const verb = { getAPIList: "GET" }[method] ?? method.toUpperCase();
      found.add(`${verb} ${path.replace(/\$\{(?:encodeURIComponent\()?(\w+)\)?\}/g, "{$1}")}`);
    }
  }
  if (found.size !== count) throw new Error(`node ${version}: ${found.size} operations instead of ${count}:\n${[...found].join("\n")}`);
  return [...found].sort();
}

/** The described path that `path` is on: literal parts before names. Marks, actions and sections stay what they are. */
export function described(document, method, path) {
  const parts = path.split("/");
  const fits = (pattern) => {
    const names = pattern.split("/");
    return names.length === parts.length && names.every((name, index) => name.startsWith("{") || name === parts[index]);
  };
  const patterns = Object.keys(document.paths).filter((pattern) => fits(pattern) && document.paths[pattern][method.toLowerCase()]);
  const literal = (pattern) => pattern.split("/").map((name) => (name.startsWith("{") ? 1 : 0)).join("");
  const [pattern] = patterns.sort((a, b) => (literal(a) < literal(b) ? -1 : 1));
  if (!pattern) return undefined;
  const own = pattern.split("/").map((name, index) => (/^\{(status|action|section)\}$/.test(name) ? parts[index] : name));
  return { pattern, operation: `${method} ${own.join("/")}` };
}
