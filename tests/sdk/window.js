// A browser as far as Knock's client needs one. It looks for it when it is loaded, so this is imported before it.

import WebSocket from "ws";

/** Every socket in the order of opening, with the frames that crossed it and the code it was closed with. */
export const sockets = [];

class Recorded extends WebSocket {
  sent = [];
  received = [];
  code = null;

  constructor(url, protocols) {
    super(url, protocols);
    sockets.push(this);
    this.on("message", (frame) => this.received.push(JSON.parse(frame)));
    this.on("close", (code) => (this.code = code));
  }

  send(frame) {
    this.sent.push(JSON.parse(frame));
    super.send(frame);
  }
}

/** Every request of a client in order: `{ method, path, query, body, status }`, where the last is null until it is answered. */
export const requests = [];

/** A slow network: answers that are on their way wait for this promise. */
export const network = { clear: Promise.resolve() };

const { fetch } = globalThis;

globalThis.fetch = async (url, init) => {
  // Whatever else is in this process asks without being watched.
  if (!init?.headers?.["X-Knock-Client"]) return fetch(url, init);
  const { origin, pathname, searchParams } = new URL(url);
  const path = decodeURIComponent(pathname);
  const body = init.body && JSON.parse(init.body);
  const request = { origin, method: init.method, path, query: searchParams, body, status: null };
  requests.push(request);
  const answer = await fetch(url, init);
  await network.clear;
  request.status = answer.status;
  return answer;
};

globalThis.window = { WebSocket: Recorded, addEventListener() {}, removeEventListener() {} };
