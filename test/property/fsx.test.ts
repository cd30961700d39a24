/** fsx, for files whose size is fixed: some thousand random operations against a buffer. `npm run test:soak` does more of them. */
import { after, before, describe, test } from 'node:test';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { fsx } from './fsx-run.ts';

const OPERATIONS = 1500;

for (const transport of TRANSPORTS) {
  describe(`random operations on tensors by ${transport}`, mountable(transport, 'python3', 'unzip'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    for (const overlapping of [false, true]) {
      for (const mmap of [false, true]) {
        const files = overlapping ? 'three tensors that overlap' : 'one tensor';
        test(`${files}, ${mmap ? 'with' : 'without'} mappings, end as the buffer does`, (t) =>
          fsx(t, server, { transport, mmap, overlapping, operations: OPERATIONS }));
      }
    }
  });
}
