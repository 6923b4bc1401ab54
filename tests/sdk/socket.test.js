// The socket of Knock's browser client: joins, heartbeats, leaves, and the server's new lives.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Gate } from "./gate.js";
import { counts, heard, Session, texts, until } from "./session.js";
import { Belfry, FEED_ONLY } from "./server.js";
import { Signer } from "./tokens.js";

const IDS = ["u:1+x@y.z", "a:b:c", "dr grant@example.test", "+~!$&'()*,;=", "Jürgen-恐竜-🦖"];

describe("the socket of Knock's browser client", { concurrency: 3, timeout: 240_000 }, () => {
  let belfry;
  const sessions = [];
  before(async () => {
    belfry = await Belfry.start({ env: FEED_ONLY });
  });
  after(async () => {
    sessions.forEach((session) => session.close());
    await belfry?.stop();
  });

  const session = (user, options, host = belfry.url) => {
    const session = new Session(host, user, options);
    sessions.push(session);
    return session;
  };
  const say = (user, text, server = belfry) => server.trigger("alert", user, { text });
  /** Says something, and waits until `feed` has heard just that. */
  const hears = async (feed, user, text, server) => {
    const before = heard(feed);
    await say(user, text, server);
    await until(() => heard(feed).length > before.length, () => `${user} hears ${text}`);
    assert.deepEqual(heard(feed), [...before, text]);
  };

  for (const id of IDS) {
    test(`the user id ${id}`, async () => {
      const feed = await session(id).live();
      await hears(feed, id, "for you");
      await feed.markAllAsSeen();
      await feed.fetch();
      assert.deepEqual(counts(feed), { total: 1, unread: 1, unseen: 0 });
    });
  }

  test("heartbeats are answered, and keep the socket", async () => {
    const listener = session("beating");
    // The client's default is 30 s; an answer that is missing for as long makes it close the socket.
    listener.knock.client().socket.heartbeatIntervalMs = 250;
    const feed = await listener.live();
    const { socket } = listener;
    const beats = () => socket.sent.filter(([, , topic, event]) => topic === "phoenix" && event === "heartbeat");
    await until(() => beats().length > 10);
    for (const [joinRef, ref, , , payload] of beats().slice(0, 10)) {
      assert.deepEqual([joinRef, payload], [null, {}]);
      assert.deepEqual(listener.replyTo(ref), [null, ref, "phoenix", "phx_reply", { status: "ok", response: {} }]);
    }
    assert.equal(listener.socket, socket);
    assert.equal(socket.code, null);
    await hears(feed, "beating", "still here");
  });

  test("who leaves hears nothing more, and may come again", async () => {
    const listener = session("leaving");
    const first = await listener.live();
    await hears(first, "leaving", "1");
    first.dispose();
    const left = () => listener.socket.sent.find(([, , , event]) => event === "phx_leave");
    await until(() => left() && listener.replyTo(left()[1]), () => "the leave is answered");
    assert.equal(listener.replyTo(left()[1])[4].status, "ok");
    const before = listener.socket.received.length;
    await say("leaving", "2");
    // The second feed is on the same socket, so that what was sent to the first would have come before its reply.
    const second = await listener.live();
    assert.deepEqual(texts(second), ["2", "1"]);
    const { received, sent } = listener.socket;
    const [, join] = sent.findLast(([, , , event]) => event === "phx_join");
    const events = received.slice(before, received.indexOf(listener.replyTo(join))).map(([, , , event]) => event);
    assert.deepEqual(events, []);
    await hears(second, "leaving", "3");
    assert.deepEqual(heard(first), ["1"]);
  });

  test("a second feed on the same socket takes nothing from the first", async () => {
    const listener = session("twice");
    const first = await listener.live();
    await hears(first, "twice", "1");
    const second = await listener.live({ status: "unread" });
    await hears(first, "twice", "2");
    await until(() => texts(second).length === 2);
    second.dispose();
    await hears(first, "twice", "3");
    assert.deepEqual(texts(first), ["3", "2", "1"]);
  });

  test("after a logout nothing is asked or heard, and the next user hears their own", async () => {
    const listener = session("first user");
    const feed = await listener.live();
    await hears(feed, "first user", "for the first");
    const { socket } = listener;
    listener.close();
    await until(() => socket.code !== null, () => "the socket closes");
    const asked = listener.fetches("first user").length;
    await say("first user", "for the first, too late");
    assert.deepEqual(heard(feed), ["for the first"]);
    listener.knock.authenticate({ id: "second user" });
    await listener.joined(feed);
    await feed.fetch();
    assert.deepEqual([texts(feed), counts(feed).total], [[], 0]);
    await hears(feed, "second user", "for the second");
    assert.equal(listener.fetches("first user").length, asked);
  });

  test("a wrong key opens no socket, and the client is told so", async () => {
    const stranger = session("stranger", { key: "pk_test_wrong" });
    const feed = stranger.feed();
    const { status, data } = await feed.fetch();
    assert.deepEqual([status, data.response.status], ["error", 401]);
    feed.listenForUpdates();
    await until(() => stranger.socket && stranger.socket.code !== null);
    assert.deepEqual([stranger.socket.code, stranger.socket.received], [1006, []]);
  });

  test("a token that is about to expire is replaced, and the feed stays live", async () => {
    const signer = new Signer();
    const own = await Belfry.start({ env: { ...FEED_ONLY, ...(await signer.settings()) } });
    try {
      const asked = [];
      const listener = session("refreshing", {
        token: await signer.sign("refreshing", { expiresInSeconds: 60 }),
        // So long before its end that it is asked for at once.
        timeBeforeExpirationInMs: 59_500,
        onUserTokenExpiring: (_, { sub }) => {
          asked.push(sub);
          return signer.sign("refreshing", { expiresInSeconds: 3_600 });
        },
      }, own.url);
      const feed = await listener.live();
      await hears(feed, "refreshing", "1", own);
      const { socket } = listener;
      await until(() => listener.socket && listener.socket !== socket, () => "the client opens another socket");
      assert.deepEqual(asked, ["refreshing"]);
      await listener.joined(feed);
      await hears(feed, "refreshing", "2", own);
      assert.notEqual(new URL(listener.socket.url).searchParams.get("user_token"),
        new URL(socket.url).searchParams.get("user_token"));
      listener.close();
    } finally {
      await own.stop();
      await signer.close();
    }
  });

  test("with enhanced security a token opens its own user's feed, and no other", async () => {
    const signer = new Signer();
    const own = await Belfry.start({ env: { ...FEED_ONLY, ...(await signer.settings()) } });
    try {
      const ann = await session("ann", { token: await signer.sign("ann") }, own.url).live();
      const thief = session("ann", { token: await signer.sign("ben") }, own.url);
      const stolen = thief.feed();
      assert.equal((await stolen.fetch()).status, "error");
      stolen.listenForUpdates();
      const refused = () => thief.socket?.received.filter(([, , , event, { status }]) =>
        event === "phx_reply" && status === "error") ?? [];
      await until(() => refused().length > 0, () => "the join is refused");
      await hears(ann, "ann", "for ann", own);
      await ann.markAllAsSeen();
      await ann.fetch();
      assert.deepEqual(counts(ann), { total: 1, unread: 1, unseen: 0 });
      const answer = await thief.knock.messages.batchUpdateStatuses([ann.getState().items[0].id], "read");
      assert.deepEqual(counts(ann), { total: 1, unread: 1, unseen: 0 }, JSON.stringify(answer));
      await ann.fetch();
      assert.deepEqual(counts(ann), { total: 1, unread: 1, unseen: 0 }, JSON.stringify(answer));
      assert.deepEqual([thief.pushes(), texts(stolen)], [[], []]);
    } finally {
      sessions.filter(({ origin }) => origin === own.url).forEach((session) => session.close());
      await own.stop();
      await signer.close();
    }
  });

  for (const [signal, code] of [["SIGTERM", 1012], ["SIGKILL", 1006]]) {
    test(`after ${signal} and a new start the client is live again by itself`, async () => {
      const own = await Belfry.start({ env: FEED_ONLY });
      const gate = await Gate.open(own);
      try {
        const listener = session("waiting", {}, gate.url);
        const feed = await listener.live();
        await hears(feed, "waiting", "1", own);
        for (const text of ["2", "3"]) {
          const { socket } = listener;
          await own.restart(signal);
          await until(() => socket.code !== null);
          assert.equal(socket.code, code);
          await listener.joined(feed);
          await hears(feed, "waiting", text, own);
        }
        assert.deepEqual(texts(feed), ["3", "2", "1"]);
        assert.deepEqual(counts(feed), { total: 3, unread: 3, unseen: 3 });
        // Of those that the client itself did not close.
        const codes = listener.sockets.map((socket) => socket.code).filter((code) => code !== null);
        assert.ok(!codes.includes(1000), `${codes}`);
        listener.close();
      } finally {
        await gate.close();
        await own.stop();
      }
    });
  }
});
