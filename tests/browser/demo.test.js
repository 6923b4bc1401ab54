// The demo page: what a developer who looks at Belfry for the first time can do on it, in two windows at once.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Gate } from "../sdk/gate.js";
import { Belfry } from "../sdk/server.js";
import { Browser } from "./browser.js";

const ACCEPTED = "Ellie accepts John's invite";
const ATTACK = `<img src=x onerror="alert(1)">[x](javascript:alert(2))<script>alert(3)</script>`;

/** A window with the demo in it. */
class Demo {
  faults = [];

  static async open(browser, url) {
    const demo = new Demo();
    const context = await browser.chromium.newContext({ viewport: { width: 1280, height: 900 } });
    context.setDefaultTimeout(15_000);
    demo.page = await context.newPage();
    demo.page.on("pageerror", (error) => demo.faults.push(`${error}`));
    demo.page.on("dialog", (dialog) => {
      demo.faults.push(`dialog: ${dialog.message()}`);
      return dialog.dismiss();
    });
    // The browser says here what the page's policy kept from running.
    demo.page.on("console", (message) => /Content Security Policy/.test(message.text()) && demo.faults.push(message.text()));
    await demo.page.goto(`${url}/demo`);
    demo.john = new Person(demo.page, "John Hammond");
    demo.ellie = new Person(demo.page, "Ellie Sattler");
    await demo.live();
    return demo;
  }

  async live() {
    for (const person of [this.john, this.ellie]) await person.root.locator(".state.live").waitFor();
  }

  press(name) {
    return this.page.getByRole("button", { name, exact: true }).click();
  }

  async leave() {
    await this.page.context().close();
    assert.deepEqual(this.faults, []);
  }
}

class Person {
  constructor(page, name) {
    this.root = page.getByRole("article", { name });
    this.bell = this.root.getByRole("button", { name: `Notifications of ${name}` });
    this.items = this.root.locator(".item");
    this.unread = this.root.locator(".item.unread-item");
  }

  /** Waits until the bell says that `count` items are not seen. */
  unseen(count) {
    return this.root.getByRole("button", { name: `, ${count} not seen` }).waitFor();
  }

  /** Waits until there are `count` items, and no more. */
  async shows(items, count) {
    if (count > 0) await items.nth(count - 1).waitFor();
    await items.nth(count).waitFor({ state: "detached" });
  }
}

describe("the demo page", { timeout: 240_000 }, () => {
  let browser;
  let belfry;
  before(async () => {
    [browser, belfry] = await Promise.all([Browser.open(), Belfry.start()]);
  });
  after(async () => {
    await browser?.close();
    await belfry?.stop();
  });

  test("what is done in one window shows in the other", async () => {
    const [one, two] = await Promise.all([Demo.open(browser, belfry.url), Demo.open(browser, belfry.url)]);
    for (const count of [1, 2, 3]) {
      await one.press(ACCEPTED);
      for (const { john, ellie } of [one, two]) {
        await john.unseen(count);
        await ellie.unseen(0);
      }
    }
    // By the keyboard: the bell opens, what is open is seen, Escape leads back to the bell.
    await one.john.bell.press("Enter");
    for (const { john } of [one, two]) await john.unseen(0);
    await two.john.bell.click();
    await two.john.shows(two.john.unread, 3);
    await one.john.items.first().getByRole("button", { name: "Mark as read" }).click();
    for (const { john } of [one, two]) await john.shows(john.unread, 2);
    await two.john.items.first().getByRole("button", { name: "Mark as unread" }).click();
    for (const { john } of [one, two]) await john.shows(john.unread, 3);
    await one.john.items.nth(1).getByRole("button", { name: "Archive" }).press("Enter");
    for (const { john } of [one, two]) await john.shows(john.items, 2);
    const focused = await one.page.evaluate(() => document.activeElement.getAttribute("aria-label"));
    assert.match(focused, /^Archive: /, "the reader's place is lost");
    await one.press("Mark all as read");
    for (const { john } of [one, two]) await john.shows(john.unread, 0);
    await one.page.keyboard.press("Escape");
    assert.equal(await one.john.bell.evaluate((bell) => bell === document.activeElement), true);
    await two.press(ACCEPTED);
    await one.john.unseen(0);
    await two.john.shows(two.john.unread, 1);
    await one.leave();
    await two.leave();
  });

  test("three days pass at the press of a button", async () => {
    const demo = await Demo.open(browser, belfry.url);
    await demo.press("John invites Dr. Grant");
    await belfry.post.wait((mail) => mail.to === "dr@grant.test" && mail.subject.startsWith("John invited you"));
    await demo.press("Advance 3 days");
    await belfry.post.wait((mail) => mail.to === "dr@grant.test" && mail.subject.startsWith("Reminder: John"));
    await demo.page.getByText("3 days ahead").waitFor();
    await demo.leave();
  });

  test("what data brings in is text, and nothing of it runs", async () => {
    const demo = await Demo.open(browser, belfry.url);
    const actor = { id: "mallory", name: ATTACK, avatar: `x" onerror="alert(4)` };
    await belfry.trigger("account-invite-accepted", "dr@sattler.test", {}, { actor });
    await demo.ellie.unseen(1);
    await demo.ellie.bell.click();
    const item = demo.ellie.items.first();
    await item.locator(".actor", { hasText: "<img src=x onerror" }).waitFor();
    assert.equal(await item.locator("img, script, a[href^=javascript]").count(), 0);
    await demo.leave();
  });

  test("it comes back by itself when the server was away, and catches up", async () => {
    const own = await Belfry.start();
    const gate = await Gate.open(own);
    try {
      const demo = await Demo.open(browser, gate.url);
      for (const signal of ["SIGTERM", "SIGKILL"]) {
        const lost = demo.john.root.locator(".state.lost").waitFor();
        await Promise.all([lost, own.restart(signal)]);
        // While it is away.
        await own.trigger("account-invite-accepted", "hammond", {}, { actor: { id: "m", name: "Ian Malcolm" } });
        await demo.live();
        await demo.john.unseen(signal === "SIGTERM" ? 1 : 2);
      }
      await demo.leave();
    } finally {
      await gate.close();
      await own.stop();
    }
  });
});
