/** /sys: facts about the checkpoint and about MLFS itself. */
import type { Checkpoint } from '../checkpoint/checkpoint.ts';
import type { DirectoryInode } from '../inode.ts';
import type { CommandContent } from '../storage/content.ts';
import { visible, visibleJson } from '../visible-text.ts';
import { documentFile, textFile } from './documents.ts';
import type { InodeTable } from './inode-table.ts';
import { SteadyDocument, statementOf } from './steady-document.ts';

/** Members of status.json that change by themselves. */
const RUNNING = new Set(['uptime_seconds', 'cache', 'counters', 'rss_bytes']);
/** For digits: a walk through a whole mount adds some three hundred. */
const METRICS_ROOM_BYTES = 1024;

/** Makes a document: yields between its parts, and returns the bytes. */
type Document = Generator<void, Uint8Array>;

export interface SysSources {
  /** MLFS's own version. */
  readonly version: string;
  readonly banner: () => string;
  /** The text of `str(model)`, or the outline of a state dict. */
  readonly modelStr: () => Document;
  /** The whole object tree as JSON. */
  readonly checkpointJson: () => Document;
  readonly tensorsJson: () => Document;
  /** Made again at each open. Numbers in members that are listed as RUNNING below change by themselves. */
  readonly status: () => Promise<object>;
  /** Prometheus' text format, made again at each open. */
  readonly metrics: () => string;
  /** Receives what is written into /sys/control; absent on read-only mounts. */
  readonly control?: CommandContent | undefined;
}

export function addSysRoom(table: InodeTable, room: DirectoryInode, sources: SysSources): void {
  table.add(
    room,
    'version',
    textFile(() => `mlfs ${sources.version}\n`),
  );
  table.add(room, 'banner', textFile(sources.banner));
  table.add(room, 'model_str', documentFile(sources.modelStr));
  table.add(room, 'checkpoint.json', documentFile(sources.checkpointJson));
  table.add(room, 'tensors.json', documentFile(sources.tensorsJson));
  const status = async () => statementOf(`${visibleJson(await sources.status(), 2)}\n`, RUNNING);
  table.add(room, 'status.json', { content: () => new SteadyDocument(status, 0) });
  const metrics = async () => ({ text: sources.metrics(), lasting: '' });
  table.add(room, 'metrics', { content: () => new SteadyDocument(metrics, METRICS_ROOM_BYTES) });
  const { control } = sources;
  if (control !== undefined) table.add(room, 'control', { content: () => control, mode: 0o644 });
}

export interface BannerFacts {
  readonly version: string;
  /** A short description of what the mount shows. */
  readonly summary: string;
  readonly writable: boolean;
  /** Names of the folders at the root. */
  readonly rooms: Iterable<string>;
  /** Names of the files in /export. */
  readonly exports: readonly string[];
}

/** Text that says what this mount is, and where things are in it. */
export function bannerOf(checkpoint: Checkpoint, facts: BannerFacts): string {
  const lines = [
    '        _  __',
    '  _ __ | |/ _|___',
    " | '  \\| |  _(_-<",
    ` |_|_|_|_|_| /__/  ${facts.version}`,
    '',
    `${visible(checkpoint.path)}: ${checkpoint.format}, ${facts.summary}, ${facts.writable ? 'read-write' : 'read-only'}`,
    '',
  ];
  for (const room of facts.rooms) lines.push(`/${room.padEnd(11)}  ${ROOMS[room]?.(facts) ?? ''}`);
  return `${lines.join('\n')}\n`;
}

const ROOMS: Readonly<Record<string, (facts: BannerFacts) => string>> = {
  sys: ({ writable }) =>
    `model_str, tensors.json, checkpoint.json, status.json, metrics${writable ? ', control' : ''}`,
  model: ({ writable }) =>
    `a folder a module, a file a tensor: exact C-order bytes${writable ? ', which may be written' : ''}`,
  checkpoint: () => 'everything else that was saved, optimizer state and numbers included',
  views: ({ writable }) =>
    `the same folders as numpy files, text, CSV and JSON with statistics${writable ? '; numpy, text and CSV may be written' : ''}`,
  activations: () => 'an ordinary folder for what a forward pass leaves behind; X.csv beside each X.npy',
  ir: () => 'the program: TorchScript code, graphs, or the tree of modules',
  viz: () => 'a TensorBoard run with a histogram of every tensor',
  rpc: () => 'inference by files: write an input, read the output',
  export: ({ writable, exports }) =>
    `the whole checkpoint${writable ? ' with the edits in it' : ''}: ${exports.join(', ')}`,
  logs: ({ writable }) => `what the mount does, a line each${writable ? '; lines may be appended' : ''}`,
};
