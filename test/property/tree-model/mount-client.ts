import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Server, TransportName } from '../../support/served.ts';
import type { Between, Client } from './client.ts';
import { type Answer, DONE, type Operation } from './operation.ts';

const SCRIPT = fileURLToPath(new URL('./mount-client.py', import.meta.url));

/** A program that uses a real mount. */
export class MountClient implements Client {
  readonly between: Between;
  readonly #server: Server;
  readonly #checkpoint: string;
  readonly #transport: TransportName;
  #path = '';
  #program: ChildProcess | undefined;
  #answers: AsyncIterator<string> | undefined;

  constructor(server: Server, checkpoint: string, transport: TransportName) {
    this.#server = server;
    this.#checkpoint = checkpoint;
    this.#transport = transport;
    this.between = {
      pagesAreKept: true,
      openFilesAreMovedAway: transport === 'fuse-native',
      removedNamesReturn: true,
    };
  }

  async perform(operation: Operation): Promise<Answer> {
    if (operation.do === 'remount') {
      await this.close();
      return DONE;
    }
    if (this.#program === undefined) await this.#mount();
    const answer = (this.#answers as AsyncIterator<string>).next();
    this.#program?.stdin?.write(`${JSON.stringify(operation)}\n`);
    const { value, done } = await answer;
    if (done) throw new Error(`the program ended at ${JSON.stringify(operation)}`);
    return JSON.parse(value);
  }

  file(): Promise<Buffer> {
    return readFile(this.#checkpoint);
  }

  async close(): Promise<void> {
    if (this.#program === undefined) return;
    const ended = once(this.#program, 'exit');
    this.#program.stdin?.end();
    await ended;
    this.#program = undefined;
    await this.#server.unmount(this.#path);
  }

  async #mount(): Promise<void> {
    ({ path: this.#path } = await this.#server.mount(this.#checkpoint, { transport: this.#transport }));
    const program = spawn('python3', [SCRIPT, this.#path], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#program = program;
    this.#answers = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  }
}
