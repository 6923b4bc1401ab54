// One address for all lives of a Belfry, as a load balancer gives it: each life listens on a port of its own.

import { once } from "node:events";
import net from "node:net";

export class Gate {
  #connections = new Set();

  /** Lets through to the newest life of `belfry`; while there is none, connections are refused as they come in. */
  static async open(belfry) {
    const gate = new Gate();
    gate.server = net.createServer((near) => gate.#join(near, net.connect(new URL(belfry.url).port, "127.0.0.1")));
    gate.server.listen(0, "127.0.0.1");
    await once(gate.server, "listening");
    gate.url = `http://127.0.0.1:${gate.server.address().port}`;
    return gate;
  }

  #join(near, far) {
    for (const [one, other] of [[near, far], [far, near]]) {
      this.#connections.add(one);
      one.setNoDelay();
      one.pipe(other);
      // An end that vanished takes the other one with it.
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.#connections.delete(one);
        other.destroySoon();
      });
    }
  }

  close() {
    this.#connections.forEach((connection) => connection.destroy());
    return new Promise((resolve) => this.server.close(resolve));
  }
}
