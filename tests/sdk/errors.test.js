// What goes wrong, as each SDK tells it: its own error classes with messages that help, retries that start nothing
// twice, ids and properties that come back as they were sent.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { after, before, describe, test } from "node:test";
import { exceptions, Knock135, sdks } from "./sdks.js";
import { Belfry, FEED, PUBLIC_KEY, SECRET_KEY } from "./server.js";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const MAX_BODY = 64 * 1024;
const IDS = ["dr grant", "dr+grant@test", "u:1", "user@example.test", "Jürgen-恐竜-🦖", "a;b,c=d&e'(f)*~$!"];
const people = (count) => Array.from({ length: count }, (_, index) => `person-${index}`);

/** The error that `promise` ends with; it must be of the class that the SDK has for `status`. */
async function errorOf(sdk, status, promise) {
  const error = await promise.then(
    (value) => assert.fail(`succeeded with ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.ok(error instanceof sdk.error(status), `${error.constructor?.name}: ${error.message}`);
  assert.equal(error.status, status);
  return error;
}

/** What every answer has, and every error. */
function assertAnswer(answer, what) {
  assert.match(answer.headers.get("x-request-id") ?? "", UUID, what);
  if (answer.status < 400) return;
  assert.match(answer.headers.get("content-type") ?? "", /^application\/json/, `${what}: ${answer.text}`);
  const body = answer.json();
  assert.equal(body.status, answer.status, what);
  assert.match(body.code, /^[a-z_]+$/, what);
  assert.match(body.type, /^[a-z_]+$/, what);
  assert.ok(body.message.length > 10, `${what}: ${body.message}`);
  assert.ok(Array.isArray(body.errors), `${what}: ${answer.text}`);
  for (const { field, message, type } of body.errors) {
    assert.equal(typeof field, "string", what);
    assert.ok(message.length > 0, what);
    assert.equal(type, null, what);
  }
}

describe("errors", { concurrency: true, timeout: 120_000 }, () => {
  let belfry;
  before(async () => {
    belfry = await Belfry.start({ env: { BELFRY__HTTP__MAX_BODY_BYTES: `${MAX_BODY}` } });
  });
  after(() => belfry?.stop());

  for (const sdk of sdks) {
    describe(sdk.name, { concurrency: true }, () => {
      const connect = (key = SECRET_KEY) => sdk.connect(belfry.url, key, FEED);

      test("an unknown workflow is not found", async () => {
        const error = await errorOf(sdk, 404, connect().trigger("acount-invite", { recipients: ["u"] }));
        if (error instanceof Knock135.APIError) {
          assert.equal(error.error.code, "workflow_missing");
          assert.match(error.message, /acount-invite.*account-invite/);
        } else {
          assert.match(error.message, /acount-invite/);
        }
      });

      test("a cancel without a key and a user that is too long are unprocessable", async () => {
        const cancel = await errorOf(sdk, 422, connect().cancel("account-invite", ""));
        assert.match(cancel.message, /cancellation_key/);
        const user = await errorOf(sdk, 422, connect().identify("x".repeat(257), {}));
        assert.match(user.message, /257 characters; at most 256/);
      });

      test("no recipients, and more than 1000, are unprocessable", async () => {
        const none = await errorOf(sdk, 422, connect().trigger("welcome-to-knock", { recipients: [] }));
        assert.match(none.message, /recipients/);
        assert.match(none.message, /at least one/);
        const many = await errorOf(sdk, 422, connect().trigger("welcome-to-knock", { recipients: people(1_001) }));
        assert.match(many.message, /1001 recipients; at most 1000/);
        const missing = await errorOf(sdk, 422, connect().trigger("welcome-to-knock", {}));
        assert.match(missing.message, /required/);
      });

      test("1000 recipients are not too many, and each gets the item", async (t) => {
        // A server of its own: nobody else should wait for so many.
        const crowd = await Belfry.start();
        t.after(() => crowd.stop());
        const api = sdk.connect(crowd.url, SECRET_KEY, FEED);
        const triggered = await api.trigger("account-invite-accepted", { recipients: people(1_000) });
        assert.match(triggered.workflow_run_id, UUID);
        await crowd.advance("0s");
        for (const id of ["person-0", "person-500", "person-999"]) {
          assert.equal((await api.feedEntries(id)).length, 1, id);
        }
        assert.deepEqual(await api.feedEntries("person-1000"), []);
      });

      test("every field that is wrong is named", async () => {
        const wrong = { recipients: [{ id: "a", email: 5 }, { name: "no id" }], actor: 7, data: "text" };
        const error = await errorOf(sdk, 422, connect().trigger("welcome-to-knock", wrong));
        const fields = ["recipients[0].email", "recipients[1]", "actor", "data"];
        if (error instanceof exceptions.UnprocessableEntityException) {
          for (const field of fields) assert.ok(error.message.includes(`\t${field}(null): `), error.message);
        } else {
          assert.equal(error.error.code, "invalid_params");
          assert.deepEqual(error.error.errors.map((one) => one.field), fields);
        }
      });

      test("an actor whom nobody identified is unprocessable", async () => {
        const trigger = connect().trigger("welcome-to-knock", { actor: "nobody", recipients: ["u"] });
        const error = await errorOf(sdk, 422, trigger);
        assert.match(error.message, /actor.*nobody/s);
        if (error instanceof Knock135.APIError) assert.equal(error.error.code, "actor_missing");
      });

      test("a wrong key is unauthorized", async () => {
        for (const call of [
          (api) => api.trigger("welcome-to-knock", { recipients: ["u"] }),
          (api) => api.cancel("welcome-to-knock", "key"),
          (api) => api.identify("u", {}),
          (api) => api.user("u"),
          (api) => api.feedEntries("u"),
        ]) {
          const error = await errorOf(sdk, 401, call(connect("sk_test_wrong")));
          assert.equal(error.code ?? error.error.code, "api_key_missing");
        }
      });

      test("a public key may not trigger or cancel, and may identify and read", async () => {
        const api = connect(PUBLIC_KEY);
        for (const call of [
          () => api.trigger("welcome-to-knock", { recipients: ["u"] }),
          () => api.cancel("welcome-to-knock", "key"),
        ]) {
          const error = await errorOf(sdk, 403, call());
          assert.match(error.message, /secret key/);
        }
        const id = `browser of ${sdk.name}`;
        assert.equal((await api.identify(id, { name: "Lex" })).name, "Lex");
        assert.equal((await api.user(id)).name, "Lex");
        assert.deepEqual(await api.feedEntries(id), []);
      });

      test("an unknown user is not found, and has an empty feed", async () => {
        await errorOf(sdk, 404, connect().user("nobody"));
        assert.deepEqual(await connect().feedEntries("nobody"), []);
        const { meta, page_info } = await belfry.feed("nobody");
        assert.deepEqual([meta.total_count, meta.unread_count, meta.unseen_count], [0, 0, 0]);
        assert.deepEqual([page_info.after, page_info.before], [null, null]);
        await errorOf(sdk, 404, connect().user("nobody"));
      });

      test("a feed that is not configured, and a wrong option, are refused", async () => {
        const api = sdk.connect(belfry.url, SECRET_KEY, "00000000-0000-4000-8000-000000000000");
        await errorOf(sdk, 404, api.feedEntries("u"));
        const error = await errorOf(sdk, 422, connect().feedEntries("u", { status: "open" }));
        assert.match(error.message, /status.*unread/s);
      });

      for (const id of IDS) {
        test(`the user id ${id}`, async () => {
          const api = connect();
          // A user for each SDK.
          const user = `${id}${sdk.name.slice(-1)}`;
          const inPath = /^[ -~]*$/.test(user) ? user : sdk.idInPath(user);
          const email = `${Buffer.from(user).toString("hex")}@id.test`;
          const identified = await api.identify(inPath, { name: "Ellie Sattler", email });
          assert.equal(identified.id, user);
          assert.deepEqual(await api.user(inPath), identified);
          await api.trigger("welcome-to-knock", { recipients: [user], actor: user });
          assert.equal((await belfry.waitForMail((mail) => mail.to === email, email)).subject, "Welcome, Ellie");
          const feed = await belfry.waitForFeed(user, (feed) => feed.entries.length === 1);
          assert.deepEqual(await api.feedEntries(inPath), feed.entries);
          assert.equal(feed.entries[0].actors[0].id, user);
          assert.equal(await api.cancel("welcome-to-knock", user, [user]), sdk.nothing);
        });
      }

      test("identify merges deeply, and null overwrites", async () => {
        const api = connect();
        const id = `merged by ${sdk.name}`;
        await api.identify(id, {
          name: "Ian",
          nick: "Chaos",
          plan: { tier: "pro", seats: { used: 1, of: 5 }, tags: ["a", "b"] },
        });
        const merged = await api.identify(id, {
          nick: null,
          plan: { seats: { used: 2 }, tags: ["c"], tier: null },
          added: { here: [1, { two: 2 }] },
        });
        const { __typename, created_at, updated_at, ...properties } = merged;
        assert.deepEqual([__typename, created_at], ["User", null]);
        assert.ok(Date.parse(updated_at) > 0);
        assert.deepEqual(properties, {
          id,
          name: "Ian",
          nick: null,
          plan: { tier: null, seats: { used: 2, of: 5 }, tags: ["c"] },
          added: { here: [1, { two: 2 }] },
        });
        assert.deepEqual(await api.user(id), merged);
        const { updated_at: later, ...same } = await api.identify(id, {});
        const { updated_at: earlier, ...was } = merged;
        assert.deepEqual(same, was);
        assert.ok(later >= earlier);
        // A trigger that gives a recipient inline merges just so.
        const inline = { id, plan: { seats: { of: 9 } }, name: null };
        await api.trigger("account-invite-accepted", { recipients: [inline] });
        const now = await api.user(id);
        assert.equal(now.name, null);
        assert.deepEqual(now.plan, { tier: null, seats: { used: 2, of: 9 }, tags: ["c"] });
      });
    });
  }

  test("every answer has a request id, and every error the one form", async () => {
    const good = { recipients: ["u"] };
    const trigger = "/v1/workflows/account-invite-accepted/trigger";
    const cancel = "/v1/workflows/account-invite/cancel";
    const feed = `/v1/users/u/feeds/${FEED}`;
    const calls = [
      [200, "POST", trigger, { body: good }],
      [204, "POST", cancel, { body: { cancellation_key: "none" } }],
      [200, "PUT", "/v1/users/u", { body: "" }],
      [200, "GET", "/v1/users/u"],
      [200, "GET", feed],
      [200, "GET", "/healthz", { key: null }],
      [400, "POST", trigger, { body: "{" }],
      [400, "POST", trigger, { body: '{"recipients": ["\ud800"' }],
      [400, "PUT", "/v1/users/u", { body: "nonsense" }],
      [400, "POST", trigger, { body: good, headers: { "idempotency-key": "k".repeat(256) } }],
      [400, "POST", "/dev/clock/advance", { body: "{" }],
      [401, "POST", trigger, { key: null, body: good }],
      [401, "POST", trigger, { key: "", body: good }],
      [401, "POST", trigger, { key: "pk_test_wrong", body: good }],
      [401, "GET", feed, { key: null }],
      [401, "GET", feed, { key: null, headers: { authorization: SECRET_KEY } }],
      [401, "GET", feed, { key: null, headers: { authorization: "Basic c2s6eA==" } }],
      [403, "POST", trigger, { key: PUBLIC_KEY, body: good }],
      [403, "POST", cancel, { key: PUBLIC_KEY, body: { cancellation_key: "none" } }],
      [404, "GET", "/"],
      [404, "GET", "/v1"],
      [404, "POST", "/v1/workflows"],
      [404, "GET", trigger],
      [404, "PATCH", "/v1/users/u"],
      [404, "POST", "/v1/workflows/none/trigger", { body: good }],
      [404, "GET", "/v1/users/nobody"],
      [404, "GET", "/v1/users/u/feeds/none"],
      [404, "GET", "/dev/mailbox/none"],
      [413, "POST", trigger, { body: { ...good, data: { long: "x".repeat(MAX_BODY) } } }],
      [413, "PUT", "/v1/users/u", { body: { long: "x".repeat(MAX_BODY) } }],
      [422, "POST", trigger, { body: [] }],
      [422, "POST", trigger, { body: "null" }],
      [422, "POST", trigger, { body: "" }],
      [422, "POST", cancel, { body: "" }],
      [422, "PUT", "/v1/users/u", { body: "[]" }],
      [422, "PUT", "/v1/users/a%2Fb", { body: {} }],
      [422, "PUT", "/v1/users/a%00b", { body: {} }],
      [422, "GET", `${feed}?page_size=many`],
      [422, "GET", `${feed}?after=nothing`],
      [422, "POST", "/dev/clock/advance", { body: {} }],
      [422, "POST", "/dev/clock/advance", { body: { by: "soon" } }],
      [200, "GET", `${feed}?archived=&unknown=x&a[b]=c&page_size=9999&%FF=%FF&=&&a`],
    ];
    const ids = new Set();
    for (const [status, method, path, options] of calls) {
      const answer = await belfry.call(method, path, options);
      const what = `${method} ${path} ${JSON.stringify(options)}`.slice(0, 200);
      assert.equal(answer.status, status, `${what}: ${answer.text}`);
      assertAnswer(answer, what);
      ids.add(answer.headers.get("x-request-id"));
    }
    assert.equal(ids.size, calls.length);
  });

  test("a path that is no text is answered in the one form", async () => {
    for (const path of ["/v1/users/%FF", "/v1/users/100%", "/v1/users/%zz", `/v1/users/%FF/feeds/${FEED}`]) {
      for (const method of ["GET", "PUT"]) {
        const answer = await belfry.call(method, path, method === "PUT" ? { body: {} } : {});
        assert.ok(answer.status < 500, `${method} ${path}: ${answer.status} ${answer.text}`);
        assertAnswer(answer, `${method} ${path}`);
      }
    }
    const answer = await belfry.call("POST", "/v1/workflows/%FF/trigger", { body: { recipients: ["u"] } });
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status} ${answer.text}`);
    assertAnswer(answer, "POST /v1/workflows/%FF/trigger");
  });
});

