// The Node SDKs of the first API through every group of calls, reading back what they wrote; and what the tests of single
// subjects leave of the current one.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED, FEED_ONLY, SECRET_KEY } from "./server.js";

const APNS = "0d8f7a1c-5f04-4c7e-9a0b-3f8a4f1b2c11";
const ids = (list) => list.map(({ id }) => id).sort();
const missing = (call) => assert.rejects(call, (error) => /not ?found|404/i.test(`${error.name} ${error.status} ${error.message}`));

describe("groups", { concurrency: true, timeout: 120_000 }, () => {
  let belfry;
  before(async () => (belfry = await Belfry.start({ env: FEED_ONLY })));
  after(() => belfry?.stop());

  for (const { name, connect } of firstSdks) {
    const own = (text) => `${text}-${name.replaceAll(/\W/g, "")}`;

    test(`${name}: users`, async () => {
      const { users, bulkOperations } = connect(belfry.url, SECRET_KEY);
      const [ada, bob] = [own("ada"), own("bob")];
      await users.identify(ada, { name: "Ada", email: "ada@x.test" });
      assert.equal((await users.get(ada)).email, "ada@x.test");
      const operation = await users.bulkIdentify([{ id: bob, name: "Bob" }, { id: own("cy") }]);
      assert.equal((await bulkOperations.get(operation.id)).success_count, 2);
      assert.equal((await users.get(bob)).name, "Bob");
      await belfry.trigger("alert", bob, { text: "one", link: "/" });
      assert.equal((await users.merge(ada, bob)).name, "Ada");
      assert.deepEqual((await users.getFeed(ada, FEED)).entries.map((item) => item.data.text), ["one"]);
      await missing(users.get(bob));
      await users.delete(ada);
      await missing(users.get(ada));
      await users.bulkDelete([own("cy")]);
      await missing(users.get(own("cy")));
    });

    test(`${name}: objects`, async () => {
      const { objects } = connect(belfry.url, SECRET_KEY);
      const collection = own("projects");
      await objects.set(collection, "atlas", { name: "Atlas" });
      assert.equal((await objects.get(collection, "atlas")).properties.name, "Atlas");
      await objects.bulkSet(collection, [{ id: "boreas", name: "Boreas" }, { id: "ceres" }]);
      assert.equal((await objects.get(collection, "boreas")).properties.name, "Boreas");
      await objects.setChannelData(collection, "atlas", APNS, { tokens: ["t"] });
      assert.deepEqual((await objects.getChannelData(collection, "atlas", APNS)).data.tokens, ["t"]);
      // An object has no feed, so that this workflow has nothing to tell it.
      await belfry.trigger("alert", { collection, id: "atlas" }, { text: "two", link: "/" });
      assert.deepEqual((await objects.getMessages(collection, "atlas")).items, []);
      await objects.delete(collection, "atlas");
      await missing(objects.get(collection, "atlas"));
      await objects.bulkDelete(collection, ["boreas", "ceres"]);
      await missing(objects.get(collection, "ceres"));
    });

    test(`${name}: workflows`, async () => {
      const { workflows, users } = connect(belfry.url, SECRET_KEY);
      const reader = own("reader");
      const run = await workflows.trigger("alert", {
        recipients: [{ id: reader, name: "Reader" }], actor: { id: own("actor") }, tenant: "acme", cancellationKey: own("key"),
        data: { text: "three", link: "/" },
      });
      await belfry.advance("0s");
      const [message] = (await users.getMessages(reader)).items;
      assert.deepEqual([message.source.workflow_run_id, message.tenant], [run.workflow_run_id, "acme"]);
      assert.ok(!(await workflows.cancel("alert", own("key"), { recipients: [reader] })));
    });
  }

  const [, { name, connect }] = firstSdks;

  test(`${name}: tenants, lists, unset channel data`, async () => {
    const { tenants, users, objects } = connect(belfry.url, SECRET_KEY);
    await tenants.set("globex", { name: "Globex", settings: { branding: { primary_color: "#112233" } } });
    assert.equal((await tenants.get("globex")).settings.branding.primary_color, "#112233");
    assert.deepEqual(ids((await tenants.list({ name: "Globex" })).entries), ["globex"]);
    await tenants.delete("globex");
    await missing(tenants.get("globex"));
    await users.identify("listed", {});
    assert.ok(ids((await users.list({ page_size: 50 })).entries).includes("listed"));
    await objects.set("listed", "one", {});
    assert.deepEqual(ids((await objects.list("listed")).entries), ["one"]);
    await users.setChannelData("listed", APNS, { tokens: ["t"] });
    await users.unsetChannelData("listed", APNS);
    await missing(users.getChannelData("listed", APNS));
    await objects.setChannelData("listed", "one", APNS, { tokens: ["t"] });
    await objects.unsetChannelData("listed", "one", APNS);
    await missing(objects.getChannelData("listed", "one", APNS));
  });

  test(`${name}: subscriptions and schedules, from both of their ends`, async () => {
    const { objects, users } = connect(belfry.url, SECRET_KEY);
    await objects.addSubscriptions("rooms", "r1", { recipients: ["sub-a", { collection: "rooms", id: "r2" }], properties: { role: "x" } });
    const subscribers = (await objects.listSubscriptions("rooms", "r1")).entries;
    assert.deepEqual([ids(subscribers.map(({ recipient }) => recipient)), subscribers[0].properties], [["r2", "sub-a"], { role: "x" }]);
    assert.deepEqual(ids((await objects.getSubscriptions("rooms", "r2")).entries.map(({ object }) => object)), ["r1"]);
    assert.deepEqual(ids((await users.getSubscriptions("sub-a")).entries.map(({ object }) => object)), ["r1"]);
    await objects.deleteSubscriptions("rooms", "r1", { recipients: ["sub-a"] });
    assert.deepEqual((await users.getSubscriptions("sub-a")).entries, []);
    await objects.bulkAddSubscriptions("rooms", [{ id: "r3", recipients: ["sub-b"] }]);
    assert.deepEqual(ids((await users.getSubscriptions("sub-b")).entries.map(({ object }) => object)), ["r3"]);
    assert.deepEqual((await objects.getSchedules("rooms", "r1")).entries, []);
  });

  test(`${name}: an object's preferences, in each way that sets them`, async () => {
    const { objects } = connect(belfry.url, SECRET_KEY);
    const at = ["rooms", "quiet"];
    await objects.setPreferences(...at, { channel_types: { sms: false } });
    await objects.setChannelTypesPreferences(...at, { email: false });
    await objects.setChannelTypePreferences(...at, "push", false);
    await objects.setWorkflowsPreferences(...at, { approval: false });
    await objects.setWorkflowPreferences(...at, "alert", { channel_types: { in_app_feed: false } });
    await objects.setCategoriesPreferences(...at, { a: true });
    await objects.setCategoryPreferences(...at, "b", false);
    const set = await objects.getPreferences(...at);
    assert.deepEqual([set.channel_types, set.categories], [{ email: false, push: false }, { a: true, b: false }]);
    assert.deepEqual(set.workflows, { approval: false, alert: { channel_types: { in_app_feed: false } } });
    assert.deepEqual(await objects.getAllPreferences(...at), [set]);
  });

  test(`${name}: marks, one at a time and in batches`, async () => {
    const { messages } = connect(belfry.url, SECRET_KEY);
    await belfry.trigger("alert", "marker", { text: "four", link: "/" });
    const [{ id }] = (await belfry.feed("marker")).entries;
    for (const status of ["seen", "read", "interacted", "archived"]) {
      assert.ok((await messages.setStatus(id, status))[`${status}_at`], status);
    }
    for (const status of ["archived", "read", "seen"]) {
      assert.equal((await messages.deleteStatus(id, status))[`${status}_at`], null, status);
    }
    for (const [status, at] of [["seen", "seen_at"], ["read", "read_at"], ["archived", "archived_at"]]) {
      assert.ok((await messages.batchSetStatus([id], status))[0][at]);
      assert.equal((await messages.batchSetStatus([id], `un${status}`))[0][at], null);
    }
    assert.ok((await messages.batchSetStatus([id], "interacted", { type: "cell_click" }))[0].interacted_at);
  });

  test(`${name}: Slack is not connected`, async () => {
    const { slack } = connect(belfry.url, SECRET_KEY);
    const channel = { knockChannelId: FEED, tenant: "acme" };
    await assert.rejects(slack.authCheck(channel), { message: "Access token not set." });
    await assert.rejects(slack.getChannels(channel), { message: "Access token not set." });
    assert.equal(await slack.revokeAccessToken(channel), "ok");
  });

  test("node 1.35.0: marks, one at a time, in batches and by channel", async () => {
    const { messages, channels, bulkOperations } = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    await belfry.trigger("alert", "marker-135", { text: "five", link: "/" });
    const [{ id }] = (await belfry.feed("marker-135")).entries;
    const at = { seen: "seen_at", read: "read_at", archived: "archived_at" };
    const one = { seen: ["markAsSeen", "markAsUnseen"], read: ["markAsRead", "markAsUnread"], archived: ["archive", "unarchive"] };
    for (const [status, [mark, undo]] of Object.entries(one)) {
      assert.ok((await messages[mark](id))[at[status]], mark);
      assert.equal((await messages[undo](id))[at[status]], null, undo);
      assert.ok((await messages.batch[mark]({ message_ids: [id] }))[0][at[status]], mark);
      assert.equal((await messages.batch[undo]({ message_ids: [id] }))[0][at[status]], null, undo);
    }
    assert.ok((await messages.markAsInteracted(id, { metadata: { type: "x" } })).interacted_at);
    assert.ok((await messages.batch.markAsInteracted({ message_ids: [id], metadata: { type: "x" } }))[0].interacted_at);
    const operation = await channels.bulk.updateMessageStatus(FEED, "seen", { recipient_ids: ["marker-135"] });
    assert.equal((await bulkOperations.get(operation.id)).success_count, 1);
    assert.ok((await messages.get(id)).seen_at);
  });

  test("node 1.35.0: a preference center, and the link to its page", async () => {
    const { users } = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    await users.update("chooser", { email: "chooser@x.test" });
    const config = await users.preferenceCenter.getConfig("chooser");
    assert.deepEqual([config.enabled, config.user_email], [true, "chooser@x.test"]);
    const { url, token } = await users.preferenceCenter.generateSignedURL("chooser");
    assert.ok(url.endsWith(token));
    const page = await belfry.call("GET", new URL(url).pathname, { key: null });
    assert.deepEqual([page.status, page.text.includes("<form")], [200, true]);
  });

  test("node 1.35.0: what hangs on objects and users", async () => {
    const { users, objects } = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    await objects.setChannelData("halls", "h1", APNS, { data: { tokens: ["t"] } });
    assert.deepEqual((await objects.getChannelData("halls", "h1", APNS)).data.tokens, ["t"]);
    assert.deepEqual((await objects.listMessages("halls", "h1")).items, []);
    assert.deepEqual((await objects.listSchedules("halls", "h1")).entries, []);
    assert.equal((await users.feeds.getSettings("guest", FEED)).features.branding_required, false);
    await users.bulk.setPreferences({ user_ids: ["guest"], preferences: { categories: { c: false } } });
    assert.deepEqual((await users.getPreferences("guest", "default")).categories, { c: false });
  });

  test("node 1.35.0: the run of a recipient, found by its trigger's", async () => {
    const { workflows, workflowRecipientRuns } = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    const { workflow_run_id } = await workflows.trigger("alert", { recipients: [{ id: "runner" }], data: { text: "six", link: "/" } });
    await belfry.advance("0s");
    const [listed] = (await workflowRecipientRuns.list({ workflow: "alert", recipient: "runner" })).items;
    assert.deepEqual([listed.workflow_run_id, listed.status], [workflow_run_id, "completed"]);
    const { id, events } = await workflowRecipientRuns.get(listed.id);
    assert.deepEqual([id, events.length > 0], [listed.id, true]);
  });
});
