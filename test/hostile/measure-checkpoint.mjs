/**
 * `node measure-checkpoint.mjs FILE`: opens a checkpoint as the library does, then makes its tree and every document of it as a mount does, and prints
 * one line of JSON: what came out, CPU seconds and the largest resident set of each step, and the longest that the event loop was held
 * while documents were made. The process is the measure: its memory is nobody else's.
 */
import { readFileSync } from 'node:fs';
import { fileStructure } from '../../build/modules/checkpoint/file-structure.js';
import { openCheckpoint } from '../../build/modules/checkpoint/open.js';
import { TreeFilesystem } from '../../build/modules/fuse/tree-filesystem.js';
import { openCheckpoint as openLibrary } from '../../build/modules/index.js';
import { RenderedPages } from '../../build/modules/storage/rendered-pages.js';
import { Log } from '../../build/modules/telemetry/log.js';
import { buildTree } from '../../build/modules/tree/build-tree.js';

const [path, mode] = process.argv.slice(2);
const peakBytes = () => Number(/VmHWM:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};
/** Processor time of the main thread: what holds the event loop, whatever else the machine does. */
const threadMs = () =>
  Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
const report = {
  outcome: 'opened',
  tensors: 0,
  opened: {},
  mounted: {},
  documents: {},
  holdMs: 0,
  /** What held the event loop for long: the longest first. */
  holds: [],
  sizes: {},
};
/** Shorter turns are not worth a line. */
const NOTED_MS = 10;
const mark = (step) => Object.assign(report[step], { cpuSeconds: cpuSeconds(), peakBytes: peakBytes() });

const refused = (cause) => {
  if (typeof cause?.code !== 'string' || !cause.code.startsWith('ERR_MLFS')) throw cause;
  report.outcome = cause.code;
  report.message = cause.message.slice(0, 200);
};

if (mode !== 'mount') {
  try {
    const opened = await openLibrary(path);
    report.tensors = opened.tensors.length;
    report.warnings = opened.warnings.map(({ message }) => message);
    await opened.close();
  } catch (cause) {
    refused(cause);
  }
  mark('opened');
} else {
  try {
    const checkpoint = await openCheckpoint(path);
    const { tree, tensors } = buildTree(checkpoint, {
      cache: new RenderedPages(64 * 1024 * 1024),
      version: '0',
      log: new Log(),
      status: async () => ({}),
      metrics: () => '',
      // As a writable mount has it: checksums follow in the export, and each parameter has a gradient.
      editing: {
        checksums: fileStructure(checkpoint).checksums,
        gradientSizes: new Map(),
        gradient: (_name, _size, maxSize) => ({ kind: 'stored', maxSize, size: () => 0 }),
        control: { kind: 'command', perform: async () => '', sync: async () => undefined },
      },
    });
    report.tensors = tensors;
    report.inodes = tree.inodeCount;
    mark('mounted');
    const filesystem = new TreeFilesystem(tree, { readOnly: false, uid: 0, gid: 0 });
    await readEverything(filesystem);
    mark('documents');
    await checkpoint.close();
  } catch (cause) {
    refused(cause);
    mark('mounted');
  }
}
process.stdout.write(`${JSON.stringify(report)}\n`);

/** What `find`, `ls -lR` and `cat sys/* ir/*` ask for, in the same way. */
async function readEverything(filesystem) {
  const context = { uid: 0, gid: 0, pid: 0, signal: new AbortController().signal };
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  let last = threadMs();
  let where = '';
  const tick = async () => {
    await turn();
    observe();
  };
  const observe = () => {
    const now = threadMs();
    if (now - last > NOTED_MS) report.holds.push({ where, ms: Math.round(now - last) });
    last = now;
  };
  // Whatever is awaited, the event loop is looked at in each of its turns.
  let watching = true;
  const watch = () => {
    observe();
    if (watching) setImmediate(watch);
  };
  watch();
  let asked = 0;
  const folders = [[1, '']];
  let left = 300;
  while (folders.length > 0 && left-- > 0) {
    const [nodeid, at] = folders.shift();
    where = `readdir ${at.slice(0, 60)}`;
    let offset = 0;
    for (;;) {
      let page = 0;
      for (const entry of filesystem.readdir(nodeid, offset)) {
        offset = entry.offset ?? offset + 1;
        if (entry.name !== '.' && entry.name !== '..' && entry.entry !== undefined) {
          const { attr } = entry.entry;
          if (attr.kind === 'directory' && folders.length < 300)
            folders.push([attr.nodeid, `${at}/${entry.name}`]);
          else if (attr.kind === 'file') await look(attr.nodeid, `${at}/${entry.name}`);
        }
        if (++page >= 64) break;
      }
      await tick();
      if (page < 64 || --left < 0) break;
    }
  }
  watching = false;
  report.holds = report.holds.sort((a, b) => b.ms - a.ms).slice(0, 12);
  report.holdMs = report.holds[0]?.ms ?? 0;
  report.heldBy = report.holds[0]?.where;

  async function look(nodeid, name) {
    if (++asked > 1_000 && !/^\/(sys|ir|viz|export)\//.test(name)) return;
    where = `remember ${name.slice(0, 60)}`;
    filesystem.remember(nodeid);
    await tick();
    where = `stat ${name.slice(0, 60)}`;
    const { attr } = await filesystem.getattr(nodeid, context);
    await tick();
    if (!/^\/(sys|ir|export|viz)\//.test(name) && !(/\.json$/.test(name) && asked < 200)) return;
    where = `open ${name.slice(0, 60)}`;
    const { handle } = await filesystem.open(nodeid, 0, context);
    await tick();
    where = `read ${name.slice(0, 60)}`;
    let at = 0;
    // As large as the model: its beginning is enough.
    if (/^\/(export|viz)\//.test(name)) {
      await filesystem.read(nodeid, handle, 0, 4096, context);
      await tick();
      await filesystem.release(nodeid, handle);
      return;
    }
    for (;;) {
      const bytes = await filesystem.read(nodeid, handle, at, 1024 * 1024, context);
      await tick();
      at += bytes.byteLength;
      if (bytes.byteLength === 0) break;
    }
    if (at !== attr.size && attr.size !== 0) report.sizes[name] = `${at} bytes, stat said ${attr.size}`;
    if (name.startsWith('/sys/') || name.startsWith('/ir/') || at > 1e6) report.sizes[name.slice(0, 60)] = at;
    await filesystem.release(nodeid, handle);
  }
}
