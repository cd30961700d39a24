/**
 * Imported into a server of tests before everything else: kernel views are attached only once the file $MLFS_TEST_HELD_ATTACH exists, as if the
 * machine were slow. Everything else of them is real.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadNative, type NativeKernelView } from '../../src/storage/native.ts';

const gate = process.env.MLFS_TEST_HELD_ATTACH;
const addon = loadNative();
if (addon !== undefined && gate !== undefined) {
  Object.assign(addon, {
    Session: class extends addon.Session {
      override expectView(first: number, end: number): NativeKernelView {
        const view = super.expectView(first, end);
        return {
          select: (nodeids) => view.select(nodeids),
          attach: async (...given) => {
            while (!existsSync(gate)) await sleep(20);
            await view.attach(...given);
          },
          stopWaiting: () => view.stopWaiting(),
          suspend: (suspended) => view.suspend(suspended),
          end: () => view.end(),
        };
      }
    },
  });
}
