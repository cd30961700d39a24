import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MountOptions } from '../../src/mount/mount-options.ts';
import type { MountSummary } from '../../src/mount/mounted.ts';
import { requires } from './requires.ts';

export const TRANSPORTS = ['kernel', 'fuse-native'] as const;
export type TransportName = (typeof TRANSPORTS)[number];

/** What a mount through a transport needs, and whatever else the test needs. */
export function mountable(transport: TransportName, ...tools: string[]): { skip?: string } {
  return requires('fuse', transport === 'kernel' ? 'addon' : 'fuse-native', ...tools);
}

const SCRIPT = fileURLToPath(new URL('./checkpoint-server.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

type Answer = Record<string, unknown> & { readonly error?: string };

/** A process that serves mounts. The process of the test is another one, so it may read them. */
export class Server {
  readonly process: ChildProcess;
  /** Answers that nobody took yet wait here. */
  readonly #lines: AsyncIterator<string>;
  readonly #folder: string;
  readonly #mountpoints: string[] = [];
  #stderr = '';

  private constructor(child: ChildProcess, lines: AsyncIterator<string>, folder: string) {
    this.process = child;
    this.#lines = lines;
    this.#folder = folder;
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
  }

  /** `launcher`: words before the program, of a program that becomes it. */
  static async start({ launcher = [] }: { launcher?: readonly string[] } = {}): Promise<Server> {
    const folder = await mkdtemp(join(tmpdir(), 'mlfs-served-'));
    const [program, ...args] = [...launcher, process.execPath, '--import', TSX, SCRIPT];
    const child = spawn(program as string, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    return new Server(child, createInterface({ input: child.stdout })[Symbol.asyncIterator](), folder);
  }

  get pid(): number {
    return this.process.pid ?? 0;
  }

  /** Mounts a checkpoint on a folder of its own and resolves with that folder. */
  async mount(checkpoint: string, options: MountOptions): Promise<{ path: string; summary: MountSummary }> {
    const path = await mkdtemp(join(this.#folder, 'mount-'));
    const { summary } = await this.ask({ mount: checkpoint, at: path, options });
    this.#mountpoints.push(path);
    return { path, summary: summary as MountSummary };
  }

  /** Something else on the machine may look at every mount just then (`df`, a scan): what is in use is asked for again, for a while. */
  async unmount(path: string): Promise<void> {
    for (let attempts = 50; ; attempts--) {
      try {
        await this.ask({ unmount: path });
        return;
      } catch (cause) {
        if (attempts === 0 || !/: in use$/.test((cause as Error).message)) throw cause;
        await setTimeout(100);
      }
    }
  }

  /** Lets the server's event loop stand still until `release` exists. Resolves when it stands. */
  async block(release: string): Promise<void> {
    await this.ask({ blockUntil: release });
  }

  /** Lets it go on. Rejects when it had gone on by itself, having stood too long. */
  async release(release: string): Promise<void> {
    const answer = this.#answer();
    await writeFile(release, '');
    if ((await answer).released !== true) throw new Error('the event loop went on before it was released');
  }

  /** Sends a command and resolves with the answer. Rejects with what the server says went wrong, or when it ends. */
  async ask(command: object): Promise<Answer> {
    const answer = this.#answer();
    this.process.stdin?.write(`${JSON.stringify(command)}\n`);
    return answer;
  }

  async #answer(): Promise<Answer> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the server ended: ${this.#stderr}`);
    const answer: Answer = JSON.parse(value);
    if (answer.error !== undefined) throw new Error(answer.error);
    return answer;
  }

  /** Whether the process is still there. */
  get alive(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** Resident memory in bytes: VmRSS, or VmHWM for the most there ever was. */
  async memory(field: 'VmRSS' | 'VmHWM' = 'VmRSS'): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    const kibibytes = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
    if (kibibytes === undefined) throw new Error(`no ${field} in the status of the server`);
    return Number(kibibytes) * 1024;
  }

  /** Unmounts everything and ends the process. */
  async stop(): Promise<void> {
    if (this.alive) {
      const ended = once(this.process, 'exit');
      this.process.stdin?.end();
      await ended;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}
