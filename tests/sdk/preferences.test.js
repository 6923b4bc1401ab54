// Preferences and channel data through Knock's Node SDKs: what is written is read back, and decides what is delivered.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

const APNS = "0d8f7a1c-5f04-4c7e-9a0b-3f8a4f1b2c11";
const nothing = { workflows: null, categories: null, channel_types: null, channels: null, commercial_subscribed: null };
const set = (id, sections) => ({ ...nothing, id, ...sections });
const connect = (belfry) => new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
const texts = async (belfry, user) => (await belfry.feed(user)).entries.map((item) => item.data.text).reverse();

describe("preferences and channel data", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = connect(belfry);
  });
  after(() => belfry?.stop());

  const say = (user, text, more) => belfry.trigger("alert", user, { text, link: "/" }, more);

  for (const { name, connect } of firstSdks) {
    test(`${name}: each way to set preferences, and channel data`, async () => {
      const { users } = connect(belfry.url, SECRET_KEY);
      const user = name.replace(" ", "-");
      const get = () => (users.getPreferences ?? users.getPrefences).call(users, user);
      await users.setPreferences(user, { channel_types: { sms: false }, workflows: { alert: true } });
      await users.setChannelTypesPreferences(user, { email: false, push: true });
      await users.setChannelTypePreferences(user, "push", false);
      await users.setWorkflowsPreferences(user, { alert: false, approval: { channel_types: { email: true } } });
      await users.setWorkflowPreferences(user, "alert", { channel_types: { in_app_feed: false } });
      await users.setCategoriesPreferences(user, { approvals: true });
      const put = await users.setCategoryPreferences(user, "approvals", false);
      const expected = set("default", {
        channel_types: { email: false, push: false },
        workflows: { alert: { channel_types: { in_app_feed: false } }, approval: { channel_types: { email: true } } },
        categories: { approvals: false },
      });
      assert.deepEqual(put, expected);
      assert.deepEqual(await get(), expected);
      assert.deepEqual(await users.getAllPreferences(user), [expected]);
      const operation = await users.bulkSetPreferences([user, `${user}-2`], { categories: { approvals: true } });
      assert.equal(operation.status, "completed");
      assert.deepEqual(await get(), set("default", { categories: { approvals: true } }));
      const data = await users.setChannelData(user, APNS, { tokens: ["t"] });
      assert.deepEqual(data.data.devices, [{ token: "t", locale: null, timezone: null }]);
      assert.deepEqual((await users.getChannelData(user, APNS)).data.tokens, ["t"]);
    });
  }

  test("a put replaces, a merge keeps, and unset is as never set", async () => {
    const { users } = knock;
    await users.setPreferences("writer", "default", { channel_types: { email: false } });
    const replaced = await users.setPreferences("writer", "default", { categories: { c: false } });
    assert.deepEqual(replaced, set("default", { categories: { c: false } }));
    const merge = { __persistence_strategy__: "merge", channel_types: { sms: false }, categories: { d: true } };
    const merged = await users.setPreferences("writer", "default", merge);
    assert.deepEqual(merged, set("default", { categories: { c: false, d: true }, channel_types: { sms: false } }));
    await users.setPreferences("writer", "acme", { workflows: { alert: false } });
    assert.deepEqual((await users.listPreferences("writer")).map(({ id }) => id), ["default", "acme"]);
    assert.equal(await users.unsetPreferences("writer", "default"), null);
    assert.deepEqual(await users.getPreferences("writer", "default"), set("default"));
    assert.deepEqual(await users.getPreferences("nobody", "default"), set("default"));
    await users.unsetPreferences("nobody", "default");
    await assert.rejects(users.get("nobody"), (error) => error.status === 404);
    const listed = await belfry.call("GET", "/v1/users?include[]=preferences&page_size=50");
    const writer = listed.json().entries.find(({ id }) => id === "writer");
    assert.deepEqual(writer.preferences.acme, set("acme", { workflows: { alert: false } }));
  });

  test("every fault is named, and nothing is written", async () => {
    const bad = { category: {}, channel_types: { mail: false }, workflows: { w: { conditions: [{ variable: "x" }] } } };
    const error = await knock.users.setPreferences("faulty", "default", bad).catch((error) => error);
    assert.equal(error.status, 422);
    assert.deepEqual(error.error.errors.map(({ field }) => field), ["category", "channel_types.mail",
      "workflows.w.conditions[0].variable", "workflows.w.conditions[0].operator"]);
    await assert.rejects(knock.users.get("faulty"), (error) => error.status === 404);
    const none = await belfry.call("PUT", "/v1/users/faulty/preferences/default/nonsense", { body: {} });
    assert.equal(none.status, 404);
  });

  test("they decide at the moment of the step, by channel, type, workflow and category", async () => {
    await say("reader", "before");
    const off = [{ channels: { [FEED]: false } }, { channel_types: { in_app_feed: false } }, { workflows: { alert: false } },
      { workflows: { alert: { channel_types: { in_app_feed: false } } } },
      { workflows: { alert: { channels: { [FEED]: false } } } }];
    for (const preferences of off) {
      await knock.users.setPreferences("reader", "default", preferences);
      await say("reader", JSON.stringify(preferences));
    }
    const channel = { channel_types: { in_app_feed: false }, channels: { [FEED]: true } };
    await knock.users.setPreferences("reader", "default", channel);
    await say("reader", "by channel");
    await knock.users.setPreferences("reader", "default", { categories: { approvals: false } });
    await belfry.trigger("approval", "reader", { text: "category" });
    await say("reader", "other category");
    assert.deepEqual(await texts(belfry, "reader"), ["before", "by channel", "other category"]);
  });

  test("a tenant's run goes by the tenant's sets, and by the default one only where there are none", async () => {
    await knock.users.setPreferences("member", "default", { workflows: { alert: false } });
    await say("member", "no set", { tenant: "plain" });
    await knock.users.setPreferences("member", "acme", { categories: { other: true } });
    await say("member", "own set", { tenant: "acme" });
    await say("member", "none");
    assert.deepEqual(await texts(belfry, "member"), ["own set"]);
    const effective = await knock.users.getPreferences("member", "default", { tenant: "acme" });
    assert.deepEqual(effective, set("default", { categories: { other: true } }));
  });

  test("conditions look at the run, and at the recipient", async () => {
    const muted = { variable: "recipient.muted", operator: "not_contains", argument: "data.text" };
    await knock.users.setPreferences("picky", "default", { workflows: { alert: { conditions: [muted] } } });
    await knock.users.update("picky", { muted: ["trex"] });
    for (const text of ["raptor", "trex"]) await say("picky", text);
    assert.deepEqual(await texts(belfry, "picky"), ["raptor"]);
  });

  test("preferences and channel data of a trigger take effect in its own run", async () => {
    const inline = (preferences, more) => [{ id: "inline", preferences: { default: preferences }, ...more }];
    await say(inline({ workflows: { alert: false } }), "opted out");
    await say(inline({ workflows: { alert: true } }, { channel_data: { [APNS]: { tokens: ["a", "b"] } } }), "in again");
    assert.deepEqual(await texts(belfry, "inline"), ["in again"]);
    assert.deepEqual((await knock.users.getChannelData("inline", APNS)).data.tokens, ["a", "b"]);
    const own = [{ id: "own", $trigger_data: { text: "for you" } }, "inline"];
    await say(own, "for all");
    assert.deepEqual(await texts(belfry, "own"), ["for you"]);
    await knock.users.update("inline", { channel_data: { [APNS]: null }, preferences: { default: { categories: { c: false } } } });
    await assert.rejects(knock.users.getChannelData("inline", APNS), (error) => error.status === 404);
    const merged = await knock.users.getPreferences("inline", "default");
    assert.deepEqual(merged, set("default", { workflows: { alert: true }, categories: { c: false } }));
  });

  test("channel data of every provider is read back in its own form", async () => {
    const { users } = knock;
    const device = (name, id) => ({ [name]: id, locale: null, timezone: null });
    const forms = [
      [{ tokens: ["a"] }, { tokens: ["a"], devices: [device("token", "a")] }],
      [{ devices: [{ token: "a", locale: "de" }] }, { tokens: ["a"], devices: [{ ...device("token", "a"), locale: "de" }] }],
      [{ target_arns: ["arn"] }, { target_arns: ["arn"], devices: [device("target_arn", "arn")] }],
      [{ player_ids: [APNS] }],
      [{ connections: [{ channel_id: "C1", access_token: "x" }], token: { access_token: "xoxb" } }],
      [{ connections: [{ ms_teams_team_id: "t", ms_teams_channel_id: "c" }], ms_teams_tenant_id: "m" }],
      [{ connections: [{ incoming_webhook: { url: "https://discord.test/x" } }] }],
    ];
    for (const [data, read = data] of forms) {
      const expected = { __typename: "ChannelData", channel_id: APNS, data: read };
      assert.deepEqual(await users.setChannelData("devices", APNS, { data }), expected);
      assert.deepEqual(await users.getChannelData("devices", APNS), expected);
    }
    assert.equal(await users.unsetChannelData("devices", APNS), null);
    assert.equal(await users.unsetChannelData("devices", APNS), null);
    await assert.rejects(users.getChannelData("devices", APNS), (error) => error.status === 404);
    await assert.rejects(users.setChannelData("devices", APNS, { data: {} }), (error) => error.status === 422);
    const wrong = await belfry.call("GET", "/v1/users/devices/channel_data/apns");
    assert.deepEqual([wrong.status, wrong.json().code], [422, "channel_invalid"]);
  });

  test("a merge of users takes over the sets and the channel data that are missing, a deletion both", async () => {
    const { users } = knock;
    await users.setPreferences("to", "default", { categories: { c: true } });
    await users.setPreferences("from", "default", { categories: { c: false } });
    await users.setPreferences("from", "acme", { categories: { c: false } });
    await users.setChannelData("from", APNS, { data: { tokens: ["t"] } });
    await users.merge("to", { from_user_id: "from" });
    assert.deepEqual((await users.listPreferences("to")).map((set) => set.categories.c), [true, false]);
    assert.deepEqual((await users.getChannelData("to", APNS)).data.tokens, ["t"]);
    await users.delete("to");
    assert.deepEqual(await users.listPreferences("to"), [set("default")]);
    await assert.rejects(users.getChannelData("to", APNS), (error) => error.status === 404);
  });

  test("a browser reads and writes them, and unsets and bulk are for backends", async () => {
    const call = (method, path, body) => belfry.call(method, path, { key: PUBLIC_KEY, body });
    const path = "/v1/users/browser/preferences/default";
    assert.equal((await call("PUT", path, { categories: { c: false } })).status, 200);
    assert.equal((await call("PUT", `${path}/categories/c`, { subscribed: true })).status, 200);
    assert.deepEqual((await call("GET", path)).json().categories, { c: true });
    assert.equal((await call("DELETE", path)).status, 403);
    assert.equal((await call("POST", "/v1/users/bulk/preferences", {})).status, 403);
    assert.equal((await call("PUT", `/v1/users/browser/channel_data/${APNS}`, { data: { tokens: [] } })).status, 200);
    assert.equal((await call("DELETE", `/v1/users/browser/channel_data/${APNS}`)).status, 204);
  });
});

