// Objects, subscriptions and tenants through Knock's Node SDKs: read back as written, and told when they are triggered.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED_ONLY, SECRET_KEY } from "./server.js";

const APNS = "0d8f7a1c-5f04-4c7e-9a0b-3f8a4f1b2c11";
const connect = (belfry) => new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
const object = (collection, id) => ({ collection, id });
const names = (list) => list.map((one) => one.recipient.id);

describe("objects, subscriptions and tenants", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = connect(belfry);
  });
  after(() => belfry?.stop());

  const missing = (promise) => assert.rejects(promise, (error) => error.status === 404);
  const invalid = (promise) => assert.rejects(promise, (error) => error.status === 422);
  const done = async (operation, rows) => {
    const { status, success_count } = await knock.bulkOperations.get(operation.id);
    assert.deepEqual({ status, success_count }, { status: "completed", success_count: rows });
  };
  const items = async (user) => (await belfry.feed(user)).entries.map((item) => item.data.text).reverse();
  const say = (recipients, text, more) => belfry.trigger("alert", recipients, { text, link: "/" }, more);

  for (const { name, connect } of firstSdks) {
    test(`${name}: objects, one by one and in bulk`, async () => {
      const { objects } = connect(belfry.url, SECRET_KEY);
      const collection = name.replace(" ", "-");
      await objects.set(collection, "a", { name: "A", deep: { x: 1 } });
      const set = await objects.set(collection, "a", { deep: { y: 2 } });
      assert.deepEqual([set.__typename, set.properties], ["Object", { name: "A", deep: { x: 1, y: 2 } }]);
      assert.deepEqual((await objects.get(collection, "a")).properties.name, "A");
      await done(await objects.bulkSet(collection, [{ id: "b", name: "B" }, { id: "c" }]), 2);
      await objects.setChannelData(collection, "b", APNS, { connections: [{ channel_id: "C" }] });
      assert.deepEqual((await objects.getChannelData(collection, "b", APNS)).data.connections, [{ channel_id: "C" }]);
      await done(await objects.bulkDelete(collection, ["b", "c"]), 2);
      await missing(objects.get(collection, "b"));
      await objects.delete(collection, "a");
      await missing(objects.get(collection, "a"));
    });
  }

  test("objects: lists, preferences, channel data, faults", async () => {
    const { objects } = knock;
    const ids = Array.from({ length: 60 }, (_, index) => `o-${index}`).sort();
    await done(await objects.bulk.set("listed", { objects: ids.map((id) => ({ id, name: id })) }), 60);
    const found = [];
    for await (const one of objects.list("listed", { page_size: 25 })) found.push(one.id);
    assert.deepEqual(found, ids);
    assert.deepEqual((await objects.list("other")).entries, []);
    const preferences = await objects.setPreferences("listed", "o-0", "default", { categories: { c: false } });
    assert.deepEqual(preferences.categories, { c: false });
    assert.deepEqual((await objects.listPreferences("listed", "o-0")).map(({ id }) => id), ["default"]);
    await objects.unsetPreferences("listed", "o-0", "default");
    assert.deepEqual((await objects.getPreferences("listed", "o-0", "default")).categories, null);
    await objects.setChannelData("listed", "o-0", APNS, { data: { connections: [{ user_id: "U" }] } });
    await objects.unsetChannelData("listed", "o-0", APNS);
    await missing(objects.getChannelData("listed", "o-0", APNS));
    const wrong = { objects: [{ name: "no id" }, { id: "x", collection: "elsewhere" }] };
    const error = await objects.bulk.set("listed", wrong).catch((error) => error);
    assert.deepEqual(error.error.errors.map(({ field }) => field), ["objects[0]", "objects[1].collection"]);
    await done(await objects.bulk.delete("listed", { object_ids: ids }), 60);
    assert.deepEqual((await objects.list("listed")).entries, []);
  });

  test("subscriptions from both ends, added again, filtered, deleted", async () => {
    const { objects, users } = knock;
    await objects.set("docs", "d1", { name: "Plan" });
    const recipients = ["sub-1", { id: "sub-2", name: "Two" }, object("docs", "d2")];
    const added = await objects.addSubscriptions("docs", "d1", { recipients, properties: { role: "editor" } });
    assert.deepEqual(names(added), ["sub-1", "sub-2", "d2"]);
    assert.deepEqual([added[1].recipient.name, added[0].object.properties, added[0].properties],
      ["Two", { name: "Plan" }, { role: "editor" }]);
    const again = await objects.addSubscriptions("docs", "d1", { recipients: ["sub-1"], properties: { role: "owner" } });
    assert.equal(again[0].inserted_at, added[0].inserted_at);
    const kept = await objects.addSubscriptions("docs", "d1", { recipients: ["sub-1"] });
    assert.deepEqual(kept[0].properties, { role: "owner" });
    const all = await objects.listSubscriptions("docs", "d1", { page_size: 2 });
    assert.equal(all.entries.length, 2);
    const every = [];
    for await (const one of objects.listSubscriptions("docs", "d1", { page_size: 2 })) every.push(one.recipient.id);
    assert.deepEqual(every.sort(), ["d2", "sub-1", "sub-2"]);
    for (const mixed of [["sub-1", object("docs", "d2")], [object("docs", "d2"), "sub-1"]]) {
      const some = await objects.listSubscriptions("docs", "d1", { recipients: mixed });
      assert.deepEqual(names(some.entries).sort(), ["d2", "sub-1"]);
    }
    const own = await users.listSubscriptions("sub-1");
    assert.deepEqual(own.entries.map((one) => one.object.id), ["d1"]);
    const none = await users.listSubscriptions("sub-1", { objects: [object("docs", "d9")] });
    assert.deepEqual(none.entries, []);
    const as = await objects.listSubscriptions("docs", "d2", { mode: "recipient" });
    assert.deepEqual(as.entries.map((one) => one.object.id), ["d1"]);
    const gone = await objects.deleteSubscriptions("docs", "d1", { recipients: ["sub-1", "never"] });
    assert.deepEqual(names(gone), ["sub-1"]);
    await done(await objects.bulk.addSubscriptions("docs", {
      subscriptions: [{ id: "d1", recipients: ["sub-1", "sub-3"] }, { id: "d3", recipients: ["sub-1"], properties: { a: 1 } }],
    }), 3);
    assert.equal((await users.listSubscriptions("sub-1")).entries.length, 2);
    await done(await objects.bulk.deleteSubscriptions("docs", { subscriptions: [{ id: "d1", recipients: ["sub-3"] }] }), 1);
    await users.delete("sub-1");
    assert.deepEqual(names((await objects.listSubscriptions("docs", "d3")).entries), []);
    await objects.delete("docs", "d1");
    assert.deepEqual((await users.listSubscriptions("sub-2")).entries, []);
    await invalid(objects.addSubscriptions("docs", "d1", { recipients: Array.from({ length: 101 }, (_, n) => `${n}`) }));
    const wrong = { subscriptions: [{ id: "x", recipients: [7] }, { recipients: [] }] };
    const error = await objects.bulk.addSubscriptions("docs", wrong).catch((error) => error);
    assert.deepEqual(error.error.errors.map(({ field }) => field).sort(), ["subscriptions[0].recipients[0]", "subscriptions[1].id"]);
  });

  test("an object's trigger reaches its subscribers to depth 2, each once, and not the actor", async () => {
    const { objects } = knock;
    const subscribe = (id, recipients, properties) => objects.addSubscriptions("tree", id, { recipients, properties });
    await subscribe("root", ["t-direct", "t-both", "t-actor", object("tree", "child")], { role: "reader" });
    await subscribe("child", ["t-nested", "t-both", object("tree", "grandchild")]);
    await subscribe("grandchild", ["t-too-deep"]);
    await say([object("tree", "root"), "t-explicit", "t-direct"], "news", { actor: { id: "t-actor" } });
    const heard = {};
    for (const user of ["t-direct", "t-both", "t-nested", "t-explicit", "t-actor", "t-too-deep"]) heard[user] = await items(user);
    const once = ["news"];
    assert.deepEqual(heard, { "t-direct": once, "t-both": once, "t-nested": once, "t-explicit": once, "t-actor": [], "t-too-deep": [] });
    await say([object("tree", "root"), "t-actor"], "again", { actor: "t-actor" });
    assert.deepEqual(await items("t-actor"), ["again"]);
  });

  test("what a subscription says can be asked by preferences' conditions", async () => {
    await knock.objects.addSubscriptions("team", "x", { recipients: ["lead"], properties: { role: "lead" } });
    await knock.objects.addSubscriptions("team", "x", { recipients: ["guest"], properties: { role: "guest" } });
    const conditions = [{ variable: "recipient.subscription.role", operator: "equal_to", argument: "lead" }];
    for (const user of ["lead", "guest"]) {
      await knock.users.setPreferences(user, "default", { workflows: { alert: { conditions } } });
    }
    await say([object("team", "x")], "for leads");
    assert.deepEqual([await items("lead"), await items("guest")], [["for leads"], []]);
  });

  test("tenants: set, merged, listed, resolved, and the same as the objects of $tenants", async () => {
    const { tenants, objects } = knock;
    const set = await tenants.set("acme", {
      name: "Acme", plan: "pro",
      settings: { branding: { primary_color: "#000" }, preference_set: { categories: { c: false } } },
    });
    assert.deepEqual([set.__typename, set.id, set.name, set.plan], ["Tenant", "acme", "Acme", "pro"]);
    assert.deepEqual(set.settings.preference_set.categories, { c: false });
    const merged = await tenants.set("acme", { settings: { preference_set: { categories: { d: true } } } });
    assert.deepEqual(merged.settings.preference_set.categories, { c: false, d: true });
    assert.deepEqual(merged.settings.branding, { primary_color: "#000" });
    const replace = { __persistence_strategy__: "replace", workflows: { alert: true } };
    const replaced = await tenants.set("acme", { settings: { preference_set: replace } });
    assert.deepEqual([replaced.settings.preference_set.categories, replaced.settings.preference_set.workflows], [null, { alert: true }]);
    const view = await objects.get("$tenants", "acme");
    assert.deepEqual(view.properties.settings, replaced.settings);
    await objects.set("$tenants", "acme", { plan: "free" });
    assert.equal((await tenants.get("acme")).plan, "free");
    const unset = await tenants.set("acme", { settings: { preference_set: null } });
    assert.equal(unset.settings.preference_set, null);
    const resolved = await tenants.get("acme", { resolve_full_preference_settings: true });
    assert.equal(resolved.settings.preference_set.id, "default");
    await invalid(tenants.set("acme", { settings: { preference_set: { category: {} } } }));
    await done(await tenants.bulk.set({ tenants: ["bulk-1", { id: "bulk-2", name: "Two" }] }), 2);
    assert.deepEqual((await tenants.list({ name: "Two" })).entries.map(({ id }) => id), ["bulk-2"]);
    assert.deepEqual((await tenants.list({ tenant_id: "bulk-1" })).entries.map(({ id }) => id), ["bulk-1"]);
    await done(await tenants.bulk.delete({ tenant_ids: ["bulk-1", "bulk-2"] }), 2);
    await missing(tenants.get("bulk-1"));
    await tenants.delete("acme");
    await missing(tenants.get("acme"));
    await missing(objects.get("$tenants", "acme"));
  });

  test("a tenant of a trigger is made by it, and what it prefers for its users counts", async () => {
    await say("resident", "stub", { tenant: "new-tenant" });
    assert.equal((await knock.tenants.get("new-tenant")).id, "new-tenant");
    const quiet = { id: "quiet", name: "Quiet", settings: { preference_set: { workflows: { alert: false } } } };
    await say("resident", "unwanted", { tenant: quiet });
    await knock.users.setPreferences("resident", "quiet", { workflows: { alert: true } });
    await say("resident", "wanted", { tenant: "quiet" });
    const strict = { workflows: { alert: { __strategy__: "replace", channel_types: { in_app_feed: false } } } };
    await knock.tenants.set("quiet", { settings: { preference_set: strict } });
    await say("resident", "overruled", { tenant: "quiet" });
    assert.deepEqual(await items("resident"), ["stub", "wanted"]);
    const read = await knock.users.getPreferences("resident", "quiet");
    assert.deepEqual(read.workflows.alert.__strategy__, "replace");
  });

  test(`${firstSdks[1].name}: tenants and subscriptions`, async () => {
    const first = firstSdks[1].connect(belfry.url, SECRET_KEY);
    const tenant = await first.tenants.set("early", { name: "Early" });
    assert.equal(tenant.name, "Early");
    assert.equal((await first.tenants.get("early")).id, "early");
    assert.ok((await first.tenants.list({ name: "Early" })).entries.length === 1);
    await first.tenants.delete("early");
    await missing(first.tenants.get("early"));
    await first.objects.addSubscriptions("early", "o", { recipients: ["early-user"], properties: { a: 1 } });
    assert.deepEqual(names((await first.objects.listSubscriptions("early", "o")).entries), ["early-user"]);
    assert.equal((await first.users.getSubscriptions("early-user")).entries.length, 1);
    await first.objects.deleteSubscriptions("early", "o", { recipients: ["early-user"] });
    assert.deepEqual((await first.objects.listSubscriptions("early", "o")).entries, []);
  });
});

