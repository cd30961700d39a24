import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FACTS } from './facts.ts';

export type TransportName = 'kernel' | 'fuse-native';

/** Whether it can be written, and whether everybody may enter (allow_other). */
export type Access = 'ro' | 'rw' | 'ro everybody' | 'rw everybody';

/** What the kernel transport does with its inode table (src/fuse/transport/native-inode-table.ts). */
export type InodeTable = 'on' | 'off' | 'compare';

export interface Outcome {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that reads the mount has this long. One that takes longer hangs. */
const PROGRAM_TIMEOUT_MS = 30_000;

const STOP_PATIENCE_MS = 5_000;

/** What every Python snippet starts with: the mount point, the facts, and what the image holds. */
const PRELUDE = `
import errno, json, os, sys
mount, facts = sys.argv[1], json.loads(sys.argv[2])
def path(*names): return os.path.join(mount, *names)
cycle = bytes(range(facts['period']))
def pattern(offset, size):
    skip = offset % facts['period']
    return (cycle * (size // len(cycle) + 2))[skip:skip + size]
start = pattern(facts['start']['offset'], facts['start']['size'])
m = facts['mixed']
mixed = (m['header'].encode() + pattern(m['first']['offset'], m['first']['size'])
         + m['separator'].encode() + pattern(m['second']['offset'], m['second']['size']))
room = facts['room']
def fresh(name):
    """The file of that name, open for reading and writing, with nothing but zeroes in it."""
    fd = os.open(path('room', name), os.O_RDWR)
    size = os.fstat(fd).st_size
    assert os.pwrite(fd, bytes(size), 0) == size
    return fd
def whole(name):
    with open(path('room', name), 'rb') as file: return file.read()
def refused(action, *names):
    try: action()
    except OSError as error:
        assert errno.errorcode[error.errno] in names, errno.errorcode[error.errno] + ' instead of ' + '/'.join(names)
    else: raise AssertionError('was not refused')
`;

/** The tree mounted by a server process. Whoever holds this never touches the mount: its child processes do. */
export class Mounted {
  readonly path: string;
  readonly transport: TransportName;
  readonly #server: ChildProcess;
  readonly #lines: Interface;
  #stderr = '';

  private constructor(path: string, transport: TransportName, server: ChildProcess, lines: Interface) {
    this.path = path;
    this.transport = transport;
    this.#server = server;
    this.#lines = lines;
  }

  static async start(
    folder: string,
    transport: TransportName,
    imagePath: string,
    access: Access,
    name: string = access.replace(' ', '-'),
    inodeTable: InodeTable = 'on',
  ): Promise<Mounted> {
    const path = join(folder, `${transport}-${name}`);
    await mkdir(path);
    const script = fileURLToPath(new URL('./server.ts', import.meta.url));
    const args = ['--import', 'tsx', script, transport, path, imagePath, ...access.split(' ')];
    const env = { ...process.env, MLFS_INODE_TABLE: inodeTable };
    const server = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
    const mounted = new Mounted(path, transport, server, createInterface({ input: server.stdout }));
    server.stderr.on('data', (chunk) => {
      mounted.#stderr += chunk;
    });
    await mounted.line('READY');
    return mounted;
  }

  /** What it wrote to its standard error: warnings. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when the server prints this line from now on. Rejects when it ends first. */
  async line(expected: string | RegExp): Promise<void> {
    const abort = new AbortController();
    const { signal } = abort;
    const ended = once(this.#server, 'exit', { signal }).then(([code]) => {
      throw new Error(`the server ended with ${code} before it said ${expected}: ${this.#stderr}`);
    });
    try {
      await Promise.race([ended, this.#waitForLine(expected, signal)]);
    } finally {
      abort.abort();
      ended.catch(() => undefined);
    }
  }

  async #waitForLine(expected: string | RegExp, signal: AbortSignal): Promise<void> {
    for (;;) {
      const [line] = await once(this.#lines, 'line', { signal });
      if (typeof expected === 'string' ? line === expected : expected.test(line)) return;
    }
  }

  run(program: string, args: readonly string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const options = {
        timeout: PROGRAM_TIMEOUT_MS,
        killSignal: 'SIGKILL',
        maxBuffer: 64 * 2 ** 20,
        env: { ...process.env, LC_ALL: 'C.UTF-8' },
      } as const;
      execFile(program, args, options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), stdout, stderr });
      });
    });
  }

  /** Starts a program that is going to wait. */
  start(program: string, args: readonly string[]): ChildProcess {
    return spawn(program, args, { stdio: 'ignore', timeout: PROGRAM_TIMEOUT_MS, killSignal: 'SIGKILL' });
  }

  /** Unmounts from outside, as a user would. */
  detach(how: 'politely' | 'lazily'): Promise<Outcome> {
    const lazily = how === 'lazily';
    return process.getuid?.() === 0
      ? this.run('umount', [...(lazily ? ['-l'] : []), this.path])
      : this.run('fusermount3', ['-u', ...(lazily ? ['-z'] : []), this.path]);
  }

  /** Starts a Python snippet that calls `pause()` once. */
  pausing(snippet: string): {
    paused: Promise<void>;
    resume(): Promise<number | null>;
    kill(): Promise<void>;
  } {
    const pause = `
def pause():
    print('PAUSED', flush=True)
    input()
`;
    const args = ['-c', PRELUDE + pause + snippet, this.path, this.#facts];
    const program = spawn('python3', args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: PROGRAM_TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
    const exit = once(program, 'exit');
    return {
      paused: once(program.stdout, 'data').then(() => undefined),
      resume: async () => {
        program.stdin.end('\n');
        const [code] = await exit;
        return code as number | null;
      },
      kill: async () => {
        program.kill('SIGKILL');
        await exit;
      },
    };
  }

  /** Runs a Python snippet on the mount; what it asserts must hold. Returns what it printed. */
  async python(snippet: string): Promise<string> {
    const args = ['-c', PRELUDE + snippet, this.path, this.#facts];
    const outcome = await this.run('python3', args);
    if (outcome.code !== 0) throw new Error(`${outcome.stderr.trim()} (ended with ${outcome.code})`);
    return outcome.stdout;
  }

  get #facts(): string {
    return JSON.stringify({ ...FACTS, transport: this.transport });
  }

  /** Ends the server by SIGTERM; it unmounts, and its exit code is 0. A mount that is in use is taken away by force. */
  async stop(): Promise<number | null> {
    const force = setTimeout(() => this.#server.stdin?.end(), STOP_PATIENCE_MS);
    this.#server.kill('SIGTERM');
    const code = await this.ended();
    clearTimeout(force);
    return code;
  }

  /** Resolves with the exit code when the server ends by itself. */
  async ended(): Promise<number | null> {
    if (this.#server.exitCode !== null) return this.#server.exitCode;
    const [code] = await once(this.#server, 'exit');
    return code as number | null;
  }
}
