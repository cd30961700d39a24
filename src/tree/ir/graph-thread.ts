/**
 * Makes the documents of a program in a thread of its own. A program's text may be tens of megabytes and anything may stand in it: the mount
 * answers meanwhile, and a thread that takes too long or too much memory is ended.
 */
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type GraphForm, type GraphSource, graphDocument, refusal } from './graph-documents.ts';
import type { GraphOrder } from './graph-worker.ts';

const TIME_MS = 60_000;
const MEMORY_MB = 1024;
/** Less text than this takes some ten milliseconds, and a thread as long to begin. */
const SMALL_CHARACTERS = 64 * 1024;

/** Never rejects: a document that cannot be made, because the program cannot be read or is too much, says so. */
export async function graphInThread(form: GraphForm, read: () => Promise<GraphSource>): Promise<Buffer> {
  return Buffer.from(await documentOf(form, read));
}

async function documentOf(form: GraphForm, read: () => Promise<GraphSource>): Promise<string> {
  try {
    const source = await read();
    return sizeOf(source) <= SMALL_CHARACTERS
      ? graphDocument(source, form)
      : await inThread({ source, form });
  } catch (cause) {
    return refusal(form, cause instanceof Error ? cause.message : String(cause));
  }
}

function sizeOf(source: GraphSource): number {
  if (source.kind === 'exported') return source.json.byteLength;
  return source.files.reduce((sum, { text }) => sum + text.length, source.modules.length * 100);
}

function inThread(order: GraphOrder): Promise<string> {
  // Beside this file, as source or compiled.
  const program = new URL(`./graph-worker${extname(fileURLToPath(import.meta.url))}`, import.meta.url);
  const worker = new Worker(program, {
    workerData: order,
    resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB },
    stderr: true,
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`it was not done after ${TIME_MS / 1000} seconds`));
      worker.terminate().catch(reject);
    }, TIME_MS);
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => {
      clearTimeout(timer);
      reject(new Error('its thread ended'));
    });
  });
}
