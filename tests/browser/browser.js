// Knock's React components in Debian's Chromium, on a page of another origin than Belfry's. CHROMIUM names the browser.

import assert from "node:assert/strict";
import { once } from "node:events";
import http from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { FEED, PUBLIC_KEY } from "../sdk/server.js";

/** How long the page may take to show what a test waits for. */
const DEADLINE = 30_000;

/** The page's parts, bundled from the packages as they were published. */
async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("page.jsx", import.meta.url))],
    bundle: true,
    write: false,
    outdir: "/",
    jsx: "automatic",
    // React checks its rules only in development: StrictMode mounts everything twice.
    define: { "process.env.NODE_ENV": '"development"' },
    logLevel: "warning",
  });
  const html = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>Reader</title>
    <link rel="icon" href="data:,">
    <link rel="stylesheet" href="/page.css">
  </head>
  <body style="font-family: sans-serif">
    <div id="root" style="margin: 1rem 1rem 1rem auto; width: 26rem"></div>
    <script src="/page.js"></script>
  </body>
</html>
`;
  const files = outputFiles.map(({ path, text }) => [path, text]);
  return new Map([["/", html], ...files]);
}

const TYPES = { "/": "text/html", "/page.js": "text/javascript", "/page.css": "text/css" };

/** One browser, and the server of its page. SCREENSHOTS names a folder for a picture of each page as it was left. */
export class Browser {
  static async open() {
    const browser = new Browser();
    const files = await bundle();
    browser.pages = http.createServer((request, response) => {
      const { pathname } = new URL(request.url, "http://page");
      response.writeHead(200, { "content-type": `${TYPES[pathname] ?? "text/html"}; charset=utf-8` });
      // Where the links of messages lead.
      response.end(files.get(pathname) ?? "<!doctype html><title>The app</title>");
    });
    browser.pages.listen(0, "127.0.0.1");
    await once(browser.pages, "listening");
    browser.origin = `http://127.0.0.1:${browser.pages.address().port}`;
    browser.chromium = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      // Whatever is outside this machine is not there.
      args: ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
    });
    return browser;
  }

  /** A session of `user` at the Belfry of that address. `view` is "bell" or "feed". */
  async visit(host, user, { view = "bell", token, key = PUBLIC_KEY, feed = FEED } = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 640, height: 800 } });
    context.setDefaultTimeout(DEADLINE);
    const reader = new Reader(await context.newPage(), host, `${encodeURIComponent(user)} ${view}`);
    const query = new URLSearchParams({ host, user, key, feed, view, ...(token && { token }) });
    await reader.page.goto(`${this.origin}/?${query}`);
    return reader;
  }

  async close() {
    await this.chromium?.close();
    await new Promise((resolve) => this.pages.close(resolve));
  }
}

/** One user's page, and all that it did. */
export class Reader {
  /** What was sent to Belfry, in order: `{ method, path, query, body }`. */
  requests = [];
  /** What must not come up: exceptions, and dialogs that a script opened. */
  faults = [];
  /** What the page said on its console as an error. */
  complaints = [];
  /** Its sockets, in the order of opening: whether each is open, and the joins that it waits for and has. */
  sockets = [];

  constructor(page, host, name) {
    this.page = page;
    this.name = name;
    page.on("request", (request) => {
      const { origin, pathname, searchParams } = new URL(request.url());
      if (origin !== host) return;
      const body = request.postDataJSON();
      this.requests.push({ method: request.method(), path: decodeURIComponent(pathname), query: searchParams, body });
    });
    page.on("websocket", (socket) => {
      const own = { open: true, joining: new Set(), joined: 0 };
      this.sockets.push(own);
      socket.on("close", () => (own.open = false));
      socket.on("framesent", ({ payload }) => {
        const [, ref, , event] = JSON.parse(payload);
        if (event === "phx_join") own.joining.add(ref);
      });
      socket.on("framereceived", ({ payload }) => {
        const [, ref, , event, { status }] = JSON.parse(payload);
        if (event === "phx_reply" && own.joining.delete(ref) && status === "ok") own.joined += 1;
      });
    });
    page.on("pageerror", (error) => this.faults.push(`${error}`));
    page.on("console", (message) => message.type() === "error" && this.complaints.push(message.text()));
    page.on("dialog", (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`);
      return dialog.dismiss();
    });
    this.bell = page.getByRole("button", { name: "Open notification feed" });
    this.badge = page.locator(".rnf-unseen-badge__count");
    this.popover = page.getByRole("dialog", { name: "Notifications" });
    this.items = page.locator(".rnf-notification-cell");
    this.dots = page.locator(".rnf-notification-cell__unread-dot");
    this.filter = page.getByRole("combobox", { name: "Select notification filter" });
    this.markAllAsRead = page.getByRole("button", { name: "Mark all as read" });
    this.empty = page.locator(".rnf-empty-feed");
  }

  /** Waits until the page hears of new messages, on a socket that is newer than the first `old` ones. */
  live(old = 0) {
    const joined = ({ open, joining, joined }) => open && joined > 0 && joining.size === 0;
    return this.until(() => this.sockets.slice(old).some(joined), () => JSON.stringify(this.sockets.slice(old)));
  }

  /** The item that says `text`. */
  item(text) {
    return this.items.filter({ hasText: text });
  }

  /** How many requests went to a path that ends so. */
  sent(method, end) {
    return this.requests.filter((request) => request.method === method && request.path.endsWith(end));
  }

  /** Waits until `locator` shows `text`, or just this often is there if `text` is a number. */
  async shows(locator, text) {
    const see = async () => (typeof text === "number" ? locator.count() : (await locator.allTextContents()).join("|"));
    let seen;
    await this.until(async () => (seen = await see()) === text, () => `${locator} shows ${seen}, not ${text}`);
  }

  /** Waits until `condition` holds. A page tells of no change, so this asks at every frame of it. */
  async until(condition, what = () => `${condition}`) {
    const deadline = Date.now() + DEADLINE;
    while (!(await condition())) {
      if (Date.now() > deadline) assert.fail(`${what()}\n${JSON.stringify(this.complaints)}`);
      await this.page.evaluate(() => new Promise(requestAnimationFrame));
    }
  }

  /** Ends the session, and checks that nothing went wrong in it that no test looked at. */
  async leave() {
    const folder = process.env.SCREENSHOTS;
    if (folder) await this.page.screenshot({ path: `${folder}/${this.name}.png` });
    await this.page.context().close();
    assert.deepEqual(this.faults, []);
  }
}
