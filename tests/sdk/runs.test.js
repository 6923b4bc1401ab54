// Runs through Knock's Node SDK: found by every filter, page by page, and each with its events and why it did what it did.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Knock135 } from "./sdks.js";
import { Belfry, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

describe("runs", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
  });
  after(() => belfry?.stop());

  const say = (recipients, more) => belfry.trigger("alert", recipients, { text: "x", link: "/" }, more);

  test("a run has its events, its message and what it was given", async () => {
    await say(["events"], { tenant: "acme", cancellation_key: "k" });
    const [listed, ...others] = (await knock.workflowRecipientRuns.list({ recipient: "events" })).items;
    assert.deepEqual(others, []);
    const run = await knock.workflowRecipientRuns.get(listed.id);
    for (const [key, value] of Object.entries(listed)) {
      if (key !== "__cursor") assert.deepEqual(run[key], value, key);
    }
    assert.deepEqual(
      [run.__typename, run.workflow, run.recipient, run.actor, run.tenant, run.status, run.error_count, run.outcome],
      ["WorkflowRecipientRun", "alert", "events", null, "acme", "completed", 0, "finished"],
    );
    assert.deepEqual(run.trigger_source, { type: "api", cancellation_key: "k" });
    const [message] = (await knock.users.listMessages("events")).items;
    assert.equal(run.workflow_run_id, message.source.workflow_run_id);
    assert.equal(run.id, message.source.workflow_recipient_run_id);
    assert.ok(run.inserted_at <= run.updated_at, `${run.inserted_at} ${run.updated_at}`);
    const [event] = run.events;
    assert.deepEqual(
      [event.__typename, event.event, event.status, event.step_type, event.attempt, event.data],
      ["WorkflowRecipientRunEvent", "message_enqueued", "ok", "channel", 1, { message_id: message.id, channel_type: "in_app_feed" }],
    );
    assert.deepEqual(run.data, { text: "x", link: "/" });
    assert.deepEqual(run.steps.map(({ ref, state }) => [ref, state]), [[event.step_ref, "executed"]]);
    assert.deepEqual(run.messages.map(({ id, status }) => [id, status]), [[message.id, "delivered"]]);
  });

  test("preferences are told with the layer that won", async () => {
    await knock.users.setPreferences("muted", "default", { channel_types: { in_app_feed: false } });
    await say(["muted"]);
    const [{ id }] = (await knock.workflowRecipientRuns.list({ recipient: "muted" })).items;
    const { events, messages, steps } = await knock.workflowRecipientRuns.get(id);
    assert.deepEqual(events.map(({ event }) => event), ["preferences_evaluated", "step_skipped"]);
    const [setting] = events[0].data.settings;
    assert.deepEqual([setting.path, setting.layer, setting.allows], ["channel_types.in_app_feed", "recipient_default", false]);
    assert.deepEqual(events[0].details, ["no: channel_types.in_app_feed in the recipient's default preferences"]);
    assert.deepEqual([messages, steps[0].state], [[], "skipped"]);
  });

  test("every filter finds what it names and nothing else", async () => {
    const team = { collection: "teams", id: "filtered" };
    const list = async (query) => (await knock.workflowRecipientRuns.list(query)).items;
    await say([team], { tenant: "first" });
    const [first] = await list({ recipient: team });
    await say([team], { tenant: "second" });
    const [second, ...rest] = await list({ recipient: team });
    assert.deepEqual(rest.map(({ id }) => id), [first.id]);
    const found = async (query) => (await list({ recipient: team, ...query })).map(({ tenant }) => tenant);
    const both = ["second", "first"];
    assert.deepEqual(await found({ tenant: "first" }), ["first"]);
    assert.deepEqual(await found({ workflow: "alert" }), both);
    assert.deepEqual(await found({ workflow: "alert", tenant: "second" }), ["second"]);
    assert.deepEqual(await found({ workflow: "approval" }), []);
    assert.deepEqual(await found({ status: ["completed"] }), both);
    assert.deepEqual(await found({ status: ["queued", "processing", "paused", "cancelled"] }), []);
    assert.deepEqual(await found({ has_errors: false }), both);
    assert.deepEqual(await found({ has_errors: true }), []);
    assert.deepEqual(await found({ starting_at: second.inserted_at }), second.inserted_at === first.inserted_at ? both : ["second"]);
    assert.deepEqual(await found({ ending_at: first.inserted_at }), second.inserted_at === first.inserted_at ? both : ["first"]);
    const raw = async (query) => (await belfry.call("GET", `/v1/workflow_recipient_runs?${query}`)).json().items;
    assert.deepEqual((await raw(`workflow_run_id=${first.workflow_run_id}`)).map(({ id }) => id), [first.id]);
    assert.deepEqual((await raw("recipient=teams/filtered&tenant=first")).map(({ id }) => id), [first.id]);
    const wrong = await list({ status: ["failed"], starting_at: "today" }).catch((error) => error);
    assert.deepEqual([wrong.status, wrong.error.errors.map(({ field }) => field)], [422, ["starting_at", "status"]]);
  });

  test("pages follow each other, newest first, in both directions", async () => {
    const everyone = Array.from({ length: 45 }, (_, number) => `paged-${number}`);
    await say(everyone, { tenant: "paged" });
    const found = [];
    for await (const { recipient } of knock.workflowRecipientRuns.list({ tenant: "paged", page_size: 10 })) found.push(recipient);
    assert.deepEqual(found, everyone.toReversed());
    const first = await knock.workflowRecipientRuns.list({ tenant: "paged", page_size: 10 });
    const next = await knock.workflowRecipientRuns.list({ tenant: "paged", page_size: 10, after: first.page_info.after });
    const back = await knock.workflowRecipientRuns.list({ tenant: "paged", page_size: 10, before: next.page_info.before });
    assert.deepEqual(back.items, first.items);
  });

  test("an id that no run has is a 404, and a public key sees none", async () => {
    for (const id of ["x", "00000000-0000-7000-8000-000000000000"]) {
      await assert.rejects(knock.workflowRecipientRuns.get(id), (error) => error.status === 404);
    }
    for (const path of ["/v1/workflow_recipient_runs", "/v1/workflow_recipient_runs/x"]) {
      assert.equal((await belfry.call("GET", path, { key: PUBLIC_KEY })).status, 403);
    }
  });
});
