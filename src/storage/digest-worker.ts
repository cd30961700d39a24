/** A thread that computes digests of runs of open files: it shares the descriptors with the thread that started it, which keeps them open. */
import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { crc32 } from './crc32.ts';
import type { DigestAlgorithm, DigestAnswer, DigestOrder } from './digests.ts';
import type { FileRun } from './file-run.ts';

/** Fits the second-level cache. */
const PIECE_BYTES = 512 * 1024;
/** How many bytes are read between two messages about the progress. */
const REPORTED_BYTES = 16 * 1024 * 1024;

const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);

parentPort?.on('message', ({ algorithm, runs }: DigestOrder) => {
  send({ digests: runs.map((run) => digestOf(algorithm, run)) });
});

function send(answer: DigestAnswer): void {
  parentPort?.postMessage(answer);
}

/** Undefined if the run cannot be read: who reads it again gets the error. */
function digestOf(algorithm: DigestAlgorithm, { fd, offset, length }: FileRun): string | undefined {
  const hash = algorithm === 'sha256' ? createHash('sha256') : undefined;
  let crc = 0;
  let reported = 0;
  for (let done = 0; done < length; ) {
    let got: number;
    try {
      got = readSync(fd, piece, 0, Math.min(PIECE_BYTES, length - done), offset + done);
    } catch {
      return undefined;
    }
    if (got === 0) return undefined;
    const bytes = piece.subarray(0, got);
    if (hash === undefined) crc = crc32(bytes, crc);
    else hash.update(bytes);
    done += got;
    if (done - reported >= REPORTED_BYTES && done < length) {
      send({ bytes: done - reported });
      reported = done;
    }
  }
  send({ bytes: length - reported });
  return hash === undefined ? crc.toString(16).padStart(8, '0') : hash.digest('hex');
}
