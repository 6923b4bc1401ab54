// Knock's Python SDK, unmodified, through every group of calls: `python/groups.py`.

import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { noPython, run } from "./python.js";
import { note } from "./recorder.js";
import { Belfry, FEED, FEED_ONLY, SECRET_KEY } from "./server.js";

const SCRIPT = fileURLToPath(new URL("python/groups.py", import.meta.url));

test("python: every group of calls", { skip: noPython, timeout: 120_000 }, async () => {
  const belfry = await Belfry.start({ env: FEED_ONLY });
  try {
    await belfry.trigger("alert", "py-target", { text: "one", n: 1, link: "/" });
    await belfry.trigger("alert", "py-target", { text: "two", n: 2, link: "/" });
    const [other, message] = (await belfry.feed("py-target")).entries.map(({ id }) => id);
    const { code, stdout, stderr } = await run("python", [SCRIPT, belfry.url, SECRET_KEY, FEED, message, other]);
    for (const line of stdout.trim().split("\n").filter(Boolean)) {
      const { agent, method, path, status } = JSON.parse(line);
      note({ "user-agent": agent }, method, path, status);
    }
    assert.equal(code, 0, stderr);
  } finally {
    await belfry.stop();
  }
});
