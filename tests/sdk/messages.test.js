// Messages through Knock's Node SDKs: found by every filter in every dialect, page by page, and what stands behind them.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

const connect = (belfry) => new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
const texts = (page) => page.items.map((message) => message.data.text);
const said = (content) => content.data.blocks[0].rendered.replace(/<[^>]*>/g, "").trim();

describe("messages", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = connect(belfry);
  });
  after(() => belfry?.stop());

  const say = (user, text, { data = {}, ...more } = {}) => belfry.trigger("alert", user, { text, link: "/", ...data }, more);

  for (const { name, connect } of firstSdks) {
    test(`${name}: lists, filters, content, activities, events`, async () => {
      const { users, messages } = connect(belfry.url, SECRET_KEY);
      const user = name.replace(" ", "-");
      await say([user], "one", { data: { name } });
      await say([user], "two", { data: { name, n: 2 } });
      assert.deepEqual(texts(await users.getMessages(user)), ["two", "one"]);
      assert.deepEqual(texts(await users.getMessages(user, { trigger_data: JSON.stringify({ n: 2 }) })), ["two"]);
      const page = await messages.list({ trigger_data: JSON.stringify({ name }), page_size: 1 });
      assert.deepEqual(texts(page), ["two"]);
      const [{ id, __cursor }] = page.items;
      assert.equal(page.page_info.after, __cursor);
      const rest = await messages.list({ trigger_data: JSON.stringify({ name }), after: __cursor });
      assert.deepEqual([texts(rest), rest.page_info.after], [["one"], null]);
      assert.equal((await messages.get(id)).id, id);
      const content = await messages.getContent(id);
      assert.deepEqual([content.message_id, said(content)], [id, "two"]);
      const activities = await messages.getActivities(id);
      assert.deepEqual(activities.items.map(({ data, recipient }) => [data.text, recipient.id]), [["two", user]]);
      assert.equal((await messages.getEvents(id)).items.length, 2);
      if (messages.setStatus) {
        assert.ok((await messages.setStatus(id, "read")).read_at);
        assert.equal((await messages.deleteStatus(id, "read")).read_at, null);
        const [marked] = await messages.batchSetStatus([id], "archived");
        assert.ok(marked.archived_at);
      }
    });
  }

  test("every filter finds what it names and nothing else", async () => {
    const user = "filters";
    const list = (query) => knock.users.listMessages(user, query);
    const run = async (text, more) => {
      await say(user, text, more);
      return (await list()).items[0];
    };
    const first = await run("first", { tenant: "acme", data: { n: 1, flag: true } });
    const second = await run("second", { data: { n: "1" } });
    await knock.messages.markAsRead(first.id);
    const found = async (query) => texts(await list(query));
    const both = ["second", "first"];
    assert.deepEqual(await found({ tenant: "acme" }), ["first"]);
    assert.deepEqual(await found({ channel_id: FEED }), both);
    assert.deepEqual(await found({ channel_id: "00000000-0000-0000-0000-000000000000" }), []);
    assert.deepEqual(await found({ status: ["delivered", "sent"] }), both);
    assert.deepEqual(await found({ status: ["bounced"] }), []);
    assert.deepEqual(await found({ engagement_status: ["read"] }), ["first"]);
    assert.deepEqual(await found({ engagement_status: ["unread", "archived"] }), ["second"]);
    assert.deepEqual(await found({ message_ids: [first.id, "nobody's"] }), ["first"]);
    assert.deepEqual(await found({ message_ids: [first.id, second.id], tenant: "acme" }), ["first"]);
    assert.deepEqual(await found({ workflow_categories: ["alerts", "x"] }), both);
    assert.deepEqual(await found({ workflow_categories: ["x"] }), []);
    assert.deepEqual(await found({ source: "alert" }), both);
    assert.deepEqual(await found({ source: "approval" }), []);
    assert.deepEqual(await found({ workflow_run_id: first.source.workflow_run_id }), ["first"]);
    assert.deepEqual(await found({ workflow_recipient_run_id: second.source.workflow_recipient_run_id }), ["second"]);
    assert.deepEqual(await found({ trigger_data: JSON.stringify({ n: 1, flag: true }) }), ["first"]);
    assert.deepEqual(await found({ inserted_at: { gt: first.inserted_at } }), ["second"]);
    assert.deepEqual(await found({ inserted_at: { lte: first.inserted_at } }), ["first"]);
    assert.deepEqual(await found({ inserted_at: { gt: second.inserted_at } }), []);
    const raw = async (query) => texts((await belfry.call("GET", `/v1/users/${user}/messages?${query}`)).json());
    assert.deepEqual(await raw(`inserted_at.gte=${second.inserted_at}&tenant=&unknown=1`), ["second"]);
    assert.deepEqual(await raw("trigger_data[n]=1"), both);
    const wrong = await list({ status: ["lost"], channel_id: "x", trigger_data: '{"a":{}}' }).catch((error) => error);
    assert.equal(wrong.status, 422);
    assert.deepEqual(wrong.error.errors.map(({ field }) => field), ["channel_id", "status", "trigger_data"]);
    await assert.rejects(list({ message_ids: Array(51).fill(first.id) }), (error) => error.status === 422);
  });

  test("pages show each message once while others come and go, and lead back", async () => {
    const own = await Belfry.start({ env: FEED_ONLY });
    try {
      const knock = connect(own);
      for (let n = 0; n < 25; n += 1) await own.trigger("alert", [`u-${n % 2}`], { text: `${n}`, link: "/" });
      const newest = Array.from({ length: 25 }, (_, n) => `${24 - n}`);
      const found = [];
      for await (const message of knock.messages.list({ page_size: 10 })) found.push(message.data.text);
      assert.deepEqual(found, newest);
      const first = await knock.messages.list({ page_size: 10 });
      await own.trigger("alert", ["u-0"], { text: "25", link: "/" });
      const second = await knock.messages.list({ page_size: 10, after: first.page_info.after });
      assert.deepEqual(texts(second), newest.slice(10, 20));
      assert.deepEqual(texts(await knock.messages.list({ page_size: 10, before: second.page_info.before })), newest.slice(0, 10));
      const newer = await knock.messages.list({ page_size: 10, before: first.items[0].__cursor });
      assert.deepEqual([texts(newer), newer.page_info.before], [["25"], null]);
      await knock.users.delete("u-1");
      const rest = await knock.messages.list({ page_size: 50, after: first.page_info.after });
      assert.deepEqual(texts(rest), newest.slice(10).filter((n) => n % 2 === 0));
      assert.deepEqual(texts(await knock.users.listMessages("u-1")), []);
      await assert.rejects(knock.messages.list({ after: "**" }), (error) => error.status === 422);
    } finally {
      await own.stop();
    }
  });

  test("each status is set and cleared, and an interaction says what it was", async () => {
    await say("reader", "x");
    const { id } = (await knock.users.listMessages("reader")).items[0];
    const { messages } = knock;
    const marks = [
      [messages.markAsSeen, messages.markAsUnseen, "seen"],
      [messages.markAsRead, messages.markAsUnread, "read"],
      [messages.archive, messages.unarchive, "archived"],
    ];
    for (const [set, clear, status] of marks) {
      const done = await set.call(messages, id);
      assert.ok(done[`${status}_at`] && done.engagement_statuses.includes(status), status);
      assert.equal((await clear.call(messages, id))[`${status}_at`], null);
    }
    const done = await messages.markAsInteracted(id, { metadata: { type: "button_click", name: "primary" } });
    assert.ok(done.interacted_at && done.read_at);
    const events = await messages.listEvents(id);
    assert.deepEqual(events.items[0].data, { type: "button_click", name: "primary" });
    const batch = knock.messages.batch;
    for (const name of ["markAsSeen", "markAsRead", "archive", "markAsUnseen", "markAsUnread", "unarchive", "markAsInteracted"]) {
      const [marked] = await batch[name]({ message_ids: [id] });
      assert.equal(marked.id, id, name);
    }
  });

  test("content is read in a batch, in the order of its ids, and what is not there is left out", async () => {
    await say(["batch-a"], "a");
    await say(["batch-b"], "b");
    const ids = await Promise.all(["b", "a"].map(async (user) => (await knock.users.listMessages(`batch-${user}`)).items[0].id));
    const contents = await knock.messages.batch.getContent({ message_ids: [ids[0], "nobody's", ids[1]] });
    assert.deepEqual(contents.map((content) => [content.message_id, said(content)]), [[ids[0], "b"], [ids[1], "a"]]);
    const none = await belfry.call("GET", "/v1/messages/batch/content");
    assert.deepEqual([none.status, none.json().errors[0].field], [422, "message_ids"]);
  });

  test("what no message has is not found, and a public key reads none of it", async () => {
    const missing = (promise) => assert.rejects(promise, (error) => error.status === 404);
    for (const call of ["get", "getContent", "listActivities", "listDeliveryLogs", "listEvents"]) await missing(knock.messages[call]("nobody"));
    for (const path of ["", "/x/content", "/x/activities", "/x/delivery_logs", "/batch/content"]) {
      assert.equal((await belfry.call("GET", `/v1/messages${path}`, { key: PUBLIC_KEY })).status, 403, path);
    }
  });
});

