/**
 * Runs command lines of mlfs one after the other in one process, which is faster than a process for each: reads a JSON array of argument
 * lists from standard input, and writes a JSON array of `CommandRun` to standard output.
 */
import { text } from 'node:stream/consumers';
import { run } from '../../src/cli/program.ts';

export interface CommandRun {
  readonly args: readonly string[];
  readonly code: number;
  /** The output in Base64: a tensor's bytes are not text. */
  readonly stdout: string;
  readonly stderr: string;
}

const lines = JSON.parse(await text(process.stdin)) as string[][];
const runs: CommandRun[] = [];
// Each run adds a listener for a closed pipe.
process.stdout.setMaxListeners(0);
process.stderr.setMaxListeners(0);
const realWrite = { stdout: process.stdout.write, stderr: process.stderr.write };
for (const args of lines) {
  const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  for (const stream of ['stdout', 'stderr'] as const) {
    process[stream].write = ((chunk: string | Uint8Array) => {
      said[stream].push(Buffer.from(chunk as string));
      return true;
    }) as typeof process.stdout.write;
  }
  process.exitCode = undefined;
  const code = await run(args);
  process.stdout.write = realWrite.stdout;
  process.stderr.write = realWrite.stderr;
  const printed = (parts: readonly Buffer[]) => Buffer.concat(parts).toString('base64');
  runs.push({ args, code, stdout: printed(said.stdout), stderr: printed(said.stderr) });
}
process.exitCode = 0;
process.stdout.write(JSON.stringify(runs));