test("a fan-out that a crash interrupts reaches everybody once, and a cancel in its middle holds", { timeout: 240_000 }, async () => {
  const belfry = await Belfry.start();
  try {
    let knock = connect(belfry);
    const count = 3_000;
    const users = Array.from({ length: count }, (_, index) => `f${index}@x.test`);
    const subscriptions = [];
    for (let at = 0; at < count; at += 100) subscriptions.push({ id: "all", recipients: users.slice(at, at + 100) });
    await knock.objects.bulk.addSubscriptions("lists", { subscriptions });
    const all = { collection: "lists", id: "all" };
    const data = { inviteToken: "t" };
    // Everybody waits three days for the reminder; the first mails go at once.
    await knock.workflows.trigger("account-invite", { recipients: [all], data, cancellation_key: "kept" });
    await belfry.restart();
    knock = connect(belfry);
    await knock.workflows.trigger("account-invite", { recipients: [all], data, cancellation_key: "gone" });
    await knock.workflows.cancel("account-invite", { cancellation_key: "gone" });
    await belfry.advance("0s");
    const firsts = belfry.mails.length;
    assert.ok(firsts >= count, `${firsts} mails`);
    await belfry.advance("4d");
    const reminders = belfry.mails.filter((mail) => /Reminder/.test(mail.subject)).map((mail) => mail.to).sort();
    assert.deepEqual(reminders, [...users].sort());
  } finally {
    await belfry.stop();
  }
});