test("an email tells what it said, to whom, and how it was handed over", { timeout: 60_000 }, async () => {
  const belfry = await Belfry.start();
  try {
    const knock = connect(belfry);
    await knock.users.update("actor", { name: "Ada" });
    const recipients = [{ id: "invited", email: "invited@x.test" }];
    await knock.workflows.trigger("account-invite", { recipients, actor: "actor", data: { inviteToken: "t" } });
    await belfry.waitForMail((mail) => mail.to === "invited@x.test");
    await belfry.advance("0s");
    const [message] = (await knock.messages.list({ status: ["sent"] })).items;
    const { data } = await knock.messages.getContent(message.id);
    const [mail] = belfry.mails;
    assert.deepEqual([data.__typename, data.to, data.subject_line], ["MessageEmailContent", "invited@x.test", mail.subject]);
    assert.equal(data.from, "Acme <no-reply@acme.test>");
    assert.match(data.html_body, /<html/i);
    const [log, ...others] = (await knock.messages.listDeliveryLogs(message.id)).items;
    assert.deepEqual([log.service_name, log.response.status, others], ["smtp", 250, []]);
    const [activity] = (await knock.messages.listActivities(message.id)).items;
    assert.deepEqual([activity.actor.name, activity.recipient.email, activity.data.inviteToken], ["Ada", "invited@x.test", "t"]);
    assert.deepEqual((await knock.messages.listActivities(message.id, { trigger_data: '{"inviteToken":"u"}' })).items, []);
  } finally {
    await belfry.stop();
  }
});
