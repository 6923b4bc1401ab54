// Every operation that Knock's SDKs have is answered by something other than "there is no such route", and is described.

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { VERSIONS, described, operations } from "./operations.js";
import { NOTES } from "./recorder.js";
import { Belfry, FEED, FEED_ONLY } from "./server.js";

/** Names in paths that must be of a kind. */
const VALUES = { channelID: FEED, channelId: FEED, feedId: FEED, status: "seen", action: "seen", channelType: "email", key: "alert" };

/** A path with something where it has a name. */
const filled = (path) => path.replace(/\{(\w+)\}/g, (_, name) => VALUES[name] ?? "x");

describe("routes", { timeout: 120_000 }, () => {
  let belfry, document;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    document = (await belfry.call("GET", "/v1/openapi", { key: null })).json();
    await mkdir(NOTES, { recursive: true });
    await writeFile(`${NOTES}/openapi.json`, JSON.stringify(document));
  });
  after(() => belfry?.stop());

  for (const version of VERSIONS) {
    test(`node ${version}: no operation meets a missing route`, async () => {
      const [missing, undescribed] = [[], []];
      for (const operation of await operations(version)) {
        const [method, path] = operation.split(" ").map(filled);
        const answer = await belfry.call(method, path, { body: method === "GET" ? undefined : {} });
        assert.ok(answer.status < 500, `${operation}: ${answer.status} ${answer.text}`);
        if (answer.status === 404 && answer.json().message.endsWith("paths begin with /v1/")) missing.push(operation);
        if (!described(document, method, path)) undescribed.push(operation);
      }
      assert.deepEqual(missing, []);
      assert.deepEqual(undescribed, []);
    });
  }
});
