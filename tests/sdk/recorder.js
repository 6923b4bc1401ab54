// Notes which operations each official SDK called and how it was answered, by listening to this process's HTTP clients:
// the SDKs name themselves in a header. `compatibility.js` makes a table of the notes of all test files.

import { subscribe } from "node:diagnostics_channel";
import { appendFileSync, mkdirSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";

export const NOTES = fileURLToPath(new URL(".calls", import.meta.url));

const noted = new Set();
const test = basename(process.argv[1] ?? "", ".test.js");

/** The SDK that sent these headers, as `node 1.35.0`. */
function sdk(headers) {
  const agent = headers["x-knock-client"] ?? headers["user-agent"] ?? "";
  const names = { "Knock/JS": "node", "knocklabs/node@": "node", "Knock/Python": "python", "Knock/ClientJS": "client" };
  const [name] = Object.keys(names).filter((name) => agent.startsWith(name));
  return name && `${names[name]} ${agent.slice(name.length).trim()}`;
}

/** Notes a call once. */
export function note(headers, method, path, status) {
  const caller = sdk(headers);
  if (!caller) return;
  noted.add(JSON.stringify({ sdk: caller, method: method.toUpperCase(), path: path.split("?")[0], status, test }));
}

/** Headers in the forms that HTTP clients keep them in, by their names in lower case. */
function named(headers) {
  if (typeof headers === "string") headers = headers.split("\r\n").flatMap((line) => line.split(/: (.*)/s).slice(0, 2));
  if (!Array.isArray(headers)) return headers;
  const pairs = headers.flatMap((name, index) => (index % 2 ? [] : [[String(name).toLowerCase(), String(headers[index + 1])]]));
  return Object.fromEntries(pairs);
}

subscribe("undici:request:headers", ({ request, response }) =>
  note(named(request.headers), request.method, request.path, response.statusCode));
subscribe("http.client.response.finish", ({ request, response }) =>
  note(request.getHeaders(), request.method, request.path, response.statusCode));

process.on("exit", () => {
  if (!noted.size) return;
  mkdirSync(NOTES, { recursive: true });
  appendFileSync(`${NOTES}/${test}.jsonl`, [...noted].map((line) => `${line}\n`).join(""));
});
