// BullMQ behind Belfry's two calls, as a backend would put it there; and the same calls without HTTP in between, made by
// this process itself, at `/direct`. Arguments: Redis's socket, and how many milliseconds each workflow waits, as JSON.
import { createServer } from "node:http";
import { Queue } from "bullmq";

const [path, delays] = [process.argv[2], JSON.parse(process.argv[3])];
const queue = new Queue("runs", { connection: { path }, defaultJobOptions: { removeOnComplete: true } });

// One recipient's job is found by the cancellation key; the jobs of many have ids of BullMQ's own.
function trigger(workflow, { recipients, cancellation_key, data }) {
  const delay = delays[workflow];
  if (recipients.length === 1) {
    return queue.add(workflow, { recipient: recipients[0], data }, { delay, jobId: cancellation_key });
  }
  return queue.addBulk(recipients.map((recipient) => ({ name: workflow, data: { recipient, data }, opts: { delay } })));
}

const calls = { trigger, cancel: (_, { cancellation_key }) => queue.remove(cancellation_key) };

// As many loops as there would be clients: each makes its next call when the last has ended.
async function direct({ call, workflow, body, hole, clients, numbers: [next, end] }) {
  const loop = async () => {
    while (next < end) {
      const number = String(next++).padStart(hole.length, "0");
      await calls[call](workflow, JSON.parse(body.replaceAll(hole, number)));
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: clients }, loop));
  return { seconds: (performance.now() - begun) / 1000 };
}

async function answer(url, body) {
  if (url === "/direct") return direct(JSON.parse(body));
  const [, , , workflow, call] = url.split("/");
  await calls[call](workflow, JSON.parse(body));
  return { workflow_run_id: null };
}

const server = createServer((request, response) => {
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (part) => (body += part));
  request.on("end", async () => {
    let [status, text] = [200, ""];
    try {
      text = JSON.stringify(await answer(request.url, body));
    } catch (error) {
      [status, text] = [500, String(error)];
    }
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    response.end(text);
  });
});

await queue.waitUntilReady();
server.listen(0, "127.0.0.1", () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
