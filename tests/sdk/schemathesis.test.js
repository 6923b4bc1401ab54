// Whether the API is as it describes itself: schemathesis makes requests of the description, good and bad ones, and finds
// no 5xx, no answer that is not described, and no body that is not of the described form.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { noPython, run } from "./python.js";
import { Belfry, FEED, FEED_ONLY, SECRET_KEY } from "./server.js";

/** The examples of the description, what lies at the edges of each schema, what is made at random, and calls that follow
 * each other with the ids that the first ones answered. */
const PHASES = "examples,coverage,fuzzing,stateful";
const CHECKS = ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
  "response_schema_conformance", "ignored_auth"];

/** Names that lead to things that are there: requests reach what lies behind "not found". */
function config(message, operation) {
  const at = (prefix, id) => `[[operations]]\ninclude-path-regex = "^${prefix}"\nparameters = { "path.id" = "${id}" }\n`;
  return `
[parameters]
"path.channel" = "${FEED}"
"path.key" = "alert"
"query.workflow" = "alert"

${at("/v1/messages/", message)}
${at("/v1/bulk_operations/", operation)}
${at("/v1/users/", "ada")}
`;
}

test("schemathesis finds no 5xx and nothing undescribed", { skip: noPython, timeout: 540_000 }, async () => {
  const belfry = await Belfry.start({ env: FEED_ONLY });
  const folder = await mkdtemp(join(tmpdir(), "belfry-schemathesis-"));
  try {
    await belfry.trigger("alert", "ada", { text: "one", link: "/" });
    const [{ id }] = (await belfry.feed("ada")).entries;
    const operation = (await belfry.call("POST", "/v1/users/bulk/identify", { body: { users: [{ id: "bob" }] } })).json();
    await writeFile(join(folder, "schemathesis.toml"), config(id, operation.id));
    const args = ["run", `${belfry.url}/v1/openapi`, "--header", `Authorization: Bearer ${SECRET_KEY}`,
      "--checks", CHECKS.join(","), "--phases", process.env.PHASES ?? PHASES, "--max-examples", process.env.EXAMPLES ?? "10",
      "--suppress-health-check", "all",
      "--generation-deterministic", "--workers", "2", "--no-color",
      // A backup is as large as the data.
      "--exclude-path", "/admin/backup"];
    const { code, stdout, stderr } = await run("schemathesis", args, { cwd: folder });
    console.log(stdout.split("SUMMARY").pop());
    assert.equal(code, 0, `${stdout}\n${stderr}`);
  } finally {
    await rm(folder, { recursive: true });
    await belfry.stop();
  }
});
