// What Belfry signs, somebody else's verifier finds to be signed: with either kind of key, over a real SMTP server.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { dkimVerify } from "mailauth/lib/dkim/verify.js";
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
