// Knock's browser client, unmodified: a session of one user, and all that went over its wire.

import assert from "node:assert/strict";
import { requests, sockets } from "./window.js";
import Knock from "@knocklabs/client";
import { FEED, PUBLIC_KEY } from "./server.js";

/** How long anything may take before a test gives up on it. */
const DEADLINE = 30_000;

/** Waits until `condition` holds. The client tells of few changes, so this asks. */
export async function until(condition, what = () => `${condition}`) {
  const deadline = Date.now() + DEADLINE;
  while (!(await condition())) {
    if (Date.now() > deadline) assert.fail(`did not come true: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Session {
  constructor(host, user, { token, key = PUBLIC_KEY, ...more } = {}) {
    this.origin = new URL(host).origin;
    this.knock = new Knock(key, { host });
    this.knock.authenticate({ id: user }, token, more);
  }

  /** A feed that has its first page, and hears of new messages. */
  async live(options) {
    const feed = this.feed(options);
    await feed.fetch();
    await this.listen(feed);
    return feed;
  }

  /** A feed that nobody has asked for anything yet. */
  feed(options = {}) {
    const feed = this.knock.feeds.initialize(FEED, options);
    feed.realtime = [];
    feed.on("items.received.realtime", (event) => feed.realtime.push(event));
    return feed;
  }

  async listen(feed) {
    feed.listenForUpdates();
    await this.joined(feed);
  }

  /** Waits until the server has let `feed` join, with this feed among those that listen. */
  joined(feed) {
    const joins = () => this.socket?.sent.filter(([, , topic, event, payload]) =>
      topic === feed.socketChannelTopic && event === "phx_join" && feed.referenceId in payload) ?? [];
    return until(() => this.socket?.readyState === 1 && joins().some(([, ref]) => this.replyTo(ref)?.[4].status === "ok"),
      () => `${feed.socketChannelTopic} joined: ${JSON.stringify(this.socket?.received)}`);
  }

  /** The server's reply to the frame that has `ref`. */
  replyTo(ref) {
    return this.socket.received.find(([, of, , event]) => of === ref && event === "phx_reply");
  }

  /** What the server told the socket of now about new messages. */
  pushes() {
    return this.socket?.received.filter(([, , , event]) => event === "new-message").map(([, , , , push]) => push) ?? [];
  }

  /** The socket of now. */
  get socket() {
    return this.knock.client().socket.conn;
  }

  /** All sockets that sessions had to this server. */
  get sockets() {
    return sockets.filter((socket) => new URL(socket.url).host === new URL(this.origin).host);
  }

  /** The requests for `user`'s feed, or for one tenant's part of it. */
  fetches(user, tenant) {
    const path = `/v1/users/${user}/feeds/${FEED}`;
    const all = requests.filter((request) => request.origin === this.origin && request.path === path);
    return tenant ? all.filter(({ query }) => query.get("tenant") === tenant) : all;
  }

  close() {
    this.knock.logout();
  }
}

/** The counts that a feed shows. */
export const counts = (feed) => {
  const { total_count, unread_count, unseen_count } = feed.getState().metadata;
  return { total: total_count, unread: unread_count, unseen: unseen_count };
};

/** What the items of a feed say, newest first. */
export const texts = (feed) => feed.getState().items.map((item) => item.data.text);

/** What was said in the messages that a feed heard of by its socket, as they came. */
export const heard = (feed) => feed.realtime.flatMap(({ items }) => items.map((item) => item.data.text));
