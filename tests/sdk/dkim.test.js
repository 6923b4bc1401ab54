// What Belfry signs, somebody else's verifier finds to be signed: with either kind of key, over a real SMTP server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
import { dmarc } from "mailauth/lib/dmarc/index.js";
import { BINARY, Belfry, SECRET_KEY } from "./server.js";

/** Keys as openssl writes them. */
const KEYS = {
  "rsa-sha256": () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
  "ed25519-sha256": () => generateKeyPairSync("ed25519"),
};

for (const [algorithm, generate] of Object.entries(KEYS)) {
  describe(`DKIM, ${algorithm}`, { timeout: 120_000 }, () => {
    let belfry, folder, env, mail, record;
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "belfry-dkim-"));
      const file = join(folder, "dkim.pem");
      await writeFile(file, generate().privateKey.export({ type: "pkcs8", format: "pem" }));
      env = { BELFRY__CHANNELS__EMAIL__DKIM_SELECTOR: "belfry", BELFRY__CHANNELS__EMAIL__DKIM_PRIVATE_KEY: file };
      belfry = await Belfry.start({ env });
      const recipients = [{ id: "jürgen", email: "juergen@grant.test", name: "Jürgen" }];
      const body = { recipients, data: { inviteToken: "a  b =\t" } };
      const answer = await fetch(`${belfry.url}/v1/workflows/account-invite/trigger`, {
        method: "POST",
        headers: { authorization: `Bearer ${SECRET_KEY}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
      assert.equal(answer.status, 200);
      mail = (await belfry.post.wait((mail) => mail.to === "juergen@grant.test")).raw;
      const config = { cwd: belfry.dir, env: { ...process.env, ...env }, encoding: "utf8" };
      const checked = execFileSync(BINARY, ["config", "check", "--config", join(belfry.dir, "belfry.toml")], config);
      const [, strings] = /^# belfry\._domainkey\.acme\.test\. IN TXT (.*)$/m.exec(checked);
      record = [...strings.matchAll(/"([^"]*)"/g)].map(([, string]) => string);
    });
    after(async () => {
      await belfry?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    async function verify(raw) {
      const asked = [];
      const resolver = async (name, type) => {
        asked.push([name, type]);
        return [record];
      };
      const { results } = await dkimVerify(Buffer.from(raw, "latin1"), { resolver });
      return { asked, results };
    }

    test("the signature holds under the record that config check prints", async () => {
      const { asked, results } = await verify(mail);
      assert.deepEqual(asked, [["belfry._domainkey.acme.test", "TXT"]]);
      assert.equal(results.length, 1);
      const [{ status, signingDomain, algo, format }] = results;
      assert.equal(status.result, "pass", JSON.stringify(status));
      assert.deepEqual([signingDomain, algo, format], ["acme.test", algorithm, "relaxed/relaxed"]);
    });

    test("whoever changes the subject, a word of the body, or adds a sender breaks it", async () => {
      const changes = [
        [/^Subject: /m, "Subject: Re: "],
        [/<\/body>/, "!</body>"],
        [/^From: /m, "From: Evil <evil@acme.test>\r\nFrom: "],
        [/^Reply-To|^Date: /m, "Reply-To: evil@x.test\r\n$&"],
      ];
      for (const [from, to] of changes) {
        const changed = mail.replace(from, to);
        assert.notEqual(changed, mail, from);
        const { results } = await verify(changed);
        assert.notEqual(results[0].status.result, "pass", String(from));
      }
    });
  });
}

describe("DKIM, a sender of a step's own", { timeout: 120_000 }, () => {
  const POLICY = "v=DMARC1; p=reject; adkim=r";
  let belfry, folder, records;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "belfry-dkim-"));
    const key = async (name, kind) => {
      const file = join(folder, `${name}.pem`);
      await writeFile(file, KEYS[kind]().privateKey.export({ type: "pkcs8", format: "pem" }));
      return file;
    };
    const [own, rsa, ed25519] = [
      await key("own", "rsa-sha256"),
      await key("rsa", "rsa-sha256"),
      await key("ed25519", "ed25519-sha256"),
    ];
    await mkdir(join(folder, "workflows/sender"), { recursive: true });
    const step = {
      ref: "email_1", type: "channel", channel_type: "email", channel_key: "email",
      channel_overrides: { from_address: "{{sender}}" },
      template: { subject: "Hi", html_body: "<p>Hi</p>", settings: { layout_key: null } },
    };
    await writeFile(join(folder, "workflows/sender/workflow.json"), JSON.stringify({ name: "Sender", steps: [step] }));
    const other = (selector, file) => `{ domain = "other.test", selector = "${selector}", private_key = "${file}" }`;
    const env = {
      BELFRY__WORKFLOWS__DIR: join(folder, "workflows"),
      BELFRY__CHANNELS__EMAIL__DKIM_SELECTOR: "belfry",
      BELFRY__CHANNELS__EMAIL__DKIM_PRIVATE_KEY: own,
      BELFRY__CHANNELS__EMAIL__DKIM_OTHERS: `[${other("rsa", rsa)}, ${other("ed", ed25519)}]`,
    };
    belfry = await Belfry.start({ env });
    const config = { cwd: belfry.dir, env: { ...process.env, ...env }, encoding: "utf8" };
    const checked = execFileSync(BINARY, ["config", "check", "--config", join(belfry.dir, "belfry.toml")], config);
    const found = checked.matchAll(/^# (\S+)\. IN TXT (.*)$/gm);
    records = new Map([...found].map(([, name, strings]) => [name, [...strings.matchAll(/"([^"]*)"/g)].map(([, string]) => string)]));
  });
  after(async () => {
    await belfry?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** What a receiver makes of a mail from `sender`, whose domain and all others reject what is not aligned. */
  async function received(sender) {
    const id = sender.replace(/\W/g, "-");
    const answer = await fetch(`${belfry.url}/v1/workflows/sender/trigger`, {
      method: "POST",
      headers: { authorization: `Bearer ${SECRET_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ recipients: [{ id, email: `${id}@x.test` }], data: { sender } }),
    });
    assert.equal(answer.status, 200);
    const { raw } = await belfry.post.wait((mail) => mail.to === `${id}@x.test`);
    const resolver = async (name) => {
      if (name.startsWith("_dmarc.")) return [[POLICY]];
      const record = records.get(name);
      if (record) return [record];
      throw Object.assign(new Error(`no ${name}`), { code: "ENOTFOUND" });
    };
    const { results, headerFrom } = await dkimVerify(Buffer.from(raw, "latin1"), { resolver });
    const passed = results.filter(({ status }) => status.result === "pass");
    const dkimDomains = passed.map(({ id, signingDomain }) => ({ id, domain: signingDomain }));
    const { status } = await dmarc({ headerFrom, spfDomains: [], dkimDomains, resolver });
    return { signed: passed.map(({ signingDomain, algo }) => `${signingDomain} ${algo}`).sort(), dmarc: status.result };
  }

  test("mail passes DMARC by the keys of the domain that it is from, of either kind", async () => {
    const both = ["other.test ed25519-sha256", "other.test rsa-sha256"];
    assert.deepEqual(await received("a@other.test"), { signed: both, dmarc: "pass" });
    assert.deepEqual(await received("a@news.other.test"), { signed: both, dmarc: "pass" });
    assert.deepEqual(await received("a@acme.test"), { signed: ["acme.test rsa-sha256"], dmarc: "pass" });
  });

  test("mail from a domain without a key goes out unsigned rather than signed for another", async () => {
    assert.deepEqual(await received("a@third.test"), { signed: [], dmarc: "fail" });
  });
});
