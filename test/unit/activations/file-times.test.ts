import assert from 'node:assert/strict';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type NewTimes, roundedTimes, setFileTimes } from '../../../src/activations/file-times.ts';
import { statDescriptor } from '../../../src/activations/host-files.ts';
import { requires } from '../../support/requires.ts';
import { temporaryDirectory } from '../../support/tmp.ts';

async function file(t: TestContext) {
  const path = join(await temporaryDirectory(t), 'file');
  const handle = await open(path, 'w');
  t.after(() => handle.close());
  const { fd } = handle;
  const times = async () => {
    const { atimeNs, mtimeNs } = await stat(path, { bigint: true });
    return [atimeNs, mtimeNs];
  };
  return {
    set: (wanted: NewTimes) => setFileTimes(fd, wanted, () => statDescriptor(fd)),
    round: (wanted: NewTimes) => roundedTimes(fd, wanted, statDescriptor(fd)),
    times,
  };
}

const EXACT = 1_000_000_000_123_456_789n;

test('times are set to the nanosecond, also before 1970', requires('addon'), async (t) => {
  const { set, times } = await file(t);
  for (const time of [EXACT, 1n, 0n, -1n, -86_400_000_000_001n, -1_893_456_000_000_000_005n]) {
    await set({ atime: time, mtime: time + 2n });
    assert.deepEqual(await times(), [time, time + 2n]);
  }
});

test('a time that is not given stays, and now is the clock’s', requires('addon'), async (t) => {
  const { set, times } = await file(t);
  await set({ atime: EXACT, mtime: EXACT });
  await set({ mtime: 7n });
  assert.deepEqual(await times(), [EXACT, 7n]);
  await set({ atime: 'now' });
  const [atime = 0n, mtime] = await times();
  assert.ok(atime > EXACT && mtime === 7n);
});

test('without the addon a time is as near as a double, and the year is right', async (t) => {
  const { round, times } = await file(t);
  for (const time of [EXACT, -86_400_123_456_789n]) {
    await round({ atime: time, mtime: time });
    for (const found of await times()) {
      const off = found - time;
      assert.ok(off < 1_000n && off > -1_000n, `${found} for ${time}`);
    }
  }
});

test('what cannot be set is refused with its errno', requires('addon'), async () => {
  await assert.rejects(
    setFileTimes(2 ** 20, { mtime: 5n }, () => statDescriptor(2 ** 20)),
    (error: { errno?: number }) => error.errno === 2,
  );
});
