// The live feed as its reader sees it: Knock's React components under StrictMode, in a browser, across origins.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Gate } from "../sdk/gate.js";
import { Belfry, FEED, FEED_ONLY } from "../sdk/server.js";
import { Browser } from "./browser.js";

const BULK = `/v1/channels/${FEED}/messages/bulk`;
const BATCH = "/v1/messages/batch";

describe("the React components", { concurrency: 2, timeout: 240_000 }, () => {
  let belfry;
  let browser;
  let app;
  before(async () => {
    browser = await Browser.open();
    app = browser.origin;
    belfry = await Belfry.start({ env: { ...FEED_ONLY, BELFRY__VARS__APP_URL: app } });
  });
  after(async () => {
    await browser?.close();
    await belfry?.stop();
  });

  /** A session of `user` that hears of new messages. */
  const live = async (user, options, host = belfry.url) => {
    const reader = await browser.visit(host, user, options);
    await reader.live();
    return reader;
  };
  const say = (to, ...texts) => texts.reduce(
    (before, text) => before.then(() => belfry.trigger("alert", to, { text, link: `${app}/alerts` })),
    Promise.resolve(),
  );
  const counts = async (user) => {
    const { total_count, unread_count, unseen_count } = (await belfry.feed(user)).meta;
    return { total: total_count, unread: unread_count, unseen: unseen_count };
  };

  test("the badge counts up as messages come", async () => {
    const reader = await live("counting");
    await reader.shows(reader.badge, 0);
    for (const count of ["1", "2", "3"]) {
      await say("counting", `message ${count}`);
      await reader.shows(reader.badge, count);
    }
    // All that was there before, and more than a badge can show, is counted as well.
    await say("counting", ...Array.from({ length: 8 }, (_, index) => `more ${index}`));
    await reader.shows(reader.badge, "9+");
    await reader.leave();
  });

  test("opening the feed marks all as seen, exactly once", async () => {
    await say("opening", "first", "second");
    const reader = await live("opening");
    await reader.shows(reader.badge, "2");
    assert.equal(await reader.popover.isVisible(), false);
    await reader.bell.click();
    await reader.shows(reader.badge, 0);
    await reader.until(async () => (await counts("opening")).unseen === 0);
    assert.equal(await reader.popover.isVisible(), true);
    assert.deepEqual(await counts("opening"), { total: 2, unread: 2, unseen: 0 });
    const seen = () => reader.sent("POST", `${BULK}/seen`);
    assert.deepEqual(seen().map(({ body }) => body), [{ user_ids: ["opening"], archived: "exclude" }]);
    // Nothing is unseen, so there is nothing to mark.
    await reader.bell.click();
    await reader.bell.click();
    await reader.bell.click();
    assert.equal(await reader.popover.isVisible(), false);
    await say("opening", "third");
    await reader.shows(reader.badge, "1");
    assert.equal(seen().length, 1);
    await reader.bell.click();
    await reader.shows(reader.badge, 0);
    assert.equal(seen().length, 2);
    // What comes while it is open is seen at once.
    await say("opening", "fourth");
    await reader.item("fourth").waitFor();
    await reader.until(async () => (await counts("opening")).unseen === 0);
    await reader.shows(reader.badge, 0);
    await reader.leave();
  });

  test("an item shows its body, its age, who caused it, and no branding; an empty feed says so", async () => {
    const reader = await live("looking", { view: "feed" });
    await reader.empty.waitFor();
    await belfry.trigger("approval", "looking", { text: "a painting" }, { actor: { id: "bob", name: "Bob Ross" } });
    const item = reader.item("asks for your approval of a painting.");
    await item.waitFor();
    assert.equal(await item.locator("strong").textContent(), "Bob Ross");
    assert.equal(await item.locator(".rnf-avatar").textContent(), "BR");
    assert.match(await item.locator(".rnf-notification-cell__timestamp").textContent(), /ago|now/);
    assert.deepEqual(await item.locator(".rnf-button").allTextContents(), ["Approve", "Decline a painting"]);
    await reader.shows(reader.dots, 1);
    await reader.shows(reader.empty, 0);
    assert.ok(reader.sent("GET", `/feeds/${FEED}/settings`).length > 0);
    await reader.shows(reader.page.getByText("Powered by Knock"), 0);
    assert.deepEqual(reader.complaints, []);
    await reader.leave();
  });

  test("mark all as read", async () => {
    await say("reading", "first", "second", "third");
    const reader = await live("reading", { view: "feed" });
    await reader.shows(reader.dots, 3);
    await reader.markAllAsRead.click();
    await reader.shows(reader.dots, 0);
    await reader.until(async () => (await counts("reading")).unread === 0);
    const [{ body }, ...others] = reader.sent("POST", `${BULK}/read`);
    assert.deepEqual([body, others], [{ user_ids: ["reading"], archived: "exclude" }, []]);
    assert.equal(await reader.markAllAsRead.isDisabled(), true);
    // As read it comes back, and what comes next is not.
    const old = reader.sockets.length;
    await reader.page.reload({ waitUntil: "networkidle" });
    await reader.live(old);
    await reader.shows(reader.items, 3);
    await reader.shows(reader.dots, 0);
    await say("reading", "fourth");
    await reader.shows(reader.items, 4);
    await reader.shows(reader.dots, 1);
    await reader.leave();
  });

  test("an item's button archives it", async () => {
    await say("archiving", "stays", "goes", "stays too");
    const reader = await live("archiving", { view: "feed" });
    const goes = reader.item("goes");
    await goes.hover();
    await goes.getByRole("button", { name: "Archive this notification" }).click();
    await reader.shows(reader.items, 2);
    await reader.until(async () => (await counts("archiving")).total === 2);
    assert.deepEqual(await counts("archiving"), { total: 2, unread: 2, unseen: 2 });
    assert.equal(reader.sent("POST", `${BATCH}/archived`).length, 1);
    // The click was the button's, not the item's.
    assert.equal(reader.sent("POST", `${BATCH}/interacted`).length, 0);
    await reader.page.reload({ waitUntil: "networkidle" });
    await reader.shows(reader.items, 2);
    await reader.shows(goes, 0);
    await reader.leave();
  });

  test("an item leads where its link leads, and is read", async () => {
    await say("clicking", "stays", "leads on");
    const reader = await live("clicking", { view: "feed" });
    await reader.item("leads on").click();
    await reader.page.waitForURL(`${app}/alerts`);
    const [{ body }] = reader.sent("POST", `${BATCH}/interacted`);
    assert.deepEqual(body.metadata, { type: "cell_click", action: `${app}/alerts` });
    const feed = await belfry.waitForFeed("clicking", (feed) => feed.meta.unread_count === 1);
    const item = feed.entries.find((entry) => entry.id === body.message_ids[0]);
    assert.ok(item.read_at && item.interacted_at, JSON.stringify(item));
    await reader.leave();
  });

  for (const [button, path] of [["Approve", "/approve"], ["Decline a painting", "/decline"]]) {
    test(`an item's button ${button} leads where it says`, async () => {
      const user = `pressing ${button}`;
      await belfry.trigger("approval", user, { text: "a painting" });
      const reader = await live(user, { view: "feed" });
      await reader.page.getByRole("button", { name: button }).click();
      await reader.page.waitForURL(`${app}${path}`);
      const [{ body }] = reader.sent("POST", `${BATCH}/interacted`);
      const name = path === "/approve" ? "primary" : "secondary";
      assert.deepEqual(body.metadata, { type: "button_click", name, label: button, action: `${app}${path}` });
      await belfry.waitForFeed(user, (feed) => feed.entries[0].interacted_at);
      await reader.leave();
    });
  }

  test("the filter shows what is unread, what is read, and all", async () => {
    await say("filtering", "old", "new");
    const [, old] = (await belfry.feed("filtering")).entries;
    // Items this old are not announced to a page that opens: a read that they cause would swallow the filter's own.
    await belfry.advance("1m");
    assert.equal((await belfry.call("PUT", `/v1/messages/${old.id}/read`)).status, 200);
    const reader = await live("filtering", { view: "feed" });
    await reader.shows(reader.items, 2);
    for (const [status, shown] of [["unread", ["new"]], ["read", ["old"]], ["all", ["new", "old"]]]) {
      await reader.filter.selectOption(status);
      await reader.shows(reader.page.locator(".rnf-notification-cell__content"), shown.join("|"));
    }
    await reader.leave();
  });

  test("a feed of several pages is read to its end", async () => {
    await say("scrolling", ...Array.from({ length: 60 }, (_, index) => `number ${index + 1}.`));
    const reader = await live("scrolling");
    await reader.bell.click();
    await reader.shows(reader.items, 50);
    await reader.items.last().scrollIntoViewIfNeeded();
    await reader.shows(reader.items, 60);
    const expected = Array.from({ length: 60 }, (_, index) => `number ${60 - index}.`);
    const bodies = await reader.page.locator(".rnf-notification-cell__content").allTextContents();
    assert.deepEqual(bodies.map((body) => body.trim()), expected);
    await reader.leave();
  });

  test("two users do not see each other's messages", async () => {
    const [ann, ben] = await Promise.all([live("ann"), live("ben")]);
    await say("ann", "for ann");
    await ann.shows(ann.badge, "1");
    await say("ben", "for ben", "for ben as well");
    await ben.shows(ben.badge, "2");
    await ann.shows(ann.badge, "1");
    await ann.bell.click();
    await ann.shows(ann.items, 1);
    await ann.item("for ann").waitFor();
    await ann.until(async () => (await counts("ann")).unseen === 0);
    assert.deepEqual(await counts("ben"), { total: 2, unread: 2, unseen: 2 });
    await ben.shows(ben.badge, "2");
    await Promise.all([ann.leave(), ben.leave()]);
  });

  test("what is marked in one session changes the badge of the user's other one", async () => {
    const [desk, phone] = await Promise.all([live("both"), live("both", { view: "feed" })]);
    await say("both", "first", "second");
    await desk.shows(desk.badge, "2");
    await phone.shows(phone.items, 2);
    const goes = phone.item("first");
    await goes.hover();
    await goes.getByRole("button", { name: "Archive this notification" }).click();
    await desk.shows(desk.badge, "1");
    const tablet = await live("both");
    await tablet.bell.click();
    await desk.shows(desk.badge, 0);
    await Promise.all([desk, phone, tablet].map((reader) => reader.leave()));
  });

  for (const signal of ["SIGTERM", "SIGKILL"]) {
    test(`after ${signal} and a new start the page is live again by itself`, async () => {
      const own = await Belfry.start({ env: FEED_ONLY });
      const gate = await Gate.open(own);
      try {
        const reader = await live("waiting", {}, gate.url);
        await own.trigger("alert", "waiting", { text: "before" });
        await reader.shows(reader.badge, "1");
        for (const count of ["2", "3"]) {
          const old = reader.sockets.length;
          await own.restart(signal);
          await reader.live(old);
          await own.trigger("alert", "waiting", { text: "after" });
          await reader.shows(reader.badge, count);
          await reader.shows(reader.items, Number(count));
        }
        await reader.leave();
      } finally {
        await gate.close();
        await own.stop();
      }
    });
  }

  test("every answer can be read across origins, errors too", async () => {
    const reader = await browser.visit(belfry.url, "crossing");
    const ask = (path, init) => reader.page.evaluate(
      async ([url, init]) => {
        const answer = await fetch(url, init);
        return [answer.status, (await answer.json()).code, answer.headers.get("x-request-id")?.length];
      },
      [belfry.url + path, init],
    );
    const wrong = { authorization: "Bearer pk_wrong", "x-knock-user-token": "none", "x-knock-client": "test" };
    assert.deepEqual(await ask("/v1/users/crossing", { headers: wrong }), [401, "api_key_missing", 36]);
    const [status, , id] = await ask("/v1/nowhere", { method: "PUT", headers: { "content-type": "application/json" } });
    assert.deepEqual([status, id], [404, 36]);
    await reader.leave();
  });
});
