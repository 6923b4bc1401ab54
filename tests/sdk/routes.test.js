// Every operation that Knock's SDKs have is answered by something other than "there is no such route". The operations
// are read out of the SDKs' own sources, so that a newer SDK with more of them fails here.

import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { after, before, describe, test } from "node:test";
import { Belfry, FEED, FEED_ONLY } from "./server.js";

const MODULES = fileURLToPath(new URL("node_modules", import.meta.url));

/** Names in paths that must be of a kind. */
const VALUES = { channelID: FEED, channelId: FEED, feedId: FEED, status: "seen", action: "seen", channelType: "email", key: "alert" };

/** What stands where a path has a name. */
const value = (name) => VALUES[name] ?? "x";

/** What is not built yet. */
const COMING = /\/v1\/workflow_recipient_runs/;

async function sources(dir) {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".js"));
  return Promise.all(files.map(({ parentPath, path, name }) => readFile(`${parentPath ?? path}/${name}`, "utf8")));
}

/** The operations in sources that call `<client>.<method>(<path>`, each as `METHOD /path`. */
function operations(texts, call) {
  const found = new Set();
  for (const text of texts) {
    for (const [, method, path] of text.matchAll(call)) {
      const verb = { getAPIList: "GET" }[method] ?? method.toUpperCase();
      found.add(`${verb} ${path.replace(/\$\{(?:encodeURIComponent\()?(\w+)\)?\}/g, (_, name) => value(name))}`);
    }
  }
  return [...found].sort();
}

describe("routes", { timeout: 120_000 }, () => {
  let belfry;
  before(async () => (belfry = await Belfry.start({ env: FEED_ONLY })));
  after(() => belfry?.stop());

  const sdks = [
    ["1.35.0", "resources", 98, /_client\.(get|post|put|delete|getAPIList)\(\s*(?:\(0, path_1\.path\)\s*)?[`']([^`']+)[`']/g],
    ["0.6.19", "dist/src/resources", 70, /knock\.(get|post|put|delete)\(\s*[`"']([^`"']+)[`"']/g],
    ["0.4.3", "dist/src/resources", 36, /knock\.(get|post|put|delete)\(\s*[`"']([^`"']+)[`"']/g],
  ];
  for (const [version, folder, count, call] of sdks) {
    test(`node ${version}: no operation meets a missing route`, async () => {
      const all = operations(await sources(`${MODULES}/knock-node-${version}/${folder}`), call);
      assert.equal(all.length, count, `other operations were found than this test knows to read:\n${all.join("\n")}`);
      const missing = [];
      for (const operation of all) {
        const [method, path] = operation.split(" ");
        const answer = await belfry.call(method, path, { body: method === "GET" ? undefined : {} });
        assert.ok(answer.status < 500, `${operation}: ${answer.status} ${answer.text}`);
        if (answer.status === 404 && answer.json().message.endsWith("paths begin with /v1/")) missing.push(operation);
      }
      assert.deepEqual(missing.filter((operation) => !COMING.test(operation)), []);
    });
  }
});
