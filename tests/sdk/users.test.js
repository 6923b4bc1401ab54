// Users through Knock's Node SDKs: identified, listed, merged, deleted, one at a time and in bulk.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

describe("users", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
  });
  after(() => belfry?.stop());

  const missing = (promise) => assert.rejects(promise, (error) => error.status === 404);
  const done = async (operation, rows) => {
    const { status, success_count, error_count } = await knock.bulkOperations.get(operation.id);
    assert.deepEqual({ status, success_count, error_count }, { status: "completed", success_count: rows, error_count: 0 });
  };

  for (const { name, connect } of firstSdks) {
    test(`${name}: identified, merged, deleted, in bulk`, async () => {
      const first = connect(belfry.url, SECRET_KEY);
      const id = (user) => `${name.replace(" ", "-")}-${user}`;
      await first.users.identify(id("a"), { name: "A", deep: { x: 1 } });
      const user = await first.users.identify(id("a"), { name: null, deep: { y: 2 } });
      assert.deepEqual([user.name, user.deep, user.__typename], [null, { x: 1, y: 2 }, "User"]);
      const users = ["b", "c"].map((user) => ({ id: id(user), plan: user }));
      await done(await first.users.bulkIdentify(users), 2);
      const merged = await first.users.merge(id("a"), id("b"));
      assert.deepEqual([merged.id, merged.plan], [id("a"), "b"]);
      await missing(first.users.get(id("b")));
      await first.users.delete(id("c"));
      await missing(first.users.get(id("c")));
      await done(await first.users.bulkDelete([id("a"), id("never")]), 2);
      await missing(first.users.get(id("a")));
    });
  }

  test("identify merges deeply, null overwrites, and what the server knows cannot be written", async () => {
    const properties = { name: "Ada", email: "ada@x.test", deep: { list: [1, 2], kept: true }, created_at: "2020-01-02T03:04:05Z" };
    const made = await knock.users.update("ada", properties);
    assert.deepEqual({ ...made, updated_at: null }, { __typename: "User", id: "ada", updated_at: null, ...properties });
    await knock.users.update("ada", { email: null, deep: { list: [3] }, id: "other", updated_at: "1999-01-01T00:00:00Z" });
    const found = await knock.users.get("ada");
    assert.deepEqual([found.email, found.deep, found.id, found.name], [null, { list: [3], kept: true }, "ada", "Ada"]);
    assert.ok(found.updated_at >= made.updated_at);
    await missing(knock.users.get("nobody"));
    assert.deepEqual((await knock.users.update("empty", {})).id, "empty");
  });

  test("a user that grows over the limit is refused and stays as it was", async () => {
    await knock.users.update("big", { a: "x".repeat(200_000) });
    const refused = knock.users.update("big", { b: "x".repeat(200_000) });
    await assert.rejects(refused, (error) => error.status === 422 && /at most 262144/.test(error.message));
    assert.equal((await knock.users.get("big")).b, undefined);
    const trigger = knock.workflows.trigger("alert", { recipients: ["u", { id: "big", c: "x".repeat(100_000) }] });
    await assert.rejects(trigger, (error) => error.status === 422);
  });

  test("every page of the list, forwards by itself and backwards by hand", async () => {
    const own = await Belfry.start({ env: FEED_ONLY });
    try {
      const knock = new Knock135({ apiKey: SECRET_KEY, baseURL: own.url });
      const ids = Array.from({ length: 120 }, (_, index) => `u-${index}`).sort();
      await knock.users.bulk.identify({ users: ids.map((id) => ({ id, name: id })) });
      const found = [];
      for await (const user of knock.users.list({ page_size: 50 })) found.push(user.id);
      assert.deepEqual(found, ids);
      const second = await knock.users.list({ page_size: 50, after: (await knock.users.list({ page_size: 50 })).page_info.after });
      assert.deepEqual(second.entries.map((user) => user.id), ids.slice(50, 100));
      const first = await knock.users.list({ page_size: 20, before: second.page_info.before });
      assert.deepEqual(first.entries.map((user) => user.id), ids.slice(30, 50));
      assert.deepEqual((await knock.users.list({ page_size: 30, before: first.page_info.before })).page_info.before, null);
      await assert.rejects(knock.users.list({ after: "**" }), (error) => error.status === 422);
    } finally {
      await own.stop();
    }
  });

  test("who is deleted leaves nothing, is not written to again, and may come back as somebody new", async () => {
    const items = async (user) => (await belfry.feed(user)).meta.total_count;
    await knock.users.update("gone", { name: "Gone" });
    await belfry.trigger("alert", ["gone", "stays"], { text: "one", link: "/" });
    assert.deepEqual([await items("gone"), await items("stays")], [1, 1]);
    const [{ id }] = (await belfry.feed("gone")).entries;
    assert.equal(await knock.users.delete("gone"), null);
    await missing(knock.users.get("gone"));
    await missing(knock.messages.get(id));
    assert.deepEqual([await items("gone"), await items("stays")], [0, 1]);
    await knock.users.delete("gone");
    await belfry.trigger("alert", [{ id: "gone", name: "Again" }], { text: "two", link: "/" });
    assert.equal(await items("gone"), 1);
  });

  test("a merge takes over what the primary lacks, with its feed", async () => {
    await knock.users.update("primary", { name: "Primary", deep: { a: 1 } });
    await knock.users.update("secondary", { name: "Secondary", phone_number: "+1", deep: { a: 2, b: 2 } });
    await belfry.trigger("alert", "secondary", { text: "old", link: "/" });
    await belfry.trigger("alert", "primary", { text: "own", link: "/" });
    const merged = await knock.users.merge("primary", { from_user_id: "secondary" });
    assert.deepEqual([merged.name, merged.phone_number, merged.deep], ["Primary", "+1", { a: 1, b: 2 }]);
    const feed = await belfry.feed("primary");
    assert.deepEqual(feed.entries.map((item) => item.data.text), ["own", "old"]);
    assert.equal(feed.meta.unread_count, 2);
    await missing(knock.users.get("secondary"));
    await missing(knock.users.merge("primary", { from_user_id: "secondary" }));
    await missing(knock.users.merge("nobody", { from_user_id: "primary" }));
    await assert.rejects(knock.users.merge("primary", { from_user_id: "primary" }), (error) => error.status === 422);
  });

  test("a bulk call names each entry that is wrong, and does nothing then", async () => {
    const users = [{ id: "bulk-ok" }, { name: "without an id" }, { id: "bulk-bad", email: 7 }];
    const error = await knock.users.bulk.identify({ users }).catch((error) => error);
    assert.deepEqual(error.error.errors.map(({ field }) => field), ["users[1]", "users[2].email"]);
    await missing(knock.users.get("bulk-ok"));
    const many = { user_ids: Array.from({ length: 1_001 }, (_, index) => `${index}`) };
    await assert.rejects(knock.users.bulk.delete(many), /1001 entries; at most 1000/);
    const ids = Array.from({ length: 1_000 }, (_, index) => `bulk-${index}`);
    await done(await knock.users.bulk.identify({ users: ids.map((id) => ({ id })) }), 1_000);
    await done(await knock.users.bulk.delete({ user_ids: ids }), 1_000);
    await missing(knock.users.get("bulk-999"));
  });

  test("a public key reaches no list, no deletion, no merge and no bulk call", async () => {
    for (const [method, path] of [["GET", "/v1/users"], ["DELETE", "/v1/users/u"], ["POST", "/v1/users/u/merge"],
      ["POST", "/v1/users/bulk/identify"], ["POST", "/v1/users/bulk/delete"]]) {
      const answer = await belfry.call(method, path, { key: PUBLIC_KEY, body: method === "POST" ? {} : undefined });
      assert.equal(answer.status, 403, path);
    }
  });
});

test("a pending run of a deleted user ends at its next step, also over a crash", { timeout: 60_000 }, async () => {
  const belfry = await Belfry.start();
  try {
    let knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    for (const user of ["gone", "stays"]) await knock.users.update(user, { email: `${user}@x.test` });
    await knock.workflows.trigger("account-invite", { recipients: ["gone", "stays"], data: { inviteToken: "t" } });
    await belfry.waitForMail((mail) => mail.to === "gone@x.test");
    await belfry.waitForMail((mail) => mail.to === "stays@x.test");
    await knock.users.delete("gone");
    await belfry.restart();
    knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
    await knock.users.update("gone", { email: "gone@x.test" });
    await belfry.advance("4d");
    await belfry.waitForMail((mail) => mail.to === "stays@x.test" && /Reminder/.test(mail.subject));
    assert.equal(belfry.mails.filter((mail) => mail.to === "gone@x.test").length, 1);
  } finally {
    await belfry.stop();
  }
});
