/** Drives mutants in a child process, which is ended and begun again when one crashes it or takes too long. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CPU_BOUND_MS, MEMORY_BOUND_MB } from './judge.ts';
import type { Made, Order, Result } from './worker.ts';

export interface Verdict extends Result {
  readonly target: string;
  readonly label: string;
  readonly size: number;
}

/** A process that used so much processor time for one input hangs: it has a dozen steps and more, of two seconds at most each. */
const HANG_CPU_MS = 60_000;
const HANG_WALL_MS = 300_000;
const LOOK_EVERY_MS = 500;
/** Far beyond the bound, and still no harm to the machine. */
const HEAP_MB = 2048;
/** The kernel counts processor time in hundredths of a second. */
const TICK_MS = 10;

export interface DriverOptions {
  /** Whether files beside the project's own are in the corpus. */
  readonly others: boolean;
  readonly target?: string | undefined;
}

export class Driver {
  readonly #options: DriverOptions;
  #child: ChildProcess | undefined;

  constructor(options: DriverOptions) {
    this.#options = options;
  }

  /**
   * Mutant `number` of `seed`. One that is too slow or too large is driven again in a process of its own before it is called so: what came
   * before it in the same process does not count.
   */
  async drive(seed: number, number: number): Promise<Verdict> {
    const verdict = await this.#drive(seed, number);
    if (verdict.outcome.kind === 'failed' || excess(verdict) === undefined) return verdict;
    await this.close();
    const again = await this.#drive(seed, number);
    const reason = excess(again);
    if (reason === undefined || again.outcome.kind === 'failed') return again;
    return { ...again, outcome: { kind: 'failed', reason } };
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.disconnect();
    await ended;
  }

  async #drive(seed: number, number: number): Promise<Verdict> {
    this.#child ??= start(this.#options);
    const child = this.#child;
    let made: Made = { made: true, target: '?', label: '?', size: 0 };
    const order: Order = { seed, number, target: this.#options.target };
    const result = await new Promise<Result>((resolve) => {
      const startedMs = performance.now();
      let startCpuMs: number | undefined;
      let hangs = false;
      const watch = setInterval(() => {
        const cpuMs = cpuOf(child.pid);
        startCpuMs ??= cpuMs;
        hangs = cpuMs - startCpuMs > HANG_CPU_MS || performance.now() - startedMs > HANG_WALL_MS;
        if (hangs) child.kill('SIGKILL');
      }, LOOK_EVERY_MS);
      const finish = (result: Result) => {
        clearInterval(watch);
        child.off('message', onMessage);
        child.off('exit', onExit);
        resolve(result);
      };
      const onMessage = (said: Made | Result) => {
        if ('made' in said) made = said;
        else finish(said);
      };
      const onExit = (code: number | null, signal: string | null) => {
        this.#child = undefined;
        const reason = hangs ? 'hangs' : `the process ended with ${code ?? signal}`;
        finish({ outcome: { kind: 'failed', reason }, slowestMs: 0, slowestStep: '', peakMb: 0 });
      };
      child.on('message', onMessage);
      child.on('exit', onExit);
      child.send(order);
    });
    const { target, label, size } = made;
    return { target, label, size, ...result };
  }
}

function start({ others }: DriverOptions): ChildProcess {
  const program = fileURLToPath(new URL('./worker.ts', import.meta.url));
  const folder = mkdtempSync(join(tmpdir(), 'mlfs-fuzz-'));
  const child = fork(program, [others ? 'all' : 'fixtures', folder], {
    execArgv: ['--import', 'tsx', '--expose-gc', `--max-old-space-size=${HEAP_MB}`],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once('exit', remove);
  child.once('exit', () => {
    process.off('exit', remove);
    remove();
  });
  return child;
}

function excess({ slowestMs, slowestStep, peakMb }: Result): string | undefined {
  if (slowestMs > CPU_BOUND_MS) return `${slowestStep} took ${Math.round(slowestMs)} ms of processor time`;
  if (peakMb > MEMORY_BOUND_MB) return `the process had ${peakMb} MB`;
  return undefined;
}

/** Processor time of a process: fields 14 and 15 of /proc/PID/stat, behind its name in parentheses. */
function cpuOf(pid: number | undefined): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  } catch {
    return 0;
  }
}
