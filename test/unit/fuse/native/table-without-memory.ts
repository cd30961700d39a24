/** Run in a process of its own: fills the inode table until memory runs out, and says what happened. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { INODE_FIELDS, LISTING } from '../../../../src/storage/native.ts';
import { message } from '../message.ts';
import { FakeKernel } from './fake-kernel.ts';

const ROWS = 1_000_000;
const NAMES = 2_000_000;
/** What the process may still get: less than the table needs, and enough for everything else. */
const LEFT_BYTES = 24 << 20;

await main();

async function main(): Promise<void> {
  const kernel = new FakeKernel();
  const { session } = kernel;
  session.setTreeDefaults({ uid: 1, gid: 2, readOnly: true, keepMs: 1500 });
  const row = (nodeid: number) => [nodeid, 0o100444, 1, 5, 0, 0, 0, 0, 0, -1, 0];
  const rows = new Float64Array(ROWS * INODE_FIELDS);
  for (let index = 0; index < ROWS; index++) rows.set(row(index + 2), index * INODE_FIELDS);
  const listing = new Float64Array(3 + NAMES * 3);
  listing.set([1, LISTING.COMPLETE, NAMES]);
  for (let index = 0; index < NAMES; index++) listing.set([2, index + 3, 1], 3 + index * 3);
  const names = Buffer.alloc(NAMES, 'a');

  const failures: unknown[] = [];
  const attempt = (change: () => void) => {
    try {
      change();
      failures.push(undefined);
    } catch (cause) {
      failures.push({ message: (cause as Error).message, errno: (cause as { errno?: number }).errno });
    }
  };
  limitAddressSpace(String(addressSpace() + LEFT_BYTES));
  attempt(() => session.addInodes(rows));
  attempt(() => session.publishListings(listing, names));
  limitAddressSpace('unlimited');
  const asked = (unique: bigint) => message('GETATTR', { unique, nodeid: 2, body: Buffer.alloc(16) });
  const [before] = await kernel.serve([asked(2n)]);
  session.addInodes(Float64Array.from(row(2)));
  const [after] = await kernel.serve([asked(4n)]);
  kernel.close();
  const answered = [before, after].map((served) => Object.keys(served ?? {})[0]);
  process.stdout.write(JSON.stringify({ failures, answered }));
}

function addressSpace(): number {
  return Number(/^VmSize:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

function limitAddressSpace(bytes: string): void {
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:`]);
}
