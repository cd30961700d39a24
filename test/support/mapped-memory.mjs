// What a Node program sees when the file under its mappings is truncated: node mapped-memory.mjs SCENE FILE. Prints JSON. Each scene is a process of
// its own, because some end it.
import { openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { deflate } from 'node:zlib';

const [scene, file] = isMainThread ? process.argv.slice(2) : [workerData.scene, workerData.file];

/** Not imported by the main thread of the scenes in which only a worker loads the addon. */
const library = () => import('../../build/modules/index.js');

const PAGE = 4096;

function outcome(action) {
  try {
    action();
    return 'nothing';
  } catch (error) {
    return error.code;
  }
}

/** Every page is touched. */
function sum(bytes) {
  let total = 0;
  for (let at = 0; at < bytes.length; at += PAGE) total += bytes[at];
  return total;
}

const linesOfMaps = (end) =>
  readFileSync('/proc/self/maps', 'utf8')
    .split('\n')
    .filter((line) => line.endsWith(end)).length;

async function mapped(options = { mode: 'r' }) {
  const { openCheckpoint } = await library();
  const checkpoint = await openCheckpoint(file);
  return { checkpoint, mapping: checkpoint.map('w', options) };
}

function worker(part, onMessage = () => undefined) {
  const started = new Worker(new URL(import.meta.url), { workerData: { scene: part, file } });
  started.on('message', onMessage);
  return new Promise((resolve, reject) => {
    started.on('exit', resolve);
    started.on('error', reject);
  });
}

const SCENES = {
  async main() {
    const { mapping } = await mapped();
    const before = sum(mapping.bytes);
    truncateSync(file, 0);
    const after = sum(mapping.bytes);
    return {
      before,
      after,
      torn: mapping.torn,
      check: outcome(() => mapping.check()),
      close: outcome(() => mapping.close()),
      tornLater: mapping.torn,
    };
  },

  async 'nobody asked'() {
    const { mapping } = await mapped();
    truncateSync(file, 0);
    sum(mapping.bytes);
    const close = outcome(() => mapping.close());
    return {
      close,
      again: outcome(() => mapping.close()),
      released: linesOfMaps(file) + linesOfMaps(`${file} (deleted)`),
    };
  },

  /** No page that is gone was touched. */
  async untouched() {
    const { mapping } = await mapped();
    truncateSync(file, 0);
    return { torn: mapping.torn };
  },

  async 'private copy'() {
    const { mapping } = await mapped({ mode: 'c' });
    truncateSync(file, 0);
    mapping.bytes[5 * PAGE] = 9;
    return {
      written: mapping.bytes[5 * PAGE],
      sum: sum(mapping.bytes),
      check: outcome(() => mapping.check()),
    };
  },

  /** A thread of libuv's pool touches the pages. */
  async pool() {
    const { mapping } = await mapped();
    truncateSync(file, 0);
    const deflated = await new Promise((resolve, reject) => {
      deflate(mapping.bytes, (error, result) => (error ? reject(error) : resolve(result.length > 0)));
    });
    return { deflated, check: outcome(() => mapping.check()) };
  },

  /** The kernel touches the pages for a system call: an error and no signal. */
  async 'system call'() {
    const { mapping } = await mapped();
    truncateSync(file, 0);
    const fd = openSync('/tmp', 0o20200000 | 2, 0o600); // O_TMPFILE, O_RDWR
    return { write: outcome(() => writeSync(fd, mapping.bytes)) };
  },

  async worker() {
    const results = [];
    await worker('in worker', (result) => results.push(result));
    return { ...results[0], addonStays: linesOfMaps('mlfs_native.node') > 0 };
  },

  async 'in worker'() {
    return SCENES.main();
  },

  /** The addon is loaded by a worker, which ends, and then by another one, which needs the guard. */
  async 'two workers'() {
    await worker('load and end');
    return SCENES.worker();
  },

  async 'load and end'() {
    const { mapping } = await mapped();
    return { sum: sum(mapping.bytes) };
  },

  /** A mapping in each of two threads, of one file. */
  async 'two mappings'() {
    const results = [];
    let ready;
    const isReady = new Promise((resolve) => {
      ready = resolve;
    });
    const ended = worker('until torn', (message) => (message === 'ready' ? ready() : results.push(message)));
    const { mapping } = await mapped();
    await isReady;
    truncateSync(file, 0);
    const after = sum(mapping.bytes);
    const check = outcome(() => mapping.check());
    await ended;
    return { after, check, ...results[0] };
  },

  async 'until torn'() {
    const { mapping } = await mapped();
    sum(mapping.bytes);
    parentPort.postMessage('ready');
    while (sum(mapping.bytes) !== 0);
    return { inWorker: outcome(() => mapping.check()) };
  },

  /** A worker is ended from outside, while it reads. */
  async terminated() {
    const started = new Worker(new URL(import.meta.url), { workerData: { scene: 'reads for ever', file } });
    await new Promise((resolve) => started.once('message', resolve));
    const during = linesOfMaps(file);
    await started.terminate();
    return { during, after: linesOfMaps(file) };
  },

  async 'reads for ever'() {
    const { mapping } = await mapped();
    parentPort.postMessage('ready');
    for (;;) sum(mapping.bytes);
  },

  /** A listener of Node is a handler of libuv, which hands nothing on. */
  async 'listener before'() {
    let heard = 0;
    process.on('SIGBUS', () => heard++);
    const main = await SCENES.main();
    const keepAlive = setInterval(() => undefined, 1000);
    process.kill(process.pid, 'SIGBUS');
    while (heard === 0) await nextTurn();
    clearInterval(keepAlive);
    return { ...main, heard };
  },

  async 'listener after'() {
    const { checkpoint, mapping } = await mapped();
    process.on('SIGBUS', () => undefined);
    const another = checkpoint.map('w', { mode: 'r', length: 1 });
    truncateSync(file, 0);
    outcome(() => another.close());
    return { after: sum(mapping.bytes), check: outcome(() => mapping.check()) };
  },

  async 'garbage collection'() {
    const { openCheckpoint } = await library();
    const checkpoint = await openCheckpoint(file);
    const take = () => {
      for (let i = 0; i < 20; i++) checkpoint.map('w', { mode: 'r' }).bytes[0];
      return checkpoint.map('w', { mode: 'r' }).bytes.subarray(5 * PAGE);
    };
    const kept = take();
    const before = linesOfMaps(file);
    // A part of an array keeps its mapping.
    while (linesOfMaps(file) > 1) {
      globalThis.gc();
      await nextTurn();
    }
    const stays = sum(kept);
    return { before, stays };
  },

  async moved() {
    const { mapping } = await mapped();
    const moved = mapping.bytes.buffer.transfer();
    const close = outcome(() => mapping.close());
    return { close, length: mapping.torn ? 0 : moved.byteLength, sum: sum(new Uint8Array(moved)) };
  },

  /** Node copies it, whatever the transfer list says, or refuses. */
  async 'sent to a thread'() {
    const { mapping } = await mapped();
    const { buffer } = mapping.bytes;
    const copied = outcome(() => structuredClone(buffer, { transfer: [buffer] }));
    return { copied: copied === 'nothing' || copied === 25, stays: sum(mapping.bytes) };
  },

  async 'write to mode r'() {
    const { mapping } = await mapped();
    mapping.bytes[0] = 1;
    return { lives: true };
  },

  /** As if the addon had not been built. */
  async 'without the addon'() {
    const { default: Module } = await import('node:module');
    const load = Module._extensions['.node'];
    Module._extensions['.node'] = (module, path) => {
      if (path.endsWith('mlfs_native.node')) throw new Error('not built');
      return load(module, path);
    };
    const { mapping } = await mapped();
    const before = sum(mapping.bytes);
    const facts = { before, guarded: mapping.guarded, array: mapping.array?.constructor.name };
    mapping.close();
    return { ...facts, use: outcome(() => mapping.bytes) };
  },

  async 'truncated without the addon'() {
    const { default: Module } = await import('node:module');
    const load = Module._extensions['.node'];
    Module._extensions['.node'] = (module, path) => {
      if (path.endsWith('mlfs_native.node')) throw new Error('not built');
      return load(module, path);
    };
    return SCENES.main();
  },
};

const result = await SCENES[scene]();
if (isMainThread) process.stdout.write(JSON.stringify(result));
else parentPort.postMessage(result);
