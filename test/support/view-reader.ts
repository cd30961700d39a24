import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import type { StatusDocument } from '../../src/targets/status-document.ts';
import { statusOf } from './kernel-view.ts';

const READER = `
import errno, hashlib, mmap, os, sys
files = {}
for line in sys.stdin:
    words = line.split()
    try:
        if words[0] == 'open': files[words[1]] = os.open(words[2], os.O_RDONLY); print('opened')
        elif words[0] == 'close': os.close(files.pop(words[1])); print('closed')
        elif words[0] == 'pread': print(os.pread(files[words[1]], int(words[3]), int(words[2])).hex())
        elif words[0] == 'sha': print(hashlib.sha256(os.pread(files[words[1]], 1 << 24, 0)).hexdigest())
    except OSError as error: print(errno.errorcode[error.errno])
    except KeyError: print('not open')
    sys.stdout.flush()
`;

/** A program that keeps files open: a command a line, an answer a line. */
export class ViewReader {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(t: TestContext) {
    const child = spawn('python3', ['-c', READER], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    t.after(() => child.kill('SIGKILL'));
  }

  async ask(...words: (string | number)[]): Promise<string> {
    this.#child.stdin?.write(`${words.join(' ')}\n`);
    return (await this.#lines.next()).value as string;
  }

  async open(key: string, path: string): Promise<void> {
    assert.equal(await this.ask('open', key, path), 'opened');
  }

  /** Closes the file if it is open, opens it again, and resolves with the status of its mount then. */
  async reopened(key: string, path: string, mount: string): Promise<StatusDocument> {
    await this.ask('close', key);
    await this.open(key, path);
    return statusOf(mount);
  }
}
