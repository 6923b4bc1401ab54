// Audiences through Knock's Node SDK: who is in them, and what that decides.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Knock135 } from "./sdks.js";
import { Belfry, FEED_ONLY, PUBLIC_KEY, SECRET_KEY } from "./server.js";

describe("audiences", { concurrency: true, timeout: 120_000 }, () => {
  let belfry, knock;
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
    knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
  });
  after(() => belfry?.stop());

  const members = async (key) => (await knock.audiences.listMembers(key)).entries.map(({ user_id, tenant }) => [user_id, tenant]);
  const missing = (promise) => assert.rejects(promise, (error) => error.status === 404);

  test("members are added with what is said of them, each once for a tenant, listed, removed, and go with their user", async () => {
    await missing(knock.audiences.addMembers("crew", { members: [{ user: { id: "a" } }] }));
    await missing(knock.audiences.listMembers("crew"));
    const both = [{ user: { id: "a", name: "Ada" } }, { user: { id: "b" }, tenant: "acme" }];
    assert.equal(await knock.audiences.addMembers("crew", { members: both, create_audience: true }), null);
    await knock.audiences.addMembers("crew", { members: [...both, { user: { id: "b" } }] });
    assert.deepEqual(await members("crew"), [["a", null], ["b", null], ["b", "acme"]]);
    const [ada] = (await knock.audiences.listMembers("crew")).entries;
    assert.deepEqual([ada.__typename, ada.user.name], ["AudienceMember", "Ada"]);
    assert.equal(await knock.audiences.removeMembers("crew", { members: [{ user: { id: "b" }, tenant: "acme" }, { user: { id: "x" } }] }), null);
    assert.deepEqual(await members("crew"), [["a", null], ["b", null]]);
    await knock.users.delete("a");
    assert.deepEqual(await members("crew"), [["b", null]]);
  });

  test("a thousand are added by one call, and listed page by page", async () => {
    const many = Array.from({ length: 1_000 }, (_, n) => ({ user: { id: `m-${n}` } }));
    await knock.audiences.addMembers("crowd", { members: many, create_audience: true });
    const found = [];
    for (let after = ""; after !== null; ) {
      const page = (await belfry.call("GET", `/v1/audiences/crowd/members?after=${after}`)).json();
      found.push(...page.entries.map(({ user_id }) => user_id));
      after = page.page_info.after;
    }
    assert.deepEqual(found, many.map(({ user }) => user.id).sort());
  });

  test("a condition knows who is in an audience, for the tenant of the run", async () => {
    const conditions = [{ variable: "recipient", operator: "is_audience_member", argument: "vips" }];
    const users = ["in", "out", "elsewhere"];
    for (const user of users) await knock.users.setPreferences(user, "default", { workflows: { alert: { conditions } } });
    await knock.audiences.addMembers("vips", { members: [{ user: { id: "in" } }, { user: { id: "elsewhere" }, tenant: "acme" }], create_audience: true });
    const say = async (more) => {
      await belfry.trigger("alert", users, { text: "x", link: "/" }, more);
      return Promise.all(users.map(async (user) => (await belfry.feed(user)).entries.length));
    };
    assert.deepEqual(await say(), [1, 0, 0]);
    assert.deepEqual(await say({ tenant: "acme" }), [1, 0, 1]);
    await knock.audiences.removeMembers("vips", { members: [{ user: { id: "in" } }] });
    assert.deepEqual(await say(), [1, 0, 1]);
  });

  test("every faulty member is named, and a public key reaches none", async () => {
    const wrong = [{ user: { id: "ok" } }, { user: {} }, { user: { id: "u" }, tenant: "a/b" }];
    const error = await knock.audiences.addMembers("faulty", { members: wrong, create_audience: true }).catch((error) => error);
    assert.deepEqual(error.error.errors.map(({ field }) => field), ["members[1].user", "members[2].tenant"]);
    await missing(knock.audiences.listMembers("faulty"));
    for (const method of ["GET", "POST", "DELETE"]) {
      const body = method === "GET" ? undefined : {};
      assert.equal((await belfry.call(method, "/v1/audiences/x/members", { key: PUBLIC_KEY, body })).status, 403);
    }
  });
});
