// What the tests of this folder proved, once all of them have passed: an operation is proved for an SDK when that SDK
// called it and was answered as described. Fails where an SDK has an operation that no test drove. With BELFRY_FIGURES set,
// writes `docs/compatibility.md`.

import { readFile, readdir, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { VERSIONS, described, operations } from "./operations.js";
import { noPython } from "./python.js";
import { NOTES } from "./recorder.js";

const PAGE = fileURLToPath(new URL("../../docs/compatibility.md", import.meta.url));

const document = JSON.parse(await readFile(`${NOTES}/openapi.json`, "utf8"));

/** Whether `status` is the answer that was asked for: where all that is described is a refusal, the refusal. */
function isAnswer({ pattern }, method, status) {
  const answers = Object.keys(document.paths[pattern][method.toLowerCase()].responses);
  const good = answers.filter((answer) => answer < "300");
  return good.length ? status < 300 : answers.includes(String(status));
}

/** The tests that proved an operation, by operation and SDK. */
const proved = new Map();
const sdks = new Set();
for (const file of (await readdir(NOTES)).filter((name) => name.endsWith(".jsonl"))) {
  for (const line of (await readFile(`${NOTES}/${file}`, "utf8")).trim().split("\n")) {
    const { sdk, method, path, status, test } = JSON.parse(line);
    const found = described(document, method, path);
    if (!found || !isAnswer(found, method, status)) continue;
    sdks.add(sdk);
    if (!proved.has(found.operation)) proved.set(found.operation, new Map());
    const tests = proved.get(found.operation);
    tests.set(sdk, (tests.get(sdk) ?? new Set()).add(test));
  }
}

/** An operation of an SDK's source in the words of the description; `undefined` stands for a name that may be anything. */
const inWords = (operation) => {
  const [method, path] = operation.split(" ");
  return described(document, method, path.replace(/\{(status|action)\}/, "seen").replace(/\{channelType\}/, "email"))?.operation;
};

const unproved = [];
const wanted = new Set();
for (const version of VERSIONS) {
  for (const operation of await operations(version)) {
    const words = inWords(operation);
    wanted.add(words ?? operation);
    if (!proved.get(words)?.has(`node ${version}`)) unproved.push(`node ${version}: ${operation}`);
    const python = [...sdks].find((sdk) => sdk.startsWith("python"));
    if (version === "1.35.0" && !noPython && !proved.get(words)?.has(python)) unproved.push(`${python ?? "python"}: ${operation}`);
  }
}
if (unproved.length) {
  console.error(`no test had these answered:\n${unproved.join("\n")}`);
  process.exit(1);
}

const columns = [...sdks].sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
const cell = (operation, sdk) => [...(proved.get(operation)?.get(sdk) ?? [])].sort().slice(0, 2).join(", ");
const byPath = (operation) => operation.split(" ").reverse().join(" ");
const rows = [...new Set([...wanted, ...proved.keys()])].sort((a, b) => (byPath(a) < byPath(b) ? -1 : 1));
const table = [
  `| Operation | ${columns.join(" | ")} |`,
  `|---|${"---|".repeat(columns.length)}`,
  ...rows.map((operation) => `| \`${operation}\` | ${columns.map((sdk) => cell(operation, sdk)).join(" | ")} |`),
].join("\n");
console.log(`${rows.length} operations, proved for ${columns.join(", ")}`);

if (process.env.BELFRY_FIGURES) {
  const page = await readFile(PAGE, "utf8");
  const [head, rest] = page.split("<!-- operations -->\n");
  const [, tail] = rest.split("<!-- end of operations -->");
  await writeFile(PAGE, `${head}<!-- operations -->\n${table}\n<!-- end of operations -->${tail}`);
}
