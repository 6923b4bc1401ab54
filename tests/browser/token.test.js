// Enhanced security in the React components: a page shows a user's feed only with a token that was signed for that user.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Belfry, FEED_ONLY } from "../sdk/server.js";
import { Signer } from "../sdk/tokens.js";
import { Browser } from "./browser.js";

describe("enhanced security in the React components", { concurrency: 2, timeout: 240_000 }, () => {
  const signer = new Signer();
  let belfry;
  let browser;
  before(async () => {
    const env = { ...FEED_ONLY, ...(await signer.settings()) };
    [belfry, browser] = await Promise.all([Belfry.start({ env }), Browser.open()]);
    await belfry.trigger("alert", "ann", { text: "for ann" });
  });
  after(async () => {
    await browser?.close();
    await belfry?.stop();
    await signer.close();
  });

  test("with the user's own token the feed is there, and live, and can be marked", async () => {
    const token = await signer.sign("ann");
    const reader = await browser.visit(belfry.url, "ann", { token });
    await reader.live();
    await reader.shows(reader.badge, "1");
    await belfry.trigger("alert", "ann", { text: "for ann as well" });
    await reader.shows(reader.badge, "2");
    await reader.bell.click();
    await reader.shows(reader.items, 2);
    await reader.until(async () => (await belfry.feed("ann")).meta.unseen_count === 0);
    assert.deepEqual(reader.complaints, []);
    await reader.leave();
  });

  for (const [what, sign] of [
    ["no token", () => undefined],
    ["another user's token", () => signer.sign("ben")],
    ["a token of another key", () => new Signer().sign("ann")],
    ["a token that has expired", () => signer.sign("ann", { expiresInSeconds: -3600 })],
  ]) {
    test(`with ${what} nothing is shown or heard`, async () => {
      const reader = await browser.visit(belfry.url, "ann", { view: "feed", token: await sign() });
      await reader.empty.waitFor();
      assert.equal(await reader.items.count(), 0);
      assert.ok(reader.sockets.every(({ joined }) => joined === 0));
      assert.ok(reader.complaints.some((text) => /status of 40[134]/.test(text)), `${reader.complaints}`);
      await reader.leave();
    });
  }
});
