// Programs in Python, from the environment that `tests/run.sh` makes beside this file. PYTHON_ENV names another.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BIN = join(process.env.PYTHON_ENV ?? fileURLToPath(new URL(".venv", import.meta.url)), "bin");

/** Why a test is passed over; false where Python is there. */
export const noPython = !existsSync(BIN) && "no Python environment; tests/run.sh makes it";

/** Runs a program of the environment to its end. */
export function run(program, args, options = {}) {
  const child = spawn(join(BIN, program), args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (chunk) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk) => (stderr += chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code, stdout, stderr }));
  });
}
