/** Counts, from outside, the READ messages that a server takes from /dev/fuse: strace shows the first bytes of each message. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm } from 'node:fs/promises';
import { undoable } from './interrupt.ts';
import { isInstalled } from './programs.ts';

/** fuse_in_header: length, opcode, unique (8 bytes), nodeid (8 bytes). */
const SHOWN_BYTES = 24;
const OPCODE_AT = 4;
const NODEID_AT = 16;
const FUSE_READ = 15;

export class ReadMessages {
  readonly #strace: ChildProcess;
  readonly #log: string;
  readonly #detach: () => Promise<void>;

  private constructor(strace: ChildProcess, log: string) {
    this.#strace = strace;
    this.#log = log;
    this.#detach = undoable(() => this.#end());
  }

  /** Undefined if strace is not installed. `log` is a file that does not exist yet. Resolves when strace is attached. */
  static async watch(pid: number, log: string): Promise<ReadMessages | undefined> {
    if (!isInstalled('strace')) return undefined;
    const how = ['-f', '-xx', '-s', String(SHOWN_BYTES), '-e', 'trace=read,readv,splice', '-P', '/dev/fuse'];
    const strace = spawn('strace', [...how, '-o', log, '-p', String(pid)], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    for await (const text of strace.stderr.setEncoding('utf8')) {
      said += text;
      if (said.includes('attached')) {
        strace.stderr.on('data', () => {});
        return new ReadMessages(strace, log);
      }
    }
    throw new Error(`strace: ${said.trim()}`);
  }

  /** Detaches, and counts the messages for an inode. */
  async count(nodeid: number): Promise<number> {
    await this.#detach();
    const log = await readFile(this.#log, 'latin1');
    await rm(this.#log);
    return readMessages(log).filter((message) => message === nodeid).length;
  }

  async #end(): Promise<void> {
    if (this.#strace.exitCode !== null || this.#strace.signalCode !== null) return;
    const ended = once(this.#strace, 'exit');
    this.#strace.kill('SIGINT');
    await ended;
  }
}

/** The inodes of all READ messages in a log of strace, in their order. */
export function readMessages(log: string): number[] {
  return [...log.matchAll(/"((?:\\x[0-9a-f]{2})+)"(?:\.\.\.)?, \d+\) += \d+$/gm)].flatMap(([, text = '']) => {
    const bytes = Buffer.from(text.replaceAll('\\x', ''), 'hex');
    if (bytes.length < SHOWN_BYTES || bytes.readUInt32LE(OPCODE_AT) !== FUSE_READ) return [];
    return [Number(bytes.readBigUInt64LE(NODEID_AT))];
  });
}
