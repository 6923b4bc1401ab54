// Schedules through Knock's Node SDKs: made, listed, changed, deleted; and each occurrence triggers once, also over crashes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { firstSdks, Knock135 } from "./sdks.js";
import { Belfry, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

const DAY = 86_400_000;
const connect = (belfry) => new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
const daily = (hours, more) => ({ frequency: "daily", hours, minutes: 0, ...more });

describe("schedules", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock, start;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = connect(belfry);
    start = await belfry.now();
  });
  after(() => belfry?.stop());

  const inDays = (days) => new Date(start + days * DAY).toISOString();

  const [, legacy] = firstSdks;
  test(`${legacy.name}: made, changed, listed, deleted`, async () => {
    const { workflows, users } = legacy.connect(belfry.url, SECRET_KEY);
    const made = await workflows.createSchedules("alert", { recipients: ["legacy-a", "legacy-b"], repeats: [daily(9)] });
    assert.deepEqual(made.map(({ recipient }) => recipient.id), ["legacy-a", "legacy-b"]);
    const schedule_ids = made.map(({ id }) => id);
    const changed = await workflows.updateSchedules({ schedule_ids, data: { text: "x" } });
    assert.deepEqual(changed.map(({ data }) => data.text), ["x", "x"]);
    assert.deepEqual((await users.getSchedules("legacy-a")).entries.map(({ id }) => id), [schedule_ids[0]]);
    const all = (await workflows.listSchedules("alert", { recipients: ["legacy-a", "legacy-b"] })).entries;
    assert.deepEqual(all.map(({ id }) => id), schedule_ids.toReversed());
    assert.equal((await workflows.deleteSchedules({ schedule_ids })).length, 2);
    assert.deepEqual((await users.getSchedules("legacy-a")).entries, []);
  });

  test("a schedule is what was asked for, in the recipient's zone, with the people in it", async () => {
    const repeats = [{ frequency: "weekly", days: "weekdays", hours: 9, minutes: 30 }];
    const recipients = [{ id: "york", name: "York", timezone: "America/New_York" }, "utc"];
    const made = await knock.schedules.create({
      workflow: "alert", recipients, repeats, data: { text: "x" }, tenant: { id: "acme", name: "Acme" },
      actor: { id: "ada", name: "Ada" },
    });
    const [york, utc] = made;
    assert.deepEqual([york.__typename, york.recipient.name, york.actor.name, york.tenant], ["Schedule", "York", "Ada", "acme"]);
    assert.deepEqual(york.repeats, [{
      __typename: "ScheduleRepeat", frequency: "weekly", interval: 1, days: ["mon", "tue", "wed", "thu", "fri"],
      day_of_month: null, hours: 9, minutes: 30,
    }]);
    assert.match(utc.next_occurrence_at, /T09:30:00/);
    const clock = new Intl.DateTimeFormat("en-GB", { timeZone: "America/New_York", timeStyle: "short" });
    assert.equal(clock.format(new Date(york.next_occurrence_at)), "09:30");
    assert.equal(york.last_occurrence_at, null);
    assert.equal((await knock.users.get("york")).name, "York");
    assert.deepEqual((await knock.users.listSchedules("york")).entries, [york]);
    assert.deepEqual((await knock.users.listSchedules("york", { tenant: "other" })).entries, []);
    assert.deepEqual((await knock.users.listSchedules("york", { workflow: "approval" })).entries, []);
    const [once] = await knock.schedules.update({ schedule_ids: [york.id, york.id.replace(/^./, "f")], repeats: [], scheduled_at: inDays(400), tenant: null });
    assert.deepEqual([once.id, once.repeats, once.tenant, Date.parse(once.next_occurrence_at)], [york.id, [], null, start + 400 * DAY]);
    const [ended] = await knock.schedules.update({ schedule_ids: [york.id], ending_at: inDays(399) });
    assert.equal(ended.next_occurrence_at, null);
    assert.deepEqual((await knock.schedules.delete({ schedule_ids: [york.id, utc.id] })).map(({ id }) => id), [york.id, utc.id]);
  });

  test("many are made in bulk and listed page by page, and go with their recipient", async () => {
    const schedules = Array.from({ length: 120 }, (_, n) => ({ workflow: "approval", recipient: `bulk-${n % 2}`, scheduled_at: inDays(500), data: { n } }));
    const operation = await knock.schedules.bulk.create({ schedules });
    assert.equal((await knock.bulkOperations.get(operation.id)).success_count, 120);
    const found = [];
    for await (const { data } of knock.schedules.list({ workflow: "approval" })) found.push(data.n);
    assert.deepEqual(found, schedules.map(({ data }) => data.n).reverse());
    const some = await knock.schedules.list({ workflow: "approval", recipients: ["bulk-1"] });
    assert.ok(some.entries.length === 50 && some.entries.every(({ data }) => data.n % 2 === 1));
    await knock.users.delete("bulk-1");
    assert.deepEqual((await knock.users.listSchedules("bulk-1")).entries, []);
    assert.equal((await knock.users.listSchedules("bulk-0")).entries.length, 50);
  });

  test("every fault is named, and nothing is made then", async () => {
    const fields = async (promise) => (await promise.catch((error) => error)).error.errors.map(({ field }) => field);
    const recipients = ["faulty"];
    assert.deepEqual(await fields(knock.schedules.create({ workflow: "alert", recipients })), ["repeats"]);
    const repeats = [{ frequency: "daily", minutes: 7 }];
    assert.deepEqual(await fields(knock.schedules.create({ workflow: "alert", recipients, repeats })), ["repeats[0].minutes", "repeats"]);
    const many = Array.from({ length: 101 }, (_, n) => `${n}`);
    assert.deepEqual(await fields(knock.schedules.create({ workflow: "alert", recipients: many, repeats: [daily(1)] })), ["recipients"]);
    await assert.rejects(knock.schedules.create({ workflow: "none", recipients, repeats: [daily(1)] }), (error) => error.status === 404);
    const schedules = [{ workflow: "alert", recipient: "faulty", repeats: [daily(1)] }, { workflow: "none", recipient: "faulty", repeats: [daily(1)] }];
    assert.deepEqual(await fields(knock.schedules.bulk.create({ schedules })), ["schedules[1].workflow"]);
    schedules.push({ workflow: "alert", recipient: "faulty/", repeats: [daily(1)] });
    const named = await fields(knock.schedules.bulk.create({ schedules }));
    assert.deepEqual(named, ["schedules[1].workflow", "schedules[2].recipient"]);
    assert.deepEqual(await fields(knock.schedules.list({})), ["workflow"]);
    assert.deepEqual((await knock.users.listSchedules("faulty")).entries, []);
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      const body = method === "GET" ? undefined : {};
      assert.equal((await belfry.call(method, "/v1/schedules", { key: PUBLIC_KEY, body })).status, 403);
    }
  });
});