describe("idempotency keys", { concurrency: true, timeout: 120_000 }, () => {
  const connect = (belfry) => new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url });
  const invite = (to) => ({ recipients: [to], cancellation_key: to, data: { inviteToken: `token of ${to}` } });
  const subjects = (belfry, to) => belfry.mails.filter((mail) => mail.to === to).map((mail) => mail.subject);
  const INVITE = "A teammate invited you to join the team";
  const REMINDER = "Reminder: a teammate is waiting for you to join";

  async function serve(t) {
    const belfry = await Belfry.start();
    t.after(() => belfry.stop());
    return belfry;
  }

  test("the same request again is the same run, over a kill -9 too; another request is refused once", async (t) => {
    const belfry = await serve(t);
    const to = "replay@grant.test";
    const idempotencyKey = "invite: replay/1";
    let tries = 0;
    const counted = (...call) => {
      tries += 1;
      return fetch(...call);
    };
    const call = (body) => {
      const knock = new Knock135({ apiKey: SECRET_KEY, baseURL: belfry.url, fetch: counted });
      return knock.workflows.trigger("account-invite", body, { idempotencyKey });
    };
    const first = await call(invite(to)).withResponse();
    assert.match(first.data.workflow_run_id, UUID);
    assert.equal(first.response.headers.get("idempotent-replayed"), null);
    assert.equal(first.response.headers.get("original-x-request-id"), null);

    const assertReplayed = ({ data, response }) => {
      assert.deepEqual(data, first.data);
      assert.equal(response.status, 200);
      assert.equal(response.headers.get("idempotent-replayed"), "true");
      assert.equal(response.headers.get("original-x-request-id"), first.response.headers.get("x-request-id"));
      assert.notEqual(response.headers.get("x-request-id"), first.response.headers.get("x-request-id"));
    };
    const assertRefused = async () => {
      tries = 0;
      const error = await call(invite("other@grant.test")).then(assert.fail, (error) => error);
      assert.ok(error instanceof Knock135.BadRequestError, `${error}`);
      assert.equal(error.error.error, error.error.message);
      assert.deepEqual(error.error.errors, []);
      assert.equal(tries, 1);
    };
    assertReplayed(await call(invite(to)).withResponse());
    // Written in another order, it is the same request.
    const { recipients, cancellation_key, data } = invite(to);
    assertReplayed(await call({ data, cancellation_key, recipients }).withResponse());
    const raw = await call(invite(to)).asResponse();
    assert.equal(raw.headers.get("idempotent-replayed"), "true");
    await assertRefused();
    await belfry.waitForMail((mail) => mail.to === to);

    await belfry.restart();
    assertReplayed(await call(invite(to)).withResponse());
    await assertRefused();

    // The old SDK has no such option; to the server a call is a call.
    const headers = { "idempotency-key": idempotencyKey };
    const plain = await belfry.call("POST", "/v1/workflows/account-invite/trigger", { body: invite(to), headers });
    assert.deepEqual(plain.json(), first.data);

    await belfry.advance("3d");
    assert.deepEqual(subjects(belfry, to), [INVITE, REMINDER]);
    assert.deepEqual(subjects(belfry, "other@grant.test"), []);
    // A day is long over: the key is free.
    const fresh = await call(invite(to)).withResponse();
    assert.notEqual(fresh.data.workflow_run_id, first.data.workflow_run_id);
    assert.equal(fresh.response.headers.get("idempotent-replayed"), null);
  });

  test("a refused request leaves its key free, and a key counts for one workflow", async (t) => {
    const knock = connect(await serve(t));
    const options = { idempotencyKey: "free" };
    const { BadRequestError, NotFoundError, UnprocessableEntityError } = Knock135;
    const late = { actor: "late", recipients: ["u"] };
    const nobody = { recipients: [] };
    await assert.rejects(knock.workflows.trigger("account-invite", nobody, options), UnprocessableEntityError);
    await assert.rejects(knock.workflows.trigger("account-invite", late, options), UnprocessableEntityError);
    await assert.rejects(knock.workflows.trigger("none", { recipients: ["u"] }, options), NotFoundError);
    await knock.users.update("late", { name: "Late" }, options);
    await knock.users.update("late", { name: "Later" }, options);
    assert.equal((await knock.users.get("late")).name, "Later");
    const invited = await knock.workflows.trigger("account-invite", late, options);
    const welcomed = await knock.workflows.trigger("welcome-to-knock", late, options);
    assert.notEqual(invited.workflow_run_id, welcomed.workflow_run_id);
    assert.deepEqual(await knock.workflows.trigger("account-invite", late, options), invited);
    const cancel = (cancellation_key) => knock.workflows.cancel("account-invite", { cancellation_key }, options);
    assert.equal(await cancel("one"), null);
    assert.equal(await cancel("two"), null);
    const tooLong = { idempotencyKey: "k".repeat(256) };
    await assert.rejects(knock.workflows.trigger("account-invite", late, tooLong), BadRequestError);
    const longest = { idempotencyKey: "k".repeat(255) };
    assert.match((await knock.workflows.trigger("account-invite", late, longest)).workflow_run_id, UUID);
  });

  test("twenty at the same time are one run", async (t) => {
    const belfry = await serve(t);
    const knock = connect(belfry);
    const to = "crowd@grant.test";
    const calls = Array.from({ length: 20 }, () =>
      knock.workflows.trigger("account-invite", invite(to), { idempotencyKey: "crowd" }).withResponse(),
    );
    const answers = await Promise.all(calls);
    assert.equal(new Set(answers.map(({ data }) => data.workflow_run_id)).size, 1);
    const replayed = answers.filter(({ response }) => response.headers.get("idempotent-replayed") === "true");
    assert.equal(replayed.length, 19);
    const fresh = answers.find((answer) => !replayed.includes(answer));
    for (const { response } of replayed) {
      assert.equal(response.headers.get("original-x-request-id"), fresh.response.headers.get("x-request-id"));
    }
    await belfry.advance("3d");
    assert.deepEqual(subjects(belfry, to), [INVITE, REMINDER]);
  });

  /** A proxy that lets requests through and does `fault` to the first answer; it keeps what came back to it. */
  async function faultyProxy(t, belfry, fault) {
    const seen = [];
    const proxy = http.createServer((request, response) => {
      const { method, url, headers } = request;
      const forward = http.request(belfry.url + url, { method, headers }, async (answer) => {
        const body = Buffer.concat(await answer.toArray());
        seen.push({ key: headers["idempotency-key"], headers: answer.headers, run: JSON.parse(body).workflow_run_id });
        if (seen.length === 1) fault(request, response);
        else response.writeHead(answer.statusCode, answer.headers).end(body);
      });
      forward.on("error", () => response.destroy());
      request.pipe(forward);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    t.after(() => {
      proxy.close();
      proxy.closeAllConnections();
    });
    return { seen, url: `http://127.0.0.1:${proxy.address().port}` };
  }

  const faults = {
    "is lost": (request) => request.socket.destroy(),
    "becomes a 500": (_, response) => response.writeHead(500, { "content-type": "application/json" }).end("{}"),
    "becomes a 429": (_, response) => response.writeHead(429, { "retry-after-ms": "10" }).end(),
  };
  for (const [name, fault] of Object.entries(faults)) {
    test(`a trigger whose first answer ${name} is tried again by the SDK, and is one run`, async (t) => {
      const belfry = await serve(t);
      const proxy = await faultyProxy(t, belfry, fault);
      const to = "again@grant.test";
      const knock = new Knock135({ apiKey: SECRET_KEY, baseURL: proxy.url });
      const { data, response } = await knock.workflows.trigger("account-invite", invite(to)).withResponse();
      assert.equal(proxy.seen.length, 2);
      const [first, second] = proxy.seen;
      assert.match(first.key, /^stainless-node-retry-/);
      assert.equal(second.key, first.key);
      assert.deepEqual([first.run, second.run], [data.workflow_run_id, data.workflow_run_id]);
      assert.equal(first.headers["idempotent-replayed"], undefined);
      assert.equal(response.headers.get("idempotent-replayed"), "true");
      assert.equal(response.headers.get("original-x-request-id"), first.headers["x-request-id"]);
      await belfry.advance("3d");
      assert.deepEqual(subjects(belfry, to), [INVITE, REMINDER]);
      // Two calls are two runs: the SDK makes a key for each.
      await knock.workflows.trigger("account-invite", invite(to));
      assert.notEqual(proxy.seen[2].key, first.key);
      assert.notEqual(proxy.seen[2].run, first.run);
    });
  }
});
