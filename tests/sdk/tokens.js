// Enhanced security as a backend sets it up: a key pair, of which Belfry knows the public half, and tokens that Knock's
// own SDK signs with the other one.

import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { signUserToken } from "knock-node-1.35.0/lib/tokenSigner";

export class Signer {
  #keys = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });

  /** A token for `user`, as long as `options` of the SDK say. */
  sign(user, options) {
    return signUserToken(user, { signingKey: this.#keys.privateKey, ...options });
  }

  /** Settings with which Belfry asks for tokens of this signer. They name a file, which `close` takes away. */
  async settings() {
    this.dir = await mkdtemp(join(tmpdir(), "belfry-tokens-"));
    const file = join(this.dir, "public.pem");
    await writeFile(file, this.#keys.publicKey);
    return { BELFRY__AUTH__ENHANCED_SECURITY: "true", BELFRY__AUTH__SIGNING_PUBLIC_KEY: file };
  }

  close() {
    return rm(this.dir, { recursive: true });
  }
}
