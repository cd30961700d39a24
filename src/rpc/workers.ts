import { errno } from '../errors.ts';

/** A file in /rpc/workers. It exists while it is open. */
export interface WorkerFile {
  readonly name: string;
  readonly nodeid: number;
  /** Its contents: the call that was taken last. */
  bytes: Buffer;
  /** When the contents became so. */
  changedMs: number;
  /** Number of open descriptors. */
  opens: number;
}

export interface WorkersOptions {
  /** First nodeid of the files; `MOST_WORKER_FILES` follow. */
  readonly firstNodeid: number;
  /** How long a worker without an open file still counts: it closes one file before it opens the next. */
  readonly patienceMs: number;
  /** Called when the first worker arrives and when the last has gone. */
  readonly said: (present: boolean) => void;
}

/** Maximum number of workers' files. */
export const MOST_WORKER_FILES = 1024;

/**
 * The files in /rpc/workers and the workers behind them. The part of a name before its first dot names the worker: `gpu0.1` and `gpu0.2`
 * are two files of one worker. A worker counts as present while it has a file open and for a short time afterwards, so that a worker that
 * takes call after call counts without a break.
 */
export class Workers {
  readonly #options: WorkersOptions;
  readonly #byName = new Map<string, WorkerFile>();
  readonly #byNodeid = new Map<number, WorkerFile>();
  /** Number of open files of each worker that is present. */
  readonly #present = new Map<string, number>();
  readonly #leaving = new Map<string, NodeJS.Timeout>();
  #last = 0;
  #said = false;

  constructor(options: WorkersOptions) {
    this.#options = options;
  }

  /** Number of workers that are present. */
  get count(): number {
    return this.#present.size;
  }

  named(name: string): WorkerFile | undefined {
    return this.#byName.get(name);
  }

  at(nodeid: number): WorkerFile | undefined {
    return this.#byNodeid.get(nodeid);
  }

  /** Adds a descriptor of the file, and makes the file if necessary. Throws ENOSPC. */
  open(name: string, bytes: Buffer): WorkerFile {
    const file = this.#byName.get(name) ?? this.#make(name, bytes);
    file.opens++;
    this.#arrived(workerOf(name));
    return file;
  }

  /** Removes a descriptor of the file. */
  close(file: WorkerFile): void {
    if (--file.opens === 0) {
      this.#byName.delete(file.name);
      this.#byNodeid.delete(file.nodeid);
    }
    this.#left(workerOf(file.name));
  }

  end(): void {
    for (const timer of this.#leaving.values()) clearTimeout(timer);
    this.#leaving.clear();
  }

  #make(name: string, bytes: Buffer): WorkerFile {
    if (this.#byName.size >= MOST_WORKER_FILES)
      throw errno('ENOSPC', `${MOST_WORKER_FILES} files of workers are open already`);
    const { firstNodeid } = this.#options;
    do this.#last = (this.#last + 1) % MOST_WORKER_FILES;
    while (this.#byNodeid.has(firstNodeid + this.#last));
    const nodeid = firstNodeid + this.#last;
    const file = { name, nodeid, bytes, changedMs: Date.now(), opens: 0 };
    this.#byName.set(name, file);
    this.#byNodeid.set(nodeid, file);
    return file;
  }

  #arrived(worker: string): void {
    clearTimeout(this.#leaving.get(worker));
    this.#leaving.delete(worker);
    const open = this.#present.get(worker) ?? 0;
    this.#present.set(worker, open + 1);
    if (!this.#said) this.#say(true);
  }

  #left(worker: string): void {
    const open = (this.#present.get(worker) ?? 1) - 1;
    this.#present.set(worker, open);
    if (open > 0) return;
    const gone = () => {
      this.#leaving.delete(worker);
      this.#present.delete(worker);
      if (this.#present.size === 0) this.#say(false);
    };
    this.#leaving.set(worker, setTimeout(gone, this.#options.patienceMs).unref());
  }

  #say(present: boolean): void {
    this.#said = present;
    this.#options.said(present);
  }
}

function workerOf(name: string): string {
  return name.split('.', 1)[0] as string;
}
