// A BullMQ worker whose jobs do nothing. It takes none until `/work?jobs=N`, which is answered when N are done: with the
// time since it was asked, and how late they were. Arguments: Redis's socket, and how many jobs it may have at once.
import { createServer } from "node:http";
import { Worker } from "bullmq";

const [path, concurrency] = [process.argv[2], Number(process.argv[3])];
let late = [];
const perform = async (job) => void late.push(Date.now() - job.timestamp - job.opts.delay);
const worker = new Worker("runs", perform, { connection: { path }, concurrency, autorun: false });

function work(jobs) {
  const begun = performance.now();
  return new Promise((resolve) => {
    let done = 0;
    worker.on("completed", function count() {
      if (++done < jobs) return;
      worker.off("completed", count);
      const seconds = (performance.now() - begun) / 1000;
      const sorted = late.sort((a, b) => a - b);
      late = [];
      worker.pause().then(() => resolve({ seconds, late: sorted }));
    });
    if (worker.isPaused()) worker.resume();
    else worker.run();
  });
}

const server = createServer(async (request, response) => {
  const jobs = Number(new URL(request.url, "http://localhost").searchParams.get("jobs"));
  const text = JSON.stringify(await work(jobs));
  response.writeHead(200, { "content-type": "application/json", "content-length": text.length });
  response.end(text);
});

await worker.waitUntilReady();
server.listen(0, "127.0.0.1", () => console.log(`listens on http://127.0.0.1:${server.address().port}`));
