/** 10 GiB scanned under a memory cgroup of 512 MB: `npm run test:soak`. Too long for every run of the tests. */
import { test } from 'node:test';
import { scanUnderLimit } from '../support/scan.ts';
import { mountable, TRANSPORTS } from '../support/served.ts';

const MiB = 2 ** 20;

for (const transport of TRANSPORTS) {
  test(
    `${transport}: ten gigabytes are scanned under a limit of 512 MB`,
    mountable(transport, 'python3', 'memory cgroup'),
    async (t) => {
      await scanUnderLimit(t, {
        transport,
        scanBytes: 10 * 1024 * MiB,
        tensors: 5,
        limitBytes: 512_000_000,
        timeoutMs: 600_000,
      });
    },
  );
}