test("the environment's preferences hold until a recipient says otherwise", { timeout: 60_000 }, async () => {
  const env = { ...FEED_ONLY, BELFRY__PREFERENCES__WORKFLOWS: "{ alert = false }" };
  const belfry = await Belfry.start({ env });
  try {
    const knock = connect(belfry);
    await belfry.trigger("alert", "u", { text: "off", link: "/" });
    await knock.users.setPreferences("u", "default", { workflows: { alert: true } });
    await belfry.trigger("alert", "u", { text: "on", link: "/" });
    assert.deepEqual(await texts(belfry, "u"), ["on"]);
    const read = await knock.users.getPreferences("v", "default");
    assert.deepEqual(read, set("default", { workflows: { alert: false } }));
  } finally {
    await belfry.stop();
  }
});

test("an opt-out during a delay stops what comes after it, also over a crash", { timeout: 60_000 }, async () => {
  const belfry = await Belfry.start();
  try {
    const users = ["out@x.test", "in@x.test"];
    await connect(belfry).workflows.trigger("account-invite", { recipients: users, data: { inviteToken: "t" } });
    for (const user of users) await belfry.waitForMail((mail) => mail.to === user);
    await connect(belfry).users.setPreferences("out@x.test", "default", { channel_types: { email: false } });
    await belfry.restart();
    await belfry.advance("4d");
    await belfry.waitForMail((mail) => mail.to === "in@x.test" && /Reminder/.test(mail.subject));
    assert.equal(belfry.mails.filter((mail) => mail.to === "out@x.test").length, 1);
  } finally {
    await belfry.stop();
  }
});
