/**
 * stdout, for output.ts. When the reader is gone (`mlfs diff … | head`), the rest of the output is dropped and the command goes on to its own
 * exit code. When the output cannot be written (a full disk), a line on stderr says so, and the command goes on and ends with exit code 1.
 */
import { writeSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { EXIT, MlfsError, messageOf } from '../errors.ts';
import { printError } from './print-error.ts';

let broken = false;

/** Whether nothing more can be written: a command whose only result is its output may end. */
export function isStdoutBroken(): boolean {
  return broken;
}

/** Handles failed writes of this process to stdout and stderr, once. */
export function handleBrokenOutput(): void {
  process.stdout.on('error', fail);
  // There is nowhere left to say it.
  process.stderr.on('error', () => undefined);
}

/** Writes to stdout, or drops what cannot be written. Resolves when more may be written. */
export function writeStdout(bytes: string | Uint8Array): Promise<void> {
  if (broken) return Promise.resolve();
  // A pipe, a socket or a terminal is a net.Socket, whose module takes milliseconds to load.
  if ('remoteAddress' in process.stdout) {
    return new Promise((resolve) => {
      process.stdout.write(bytes, (error) => {
        if (error) fail(error);
        resolve();
      });
    });
  }
  try {
    writeToFile(Buffer.from(bytes as Uint8Array));
  } catch (error) {
    fail(error as NodeJS.ErrnoException);
  }
  return Promise.resolve();
}

/** Node's stream for a file loses the rest when the kernel writes only a part, as it does on a disk that is nearly full. */
function writeToFile(bytes: Buffer): void {
  for (let done = 0; done < bytes.length; ) {
    done += writeSync(process.stdout.fd, bytes, done);
  }
}

function fail(error: NodeJS.ErrnoException): void {
  if (broken) return;
  broken = true;
  if (error.code === 'EPIPE') return;
  const why = getSystemErrorMap().get(error.errno ?? 0)?.[1] ?? messageOf(error);
  printError(new MlfsError('ERR_MLFS_IO', `stdout: ${why}`, { cause: error }));
  process.exitCode ||= EXIT.failure;
}
