/**
 * Makes the documents of a program in a separate process. A program's text may have tens of megabytes and arbitrary contents: the mount
 * answers in the meantime, and a process that takes too long or too much memory is ended.
 */
import { fork } from 'node:child_process';
import { messageOf } from '../../errors.ts';
import { ownProgram } from '../../own-package.ts';
import { type GraphForm, type GraphSource, graphDocument, refusal } from './graph-documents.ts';
import type { GraphAnswer, GraphOrder } from './graph-worker.ts';

const TIME_MS = 60_000;
const MEMORY_MB = 1024;
/** Less text than this takes less time than starting a process. */
const SMALL_BYTES = 16 * 1024;

/** Never rejects: a document that cannot be made, because the program cannot be read or is too large, says so. */
export async function makeGraph(form: GraphForm, read: () => Promise<GraphSource>): Promise<Buffer> {
  return Buffer.from(await documentOf(form, read));
}

async function documentOf(form: GraphForm, read: () => Promise<GraphSource>): Promise<string> {
  try {
    const source = await read();
    if (sizeOf(source) <= SMALL_BYTES) return graphDocument(source, form);
    const answer = await inProcess({ source, form });
    if ('document' in answer) return answer.document;
    return refusal(form, answer.error);
  } catch (cause) {
    return refusal(form, messageOf(cause));
  }
}

function sizeOf(source: GraphSource): number {
  if (source.kind === 'exported') return source.json.byteLength;
  return source.files.reduce((sum, { text }) => sum + text.length, source.modules.length * 100);
}

function inProcess(order: GraphOrder): Promise<GraphAnswer> {
  const child = fork(ownProgram('tree/ir/graph-worker'), {
    execArgv: [...process.execArgv, `--max-old-space-size=${MEMORY_MB}`],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    timeout: TIME_MS,
    killSignal: 'SIGKILL',
  });
  return new Promise((resolve, reject) => {
    child.once('message', (answer) => resolve(answer as GraphAnswer));
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      reject(
        new Error(
          `its process ended with ${code ?? signal}, having ${TIME_MS / 1000} s and ${MEMORY_MB} MiB`,
        ),
      );
    });
    child.send(order);
  });
}
