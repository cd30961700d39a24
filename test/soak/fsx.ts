/** Random operations on tensors for a long time: `npm run test:soak`. */
import { after, before, describe, test } from 'node:test';
import { fsx } from '../property/fsx-run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';

const OPERATIONS = 100_000;

for (const transport of TRANSPORTS) {
  describe(`random operations on tensors by ${transport}`, mountable(transport, 'python3', 'unzip'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const mmap of [false, true]) {
      test(`three tensors that overlap, ${mmap ? 'with' : 'without'} mappings`, (t) =>
        fsx(t, server, { transport, mmap, overlapping: true, operations: OPERATIONS, timeoutMs: 3_600_000 }));
    }
  });
}
