/** A model larger than memory is an ordinary directory: scanning it costs the server next to nothing. */
import { test } from 'node:test';
import { scanUnderLimit } from '../support/scan.ts';
import { mountable, TRANSPORTS } from '../support/served.ts';

const MiB = 2 ** 20;

for (const transport of TRANSPORTS) {
  test(
    `${transport}: a gigabyte is scanned under a limit of 256 MiB`,
    mountable(transport, 'python3', 'memory cgroup'),
    async (t) => {
      await scanUnderLimit(t, {
        transport,
        scanBytes: 1024 * MiB,
        tensors: 2,
        limitBytes: 256 * MiB,
      });
    },
  );
}
