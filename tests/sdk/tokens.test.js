// User tokens that Knock's own signer makes with a key pair of `belfry keys generate-signing-key`, and enhanced security
// as its SDK tells it.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { buildUserTokenGrant, signUserToken } from "knock-node-1.35.0/lib/tokenSigner";
import { Grants } from "knock-node-1.35.0/lib/userTokens";
import { Knock135 } from "./sdks.js";
import { BINARY, Belfry, FEED, PUBLIC_KEY, SECRET_KEY } from "./server.js";

const run = promisify(execFile);

describe("user tokens", () => {
  let belfry, folder, pem, line;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "belfry-keys-"));
    await run(BINARY, ["keys", "generate-signing-key", "--out", folder]);
    pem = await readFile(join(folder, "signing-key.pem"), "utf8");
    line = (await readFile(join(folder, "signing-key.env"), "utf8")).trim().replace("KNOCK_SIGNING_KEY=", "");
    belfry = await Belfry.start({
      env: {
        BELFRY__AUTH__ENHANCED_SECURITY: "true",
        BELFRY__AUTH__SIGNING_PUBLIC_KEY: join(folder, "signing-key.public.pem"),
      },
    });
    const backend = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    for (const tenant of [undefined, "acme", "beta"]) {
      await backend.workflows.trigger("welcome-to-knock", { recipients: ["ada", "bob"], tenant });
    }
    await belfry.waitForFeed("ada", (page) => page.entries.length === 3);
  });

  after(async () => {
    await belfry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** The SDK with what a browser has: a public key, and the token of its user. */
  const browser = (token) =>
    new Knock135({
      apiKey: PUBLIC_KEY,
      baseURL: belfry.url,
      maxRetries: 0,
      defaultHeaders: token ? { "X-Knock-User-Token": token } : {},
    });
  const feed = async (knock, user = "ada") => (await knock.users.feeds.listItems(user, FEED)).entries;

  test("the signer takes the key as PEM, as one line and from the environment, and the server its tokens", async () => {
    assert.equal((await feed(browser(await signUserToken("ada", { signingKey: pem })))).length, 3);
    assert.equal((await feed(browser(await signUserToken("ada", { signingKey: line, shouldGenerateJti: true })))).length, 3);
    process.env.KNOCK_SIGNING_KEY = line;
    assert.equal((await feed(browser(await signUserToken("ada")))).length, 3);
    delete process.env.KNOCK_SIGNING_KEY;
  });

  test("without a token, with a stale one and with another's, the SDK's own errors say so", async () => {
    await assert.rejects(feed(browser()), Knock135.AuthenticationError);
    const stale = await signUserToken("ada", { signingKey: pem, expiresInSeconds: -60 });
    await assert.rejects(feed(browser(stale)), (error) => {
      assert.ok(error instanceof Knock135.AuthenticationError);
      assert.match(error.message, /expired/);
      return true;
    });
    const bob = await signUserToken("bob", { signingKey: pem });
    await assert.rejects(feed(browser(bob)), Knock135.PermissionDeniedError);
    const [item] = await belfry.feed("ada").then((page) => page.entries);
    await assert.rejects(browser(bob).messages.markAsSeen(item.id), Knock135.NotFoundError);
  });

  test("grants that the SDK builds limit a feed to their tenants", async () => {
    const grants = [buildUserTokenGrant({ type: "tenant", id: "acme" }, [Grants.UserFeedRead])];
    const acme = browser(await signUserToken("ada", { signingKey: pem, grants }));
    assert.deepEqual((await feed(acme)).map((item) => item.tenant), ["acme"]);
    grants.push(buildUserTokenGrant({ type: "user", id: "ada" }, [Grants.UserFeedRead]));
    const both = browser(await signUserToken("ada", { signingKey: pem, grants }));
    assert.deepEqual((await feed(both)).map((item) => item.tenant).sort(), ["acme", null].sort());
  });
});