test("each occurrence triggers once, also over crashes and what was changed meanwhile", { timeout: 120_000 }, async () => {
  const belfry = await Belfry.start({ env: FEED_ONLY });
  try {
    let knock = connect(belfry);
    const items = async (user) => (await belfry.feed(user)).entries.map((item) => item.data.text);
    const start = await belfry.now();
    const soon = new Date(start + DAY / 2).toISOString();
    const [days] = await knock.schedules.create({ workflow: "alert", recipients: ["days"], repeats: [daily(9)], data: { text: "day", link: "/" } });
    const [once] = await knock.schedules.create({ workflow: "alert", recipients: ["once"], scheduled_at: soon, data: { text: "once", link: "/" } });
    const [gone] = await knock.schedules.create({ workflow: "alert", recipients: ["gone"], scheduled_at: new Date(start + DAY).toISOString(), data: { text: "never", link: "/" } });
    await knock.schedules.create({ workflow: "alert", recipients: ["ends"], repeats: [daily(9)], ending_at: new Date(start + 1.5 * DAY).toISOString(), data: { text: "end", link: "/" } });
    await belfry.advance("12h1m");
    assert.deepEqual(await items("once"), ["once"]);
    const fired = (await knock.users.listSchedules("once")).entries[0];
    assert.deepEqual([fired.id, fired.next_occurrence_at, Date.parse(fired.last_occurrence_at)], [once.id, null, start + DAY / 2]);
    await knock.schedules.delete({ schedule_ids: [gone.id] });
    await belfry.restart();
    knock = connect(belfry);
    // The clock of the new process is the machine's again.
    await belfry.advance("3d");
    assert.deepEqual([await items("days"), await items("once"), await items("gone")], [["day", "day", "day"], ["once"], []]);
    assert.ok([1, 2].includes((await items("ends")).length));
    const { last_occurrence_at, next_occurrence_at } = (await knock.users.listSchedules("days")).entries[0];
    assert.equal(Date.parse(next_occurrence_at) - Date.parse(last_occurrence_at), DAY);
    await knock.schedules.update({ schedule_ids: [days.id], repeats: [daily(9, { interval: 2 })] });
    await belfry.advance("4d");
    assert.equal((await items("days")).length, 5);
  } finally {
    await belfry.stop();
  }
});
