// A real Belfry for the tests: the binary with a configuration file, a data folder of its own, and a real SMTP server
// beside it. It can be killed and started again on the same data. BELFRY_BIN names the binary.

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { simpleParser } from "mailparser";
import { SMTPServer } from "smtp-server";
import "./recorder.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY = process.env.BELFRY_BIN ? resolve(process.env.BELFRY_BIN) : join(ROOT, "target/debug/belfry");

export const SECRET_KEY = "sk_test_5f2d8c1b9e7a4036";
export const PUBLIC_KEY = "pk_test_1a9c3e5b7d2f4860";
export const FEED = "6f1c2a94-3d7b-4e58-9a06-c41be8d3f715";
export const APP = "https://app.example";

/** Settings for tests of the feed: workflows that write into it and send nothing else. */
export const FEED_ONLY = { BELFRY__WORKFLOWS__DIR: join(ROOT, "tests/sdk/workflows") };

/** How long anything may take before a test gives up on it. */
const DEADLINE = 30_000;

// All is on this machine: no proxy that the environment names stands between.
process.env.NO_PROXY = process.env.no_proxy = "127.0.0.1";

// A test file that dies must not leave servers behind.
const children = new Set();
process.on("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** The SMTP server and all that it accepted, in order. */
class Post {
  /** Each mail once. A crash may repeat the mails that were on the wire; the repeats count in `deliveries`. */
  mails = [];
  faults = [];
  #waiters = new Set();

  async open() {
    this.server = new SMTPServer({
      disabledCommands: ["STARTTLS", "AUTH"],
      authOptional: true,
      disableReverseLookup: true,
      logger: false,
      // In the ledger before it is acknowledged: once Belfry counts a mail as sent, it can be read here.
      onData: (stream, session, done) => this.#accept(stream, session).then(() => done(), done),
    });
    // A client that was killed resets its connections.
    this.server.on("error", (error) => {
      if (!["ECONNRESET", "EPIPE"].includes(error.code)) this.faults.push(error);
    });
    await new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(0, "127.0.0.1", resolve);
    });
    this.port = this.server.server.address().port;
  }

  async #accept(stream, session) {
    const raw = Buffer.concat(await stream.toArray()).toString("latin1");
    // What one part lacks must not be made up from the other.
    const parsed = await simpleParser(Buffer.from(raw, "latin1"), {
      skipHtmlToText: true,
      skipTextToHtml: true,
      skipTextLinks: true,
    });
    const mail = {
      id: parsed.messageId,
      to: session.envelope.rcptTo.map((to) => to.address).join(","),
      from: parsed.from?.text,
      subject: parsed.subject,
      html: parsed.html,
      text: parsed.text,
      headers: parsed.headers,
      deliveries: 1,
      raw,
    };
    const known = this.mails.find((other) => other.id === mail.id);
    if (known) {
      known.deliveries += 1;
      if (known.raw !== raw) this.faults.push(new Error(`${mail.id} came twice and differs:\n${known.raw}\n${raw}`));
      return;
    }
    this.mails.push(mail);
    for (const waiter of this.#waiters) waiter.look();
  }

  /** The first mail for which `predicate` holds, of those that are here or to come. */
  wait(predicate, what = predicate.toString()) {
    return new Promise((resolve, reject) => {
      const end = (settle, value) => {
        this.#waiters.delete(waiter);
        clearTimeout(timer);
        settle(value);
      };
      const waiter = {
        look: () => {
          const mail = this.mails.find(predicate);
          if (mail) end(resolve, mail);
          return mail;
        },
        fail: (error) => end(reject, error),
      };
      const timer = setTimeout(() => {
        const came = this.mails.map((mail) => `  ${mail.to}: ${mail.subject}`).join("\n") || "  none";
        waiter.fail(new Error(`no mail came within ${DEADLINE} ms: ${what}\nmails:\n${came}`));
      }, DEADLINE);
      this.#waiters.add(waiter);
      waiter.look();
    });
  }

  fail(error) {
    for (const waiter of this.#waiters) waiter.fail(error);
  }

  close() {
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** One Belfry over all its lives. */
export class Belfry {
  post = new Post();
  #log = "";
  #child = null;
  #died = null;

  /** Starts one. `env` adds settings, as `{BELFRY__HTTP__MAX_BODY_BYTES: "65536"}`. */
  static async start({ env = {} } = {}) {
    const belfry = new Belfry();
    belfry.env = env;
    belfry.dir = await mkdtemp(join(tmpdir(), "belfry-sdk-"));
    await belfry.post.open();
    try {
      await writeFile(belfry.#file, belfry.#config());
      await belfry.#launch();
    } catch (error) {
      await belfry.#clear();
      throw error;
    }
    return belfry;
  }

  get #file() {
    return join(this.dir, "belfry.toml");
  }

  #config() {
    // A JSON string is a TOML string.
    const text = (value) => JSON.stringify(value);
    return `
[server]
listen = "127.0.0.1:0"
data_dir = ${text(join(this.dir, "data"))}
dev = true

[auth]
secret_keys = [${text(SECRET_KEY)}]
public_keys = [${text(PUBLIC_KEY)}]
enhanced_security = false

[workflows]
dir = ${text(join(ROOT, "config/workflows"))}

[log]
format = "json"

[vars]
app_url = ${text(APP)}
app_name = "Acme"

[[channels]]
key = "email"
id = "0b9a7e52-1c55-4a7e-8b0a-5d2f3e6c7b22"
type = "email"
provider = "smtp"
from = "Acme <no-reply@acme.test>"
host = "127.0.0.1"
port = ${this.post.port}
tls = "none"

[[channels]]
key = "in-app"
id = ${text(FEED)}
type = "in_app_feed"
provider = "in_app_feed"
`;
  }

  #launch() {
    const inherited = Object.entries(process.env).filter(([name]) => !/^(belfry_|rust_log)/i.test(name));
    const child = spawn(BINARY, ["serve", "--config", this.#file], {
      cwd: this.dir,
      env: { ...Object.fromEntries(inherited), ...this.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    children.add(child);
    this.#child = child;
    child.stderr.setEncoding("utf8").on("data", (chunk) => (this.#log += chunk));
    child.gone = new Promise((resolve) => {
      child.once("exit", (code, signal) => {
        children.delete(child);
        resolve({ code, signal });
        if (!child.expected) this.#perish(`belfry ended by itself, with ${signal ?? `code ${code}`}`);
      });
    });
    return new Promise((resolve, reject) => {
      const fail = (why) => {
        clearTimeout(timer);
        child.expected = true;
        child.kill("SIGKILL");
        reject(new Error(`${why}\n${this.#log}`));
      };
      const timer = setTimeout(() => fail(`belfry did not listen within ${DEADLINE} ms`), DEADLINE);
      const ended = (code, signal) => fail(`belfry ended at its start, with ${signal ?? `code ${code}`}`);
      child.once("error", (error) => fail(`${BINARY} cannot be started (${error.message}); build it: cargo build`));
      // Not at its exit: what it said before may still be on its way.
      child.once("close", ended);
      createInterface({ input: child.stdout }).on("line", (line) => {
        const url = /^Belfry listens on (http:\/\/\S+)/.exec(line)?.[1];
        if (!url) return;
        clearTimeout(timer);
        child.off("close", ended);
        this.url = url;
        resolve();
      });
    });
  }

  #perish(why) {
    this.#died = new Error(`${why}\n${this.#log}`);
    this.post.fail(this.#died);
  }

  /** kill -9, or another signal. The port is gone, the data folder stays as it is. */
  async kill(signal = "SIGKILL") {
    this.#child.expected = true;
    this.#child.kill(signal);
    await this.#child.gone;
  }

  /** A kill and a start on the same data. The port is a new one: clients have to be made again, or go through a Gate. */
  async restart(signal) {
    await this.kill(signal);
    await this.#launch();
  }

  /** Stops it as an operator would, and checks that nothing went wrong that no test looked at. */
  async stop() {
    if (!this.#died) {
      this.#child.expected = true;
      this.#child.kill("SIGTERM");
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), DEADLINE);
      const { code, signal } = await this.#child.gone;
      clearTimeout(timer);
      if (code !== 0) this.#died = new Error(`SIGTERM ended belfry with ${signal ?? `code ${code}`}\n${this.#log}`);
    }
    await this.#clear();
    const panic = /panicked[^\n]*/.exec(this.#log)?.[0];
    if (panic) this.#died ??= new Error(`belfry's log holds a panic: ${panic}\n${this.#log}`);
    const fault = this.#died ?? this.post.faults[0];
    if (fault) throw fault;
  }

  async #clear() {
    await this.post.close();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** A call without an SDK. */
  async call(method, path, { key = SECRET_KEY, body, headers = {} } = {}) {
    const authorization = key === null ? {} : { authorization: `Bearer ${key}` };
    const answer = await fetch(this.url + path, {
      method,
      headers: { ...authorization, "content-type": "application/json", ...headers },
      body: typeof body === "string" || body === undefined ? body : JSON.stringify(body),
    }).catch((error) => {
      throw this.#died ?? error;
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, text, json: () => JSON.parse(text) };
  }

  /** Starts a workflow without an SDK, and waits for what it does at once: messages come in the order of triggers. */
  async trigger(workflow, recipients, data = {}, more = {}) {
    const body = { recipients: [recipients].flat(), data, ...more };
    const answer = await this.call("POST", `/v1/workflows/${workflow}/trigger`, { body });
    if (answer.status !== 200) throw new Error(`the trigger of ${workflow}: ${answer.status} ${answer.text}`);
    await this.advance("0s");
  }

  /** A user's feed as it is on the wire; node 1.35 drops its `meta`. */
  async feed(user) {
    const answer = await this.call("GET", `/v1/users/${encodeURIComponent(user)}/feeds/${FEED}`);
    if (answer.status !== 200) throw new Error(`the feed of ${user}: ${answer.status} ${answer.text}`);
    return answer.json();
  }

  /** The feed once `predicate` holds for it. HTTP tells of no change, so this asks until the deadline. */
  async waitForFeed(user, predicate) {
    const deadline = Date.now() + DEADLINE;
    for (;;) {
      const feed = await this.feed(user);
      if (predicate(feed)) return feed;
      if (Date.now() > deadline) {
        throw new Error(`the feed of ${user} did not get there (${predicate}): ${JSON.stringify(feed)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** The first mail for which `predicate` holds. */
  waitForMail(predicate, what) {
    if (this.#died) throw this.#died;
    return this.post.wait(predicate, what);
  }

  get mails() {
    return this.post.mails;
  }

  /** The server's time in ms. */
  async now() {
    return Date.parse((await this.call("GET", "/dev/clock", { key: null })).json().now);
  }

  /** Lets `by` pass at once, as "3d". Answered when all that was due by then is done, so absences show. */
  async advance(by) {
    const answer = await this.call("POST", "/dev/clock/advance", { key: null, body: { by } });
    if (answer.status !== 200) throw new Error(`the clock: ${answer.status} ${answer.text}`);
  }

  /** Lets time pass until `instant`. After a start the clock is the machine's again, and the way as far as before. */
  async advanceTo(instant) {
    await this.advance(`${Math.max(0, instant - (await this.now()))}ms`);
  }
}

export const DAY = 24 * 3_600_000;
export const HOUR = 3_600_000;
