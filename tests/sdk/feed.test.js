// The live feed through Knock's browser client: pages, filters, marks, and what the socket brings.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { counts, heard, Session, texts, until } from "./session.js";
import { APP, Belfry, FEED, FEED_ONLY } from "./server.js";
import { network } from "./window.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const all = (count) => ({ total: count, unread: count, unseen: count });
const numbers = (count) => Array.from({ length: count }, (_, index) => `${index + 1}`);

describe("the feed in Knock's browser client", { concurrency: 3, timeout: 240_000 }, () => {
  let belfry;
  const sessions = [];
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
  });
  after(async () => {
    sessions.forEach((session) => session.close());
    await belfry?.stop();
  });

  const session = (user, options) => {
    const session = new Session(belfry.url, user, options);
    sessions.push(session);
    return session;
  };
  const say = async (user, said, more) => {
    for (const text of [said].flat()) await belfry.trigger("alert", user, { text, link: `${APP}/alerts` }, more);
  };
  /** A feed as a new session of the user finds it. */
  const found = async (user, options) => {
    const feed = session(user).feed(options);
    const { status } = await feed.fetch();
    assert.equal(status, "ok");
    return feed;
  };

  test("a user whom nobody knows has an empty feed, and no branding", async () => {
    const feed = await found("nobody");
    assert.deepEqual(counts(feed), all(0));
    assert.deepEqual(feed.getState().items, []);
    assert.deepEqual(feed.getState().pageInfo.after, null);
    const path = `/v1/users/nobody/feeds/${FEED}/settings`;
    const settings = await feed.knock.client().makeRequest({ method: "GET", url: path });
    assert.deepEqual(settings.body, { features: { branding_required: false } });
  });

  test("an item is complete", async () => {
    await belfry.trigger("approval", "complete", { text: "a painting", deep: { hidden: 1 } }, {
      actor: { id: "bob", name: "Bob Ross", avatar: "https://app.example/bob.png" },
    });
    const feed = await found("complete");
    assert.deepEqual(counts(feed), all(1));
    const [{ id, __cursor, blocks, actors, source, data, inserted_at, ...rest }] = feed.getState().items;
    assert.match(id, UUID);
    assert.ok(__cursor.length > 0);
    assert.deepEqual(actors.map(({ id, name, avatar }) => [id, name, avatar]), [
      ["bob", "Bob Ross", "https://app.example/bob.png"],
    ]);
    assert.deepEqual([source.key, source.categories], ["approval", ["approvals"]]);
    assert.deepEqual(data, { text: "a painting" });
    assert.ok(Math.abs(Date.parse(inserted_at) - (await belfry.now())) < 60_000, inserted_at);
    assert.deepEqual(blocks.map(({ name, type }) => [name, type]), [["body", "markdown"], ["actions", "button_set"]]);
    assert.equal(blocks[0].rendered.trim(), "<p><strong>Bob Ross</strong> asks for your approval of a painting.</p>");
    assert.deepEqual(blocks[1].buttons, [
      { name: "primary", label: "Approve", action: `${APP}/approve` },
      { name: "secondary", label: "Decline a painting", action: `${APP}/decline` },
    ]);
    assert.equal(rest.tenant, null);
    for (const stamp of ["read_at", "seen_at", "archived_at", "interacted_at", "link_clicked_at", "clicked_at"]) {
      assert.equal(rest[stamp], null, stamp);
    }
  });

  test("every filter that the client sends", async () => {
    const user = "filters";
    await belfry.trigger("alert", user, { text: "a", page: 1, urgent: true });
    await belfry.trigger("alert", user, { text: "b", page: 2 }, { tenant: "acme" });
    await belfry.trigger("approval", user, { text: "c", page: 1 }, { tenant: "acme" });
    await belfry.trigger("approval", user, { text: "d", page: "1" }, { tenant: "other" });
    await belfry.trigger("alert", user, { text: "e", page: 2 });
    const { entries } = await belfry.feed(user);
    const of = (text) => entries.find((entry) => entry.data.text === text);
    const marks = session(user).feed();
    await marks.fetch();
    const item = (text) => marks.getState().items.find((item) => item.id === of(text).id);
    await marks.markAsRead(item("a"));
    await marks.markAsSeen([item("b"), item("c")]);
    await marks.markAsArchived(item("e"));
    const range = (start, end, inclusive) => ({
      inserted_at_date_range: { start: start && of(start).inserted_at, end: end && of(end).inserted_at, inclusive },
    });
    for (const [options, shown] of [
      [{}, "dcba"],
      [{ status: "all" }, "dcba"],
      [{ status: "unread" }, "dcb"],
      [{ status: "read" }, "a"],
      [{ status: "unseen" }, "da"],
      [{ status: "seen" }, "cb"],
      [{ archived: "include" }, "edcba"],
      [{ archived: "only" }, "e"],
      [{ tenant: "acme" }, "cba"],
      [{ tenant: "acme", has_tenant: true }, "cb"],
      [{ tenant: "nobody" }, "a"],
      [{ has_tenant: true }, "dcb"],
      [{ has_tenant: false }, "a"],
      [{ source: "approval" }, "dc"],
      [{ workflow_categories: ["alerts"] }, "ba"],
      [{ workflow_categories: ["alerts", "approvals"] }, "dcba"],
      [{ workflow_categories: ["nothing"] }, ""],
      [{ trigger_data: { page: 1 } }, "ca"],
      [{ trigger_data: { page: "1" } }, "d"],
      [{ trigger_data: { page: 1, urgent: true } }, "a"],
      [{ trigger_data: { page: 3 } }, ""],
      [range("b", undefined, true), "dcb"],
      [range("b", undefined, false), "dc"],
      [range("b", "c", true), "cb"],
      [range("b", "d"), "c"],
      [{ page_size: 2 }, "dc"],
      [{ tenant: "acme", status: "unread", workflow_categories: ["approvals"], trigger_data: { page: 1 } }, "c"],
    ]) {
      const feed = await found(user, options);
      assert.equal(texts(feed).join(""), shown, JSON.stringify(options));
      const size = options.page_size ? 4 : shown.length;
      assert.equal(feed.getState().metadata.total_count, size, JSON.stringify(options));
    }
  });

  test("a message is pushed: within a second, with the counts, and exactly it", async () => {
    const listener = session("pushed");
    const feed = await listener.live();
    const took = [];
    for (const [index, text] of numbers(5).entries()) {
      const begun = performance.now();
      await say("pushed", text);
      await until(() => heard(feed).length > index);
      took.push(performance.now() - begun);
      assert.deepEqual(heard(feed), numbers(index + 1));
      assert.deepEqual(counts(feed), all(index + 1));
    }
    assert.deepEqual(texts(feed), ["5", "4", "3", "2", "1"]);
    // The quickest: a busy machine may take its time once.
    assert.ok(Math.min(...took) < 1_000, `${took} ms`);
    // The event names who is meant, and brings no content.
    for (const push of listener.pushes()) {
      assert.deepEqual(Object.keys(push).toSorted(), ["attn", "data", "event", "metadata"]);
      assert.equal(push.event, "new-message");
      assert.deepEqual(push.attn, [feed.referenceId]);
      assert.deepEqual(push.data, { [feed.referenceId]: { metadata: push.metadata } });
    }
  });

  test("a burst of 200 messages leaves the exact counts and the exact list", async () => {
    const listener = session("burst");
    const feed = await listener.live();
    const triggers = numbers(200);
    const path = "/v1/workflows/alert/trigger";
    await Promise.all(Array.from({ length: 8 }, async () => {
      for (let text = triggers.shift(); text; text = triggers.shift()) {
        const body = { recipients: ["burst"], data: { text } };
        assert.equal((await belfry.call("POST", path, { body })).status, 200);
      }
    }));
    await until(() => counts(feed).total === 200, () => JSON.stringify(counts(feed)));
    await until(() => feed.getState().items.length === 200, () => `${feed.getState().items.length} items`);
    assert.deepEqual(counts(feed), all(200));
    assert.deepEqual(texts(feed).toSorted((a, b) => a - b), numbers(200));
    const paged = await found("burst");
    while (paged.getState().pageInfo.after) await next(paged);
    assert.deepEqual(texts(paged), texts(feed));
  });

  test("a message that is pushed while the client reads an earlier one is not lost", async () => {
    const listener = session("slow");
    const feed = await listener.live();
    let arrive;
    network.clear = new Promise((resolve) => (arrive = resolve));
    const pushed = (count) => until(() => listener.pushes().some(({ metadata }) => metadata.total_count === count));
    try {
      await say("slow", "1");
      await pushed(1);
      await until(() => feed.getState().networkStatus === "loading" && listener.fetches("slow").length === 2);
      await say("slow", "2");
      // The client ignores it: it is reading.
      await pushed(2);
    } finally {
      arrive();
    }
    await until(() => texts(feed).length === 2 && counts(feed).total === 2, () => `${texts(feed)}`);
    assert.deepEqual([texts(feed), counts(feed)], [["2", "1"], all(2)]);
  });

  /** The next page. The client does not say when it is there. */
  async function next(feed) {
    feed.fetchNextPage();
    await until(() => feed.getState().networkStatus === "ready");
  }

  test("120 messages are paged through without gap or duplicate, while some come and some go", async () => {
    const user = "paging";
    await say(user, numbers(120));
    const feed = session(user).feed();
    const pages = [];
    feed.on("items.received.page", ({ items }) => pages.push(items.map((item) => item.data.text)));
    const other = session(user).feed();
    const archive = async (...gone) => {
      const path = "/v1/messages/batch/archived";
      const body = { message_ids: gone.map((text) => ids.get(text)) };
      const { status, text } = await belfry.call("POST", path, { body });
      assert.equal(status, 200, text);
    };
    await feed.fetch();
    const ids = new Map(feed.getState().items.map((item) => [item.data.text, item.id]));
    await other.fetch({ after: feed.getState().pageInfo.after });
    for (const item of other.getState().items) ids.set(item.data.text, item.id);
    // New ones at the head; gone are some of this page, the very last of it, and some of the next page, its first.
    await say(user, ["new 1", "new 2"]);
    await archive("100", "71", "70", "50");
    await next(feed);
    await say(user, "new 3");
    await archive("22", "21");
    await next(feed);
    assert.equal(feed.getState().pageInfo.after, null);
    const [first, second, third] = pages;
    const from = (start, count) => Array.from({ length: count }, (_, index) => `${start - index}`);
    assert.deepEqual(first, from(120, 50));
    assert.deepEqual(second, from(69, 51).filter((text) => text !== "50"));
    assert.deepEqual(third, from(18, 18));
    assert.deepEqual(counts(feed), all(117));
    // At the end there is no more to fetch.
    await next(feed);
    assert.equal(pages.length, 3);
  });

  test("of two feeds with different tenants only the one that is meant fetches", async () => {
    const listener = session("tenants");
    const [acme, other] = ["acme", "other"].map((tenant) => listener.feed({ tenant, has_tenant: true }));
    for (const feed of [acme, other]) {
      await feed.fetch();
      await listener.listen(feed);
    }
    const told = () => new Set(listener.pushes().flatMap(({ attn }) => attn));
    const fetches = (tenant) => listener.fetches("tenants", tenant).length;
    await say("tenants", "for none");
    await say("tenants", "for acme", { tenant: "acme" });
    await until(() => heard(acme).length === 1);
    assert.deepEqual([heard(acme), texts(other), counts(other)], [["for acme"], [], all(0)]);
    assert.deepEqual(told(), new Set([acme.referenceId]));
    assert.deepEqual([fetches("acme") > 1, fetches("other")], [true, 1]);
    await say("tenants", "for other", { tenant: "other" });
    await until(() => heard(other).length === 1);
    assert.deepEqual([texts(acme), texts(other)], [["for acme"], ["for other"]]);
    assert.deepEqual([counts(acme), counts(other)], [all(1), all(1)]);
  });

  describe("marks", () => {
    const stamps = ["seen_at", "read_at", "interacted_at", "archived_at"];
    /** What a feed shows, but for the time of its stamps. */
    const shown = (feed) => ({
      counts: counts(feed),
      items: feed.getState().items.map((item) => [item.data.text, ...stamps.filter((stamp) => item[stamp])].join(" ")),
    });
    const one = (feed, text) => feed.getState().items.find((item) => item.data.text === text);

    for (const archived of ["exclude", "include"]) {
      test(`each mark, its inverse, and each again: as on the screen, so on the server (archived: ${archived})`, async () => {
        const user = `marks ${archived}`;
        await say(user, numbers(4));
        const feed = await found(user, { archived });
        for (const [mark, ...numbers] of [
          ["markAsSeen", 1], ["markAsSeen", 1], ["markAsUnseen", 1], ["markAsUnseen", 1], ["markAsSeen", 1, 2, 3],
          ["markAsRead", 2], ["markAsRead", 2], ["markAsUnread", 2], ["markAsRead", 1, 2],
          ["markAsInteracted", 3], ["markAsInteracted", 3], ["markAsUnread", 3],
          ["markAsArchived", 1], ["markAsArchived", 4], ["markAsSeen", 2],
        ]) {
          const marked = numbers.map((number) => one(feed, `${number}`)).filter(Boolean);
          const answer = await feed[mark](marked);
          assert.deepEqual(answer.map((message) => message.id), marked.map((item) => item.id), mark);
          const step = `${mark} ${numbers}`;
          const now = await found(user, { archived });
          assert.deepEqual(shown(feed), shown(now), step);
        }
        const only = await found(user, { archived: "only" });
        assert.deepEqual(texts(only), ["4", "1"]);
        await only.markAsUnarchived(one(only, "1"));
        assert.deepEqual(texts(only), ["4"]);
        assert.deepEqual(shown(only), shown(await found(user, { archived: "only" })));
        assert.deepEqual(texts(await found(user)), ["3", "2", "1"]);
      });
    }

    for (const [mark, expected] of [
      ["markAllAsSeen", { total: 3, unread: 3, unseen: 0 }],
      ["markAllAsRead", { total: 3, unread: 0, unseen: 3 }],
      ["markAllAsArchived", { total: 0, unread: 0, unseen: 0 }],
    ]) {
      test(`${mark} is done when it is answered`, async () => {
        await say(mark, numbers(3));
        const feed = await found(mark);
        const operation = await feed[mark]();
        assert.deepEqual(counts(feed), expected);
        await feed.fetch();
        assert.deepEqual(counts(feed), expected);
        assert.equal(operation.__typename, "BulkOperation");
        const { status, json } = await belfry.call("GET", `/v1/bulk_operations/${operation.id}`);
        assert.deepEqual([status, json().id, json().status], [200, operation.id, "completed"]);
        assert.deepEqual([json().success_count, json().error_count], [3, 0]);
      });
    }

    test("markAll concerns what the feed shows, and nobody else's", async () => {
      const [user, other] = ["scoped", "not scoped"];
      await say([user, other], "1", { tenant: "acme" });
      await say([user, other], "2", { tenant: "other" });
      await say([user, other], "3");
      const feed = await found(user, { tenant: "acme" });
      assert.deepEqual(texts(feed), ["3", "1"]);
      await feed.markAllAsRead();
      await feed.fetch();
      assert.deepEqual(counts(feed), { total: 2, unread: 0, unseen: 2 });
      assert.deepEqual(counts(await found(user)), { total: 3, unread: 1, unseen: 3 });
      const unseen = await found(user, { status: "unseen", tenant: "other", has_tenant: true });
      await unseen.markAllAsSeen();
      await unseen.fetch();
      assert.deepEqual(texts(unseen), []);
      assert.deepEqual(counts(await found(user)), { total: 3, unread: 1, unseen: 2 });
      assert.deepEqual(counts(await found(other)), all(3));
    });

    test("the message tells the same as the feed", async () => {
      await say("messages", "1");
      const feed = await found("messages");
      const [{ id }] = feed.getState().items;
      const { messages } = feed.knock;
      assert.equal((await messages.get(id)).read_at, null);
      const read = await messages.updateStatus(id, "read");
      assert.deepEqual([read.id, read.engagement_statuses], [id, ["read"]]);
      const interacted = await messages.updateStatus(id, "interacted", { metadata: { button: "primary" } });
      assert.deepEqual(interacted.engagement_statuses.toSorted(), ["interacted", "read"]);
      assert.equal((await messages.removeStatus(id, "read")).read_at, null);
      assert.equal((await messages.get(id)).read_at, null);
      assert.deepEqual(counts(await found("messages")), { total: 1, unread: 1, unseen: 1 });
    });

    test("a mark in one session reaches the badge of the other", async () => {
      const [desk, phone] = await Promise.all([session("both").live(), session("both").live()]);
      await say("both", ["1", "2"]);
      for (const feed of [desk, phone]) {
        await until(() => counts(feed).unseen === 2 && feed.getState().items.length === 2);
      }
      const reaches = (expected) => until(
        () => Object.entries(expected).every(([name, count]) => counts(desk)[name] === count),
        () => `${JSON.stringify(counts(desk))}, not ${JSON.stringify(expected)}`,
      );
      await phone.markAsRead(one(phone, "1"));
      await reaches({ total: 2, unread: 1, unseen: 2 });
      await phone.markAllAsSeen();
      await reaches({ total: 2, unread: 1, unseen: 0 });
      await phone.markAsArchived(one(phone, "2"));
      await reaches({ total: 1, unread: 0, unseen: 0 });
      await phone.markAsUnread(one(phone, "1"));
      await reaches({ total: 1, unread: 1, unseen: 0 });
      assert.equal(texts(desk).length, 2);
    });
  });
});
