// What Knock has and Belfry does not, through Knock's Node SDK: clients find it empty or not connected. And the calls that
// only the first API had.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Knock135 } from "./sdks.js";
import { Belfry, FEED, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

describe("what is absent", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
  });
  after(() => belfry?.stop());

  test("there are no guides, and what is said of them is taken", async () => {
    const { guides } = knock.users;
    const nothing = { entries: [], guide_groups: [], guide_group_display_logs: {}, ineligible_guides: [] };
    assert.deepEqual(await guides.getChannel("u", FEED), nothing);
    const guide = { channel_id: FEED, guide_key: "g", guide_id: FEED, guide_step_ref: "s" };
    for (const mark of ["markMessageAsSeen", "markMessageAsInteracted", "markMessageAsArchived"]) {
      assert.equal((await guides[mark]("u", guide)).status, "ok", mark);
    }
    assert.equal((await guides.unarchiveGuideMessage("u", { guide_key: "g" })).status, "ok");
    assert.equal((await guides.resetGuideEngagements("u", { guide_key: "g" })).status, "ok");
    assert.equal((await belfry.call("GET", `/v1/users/u/guides/${FEED}`, { key: PUBLIC_KEY })).status, 200);
  });

  test("Slack and Teams are not connected, in the words that the kits look for", async () => {
    const { slack, msTeams } = knock.providers;
    const is = (message) => (error) => error.status === 403 && error.error.message === message;
    const token = { access_token_object: JSON.stringify({ object_id: "t", collection: "$tenants" }) };
    await assert.rejects(slack.checkAuth(FEED, token), is("Access token not set."));
    await assert.rejects(slack.listChannels(FEED, token), is("Access token not set."));
    const tenant = { ms_teams_tenant_object: JSON.stringify({ object_id: "t", collection: "$tenants" }) };
    await assert.rejects(msTeams.checkAuth(FEED, tenant), is("Microsoft Teams tenant ID not set."));
    await assert.rejects(msTeams.listTeams(FEED, tenant), is("Microsoft Teams tenant ID not set."));
    await assert.rejects(msTeams.listChannels(FEED, { ...tenant, team_id: "x" }), is("Microsoft Teams tenant ID not set."));
    assert.equal(await slack.revokeAccess(FEED, token), "ok");
    assert.equal(await msTeams.revokeAccess(FEED, tenant), "ok");
  });

  test("syncs say that nothing is taken", async () => {
    for (const [sync, call] of [[knock.integrations.census, "customDestination"], [knock.integrations.hightouch, "embeddedDestination"]]) {
      const answer = await sync[call]({ id: "1", jsonrpc: "2.0", method: "sync_batch" });
      assert.deepEqual([answer.id, answer.result.success], ["1", false]);
    }
  });

  test("a notify of the first API triggers, and its cancel cancels", async () => {
    const post = (path, body) => belfry.call("POST", path, { body });
    const body = { name: "alert", actor: { id: "ada" }, recipients: ["notified"], data: { text: "x", link: "/" }, cancellation_key: "k" };
    const answer = await post("/v1/notify", body);
    assert.equal(answer.status, 200);
    await belfry.advance("0s");
    const [item] = (await knock.users.listMessages("notified")).items;
    assert.equal(item.source.workflow_run_id, answer.json().result_id);
    assert.equal((await post("/v1/notify/cancel", { name: "alert", cancellation_key: "k" })).status, 204);
    for (const path of ["/v1/notify", "/v1/notify/cancel"]) {
      const refused = await post(path, { recipients: ["x"] });
      assert.deepEqual([refused.status, refused.json().errors[0].field], [422, "name"]);
    }
  });
});
