import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MlfsError } from '../../src/errors.ts';
import { crashStates } from './crash-states.ts';
import { SeededRandom } from './seeded-random.ts';
import { SimulatedMedium } from './simulated-medium.ts';

/** What files can hold after a power loss, each state as `name=text …`. */
function statesOf(medium: SimulatedMedium, limit = 10_000): string[] {
  const states: string[] = [];
  for (const state of crashStates(medium, { limit, random: new SeededRandom(1) })) {
    const files = [...state.files()].filter(([, bytes]) => bytes !== undefined);
    states.push(files.map(([path, bytes]) => `${path}=${shown(bytes as Buffer)}`).join(' '));
  }
  return states.sort();
}

/** Runs of one byte as that byte and how often. */
function shown(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replaceAll('\0', '0')
    .replace(/(.)\1+/g, (run, byte) => `${byte}${run.length}`);
}

const text = (bytes: string) => [Buffer.from(bytes)];

test('what was written is read at once, and is gone after a power loss unless it was synced', async () => {
  const medium = SimulatedMedium.holding({ '/d/f': Buffer.from('old') });
  const file = await medium.open('/d/f', 'write');
  await file.write(0, text('new'));
  assert.equal((await file.read(0, 3)).toString(), 'new');
  assert.deepEqual(statesOf(medium), ['/d/f=new', '/d/f=old']);
  await file.sync();
  assert.deepEqual(statesOf(medium), ['/d/f=new']);
});

test('a write is torn at any sector, and the size may grow without the bytes', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.alloc(0) });
  const file = await medium.open('/f', 'write');
  await file.write(0, text('a'.repeat(1024)));
  assert.deepEqual(statesOf(medium), [
    '/f=',
    '/f=01024',
    '/f=0512a512',
    '/f=a1024',
    '/f=a512',
    '/f=a5120512',
  ]);
});

test('the sectors of a write are those of the file', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.alloc(1024, 'o') });
  const file = await medium.open('/f', 'write');
  await file.write(500, text('n'.repeat(24)));
  assert.deepEqual(statesOf(medium), ['/f=o1024', '/f=o500n12o512', '/f=o500n24o500', '/f=o512n12o500']);
});

test('a later write may survive an earlier one', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('xy') });
  const file = await medium.open('/f', 'write');
  await file.write(0, text('1'));
  await file.write(1, text('2'));
  assert.deepEqual(statesOf(medium), ['/f=12', '/f=1y', '/f=x2', '/f=xy']);
});

test('a truncation is there or not', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('abcd') });
  await (await medium.open('/f', 'write')).truncate(2);
  assert.deepEqual(statesOf(medium), ['/f=ab', '/f=abcd']);
});

test('a new name is durable with its folder, and its bytes are not', async () => {
  const medium = SimulatedMedium.holding({ '/d/f': Buffer.from('f') });
  const file = await medium.open('/d/new', 'create');
  await file.write(0, text('n'));
  await file.sync();
  assert.deepEqual(statesOf(medium), ['/d/f=f', '/d/f=f /d/new=n']);
  await file.write(0, text('m'));
  await medium.syncDirectory('/d');
  assert.deepEqual(statesOf(medium), ['/d/f=f /d/new=m', '/d/f=f /d/new=n']);
});

test('names of one folder survive in any order, changes of one name in theirs', async () => {
  const medium = SimulatedMedium.holding({ '/1': Buffer.from('1'), '/2': Buffer.from('2') });
  await medium.remove('/1');
  await medium.remove('/2');
  assert.deepEqual(statesOf(medium), ['', '/1=1', '/1=1 /2=2', '/2=2']);
  await medium.open('/1', 'create');
  assert.deepEqual(statesOf(medium), ['', '/1=', '/1= /2=2', '/1=1', '/1=1 /2=2', '/2=2']);
});

test('a rename is whole: neither name is lost, and what it replaces goes with it', async () => {
  const medium = SimulatedMedium.holding({ '/new': Buffer.from('n'), '/old': Buffer.from('o') });
  await medium.rename('/new', '/old');
  assert.deepEqual(statesOf(medium), ['/new=n /old=o', '/old=n']);
});

test('syncing a folder makes its names durable, and not those of the folder above', async () => {
  const medium = new SimulatedMedium();
  await medium.makeDirectory('/d');
  await medium.open('/d/f', 'create');
  await medium.syncDirectory('/d');
  assert.deepEqual(statesOf(medium), ['', '/d/f=']);
  await medium.syncDirectory('/');
  assert.deepEqual(statesOf(medium), ['/d/f=']);
});

test('a sync that failed makes nothing durable, and a later one only what came after', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('xy') });
  const file = await medium.open('/f', 'write');
  await file.write(0, text('1'));
  medium.fate = ({ kind }) => (kind === 'sync' ? { errno: 'EIO' } : 'done');
  await assert.rejects(file.sync(), { code: 'ERR_MLFS_IO', errno: 'EIO' });
  medium.fate = () => 'done';
  await file.sync();
  assert.deepEqual(statesOf(medium), ['/f=1y', '/f=xy']);
  await file.write(1, text('2'));
  await file.sync();
  assert.deepEqual(statesOf(medium), ['/f=12', '/f=x2']);
  assert.equal((await file.read(0, 2)).toString(), '12');
});

test('a sync that failed may take the bytes away', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('x') });
  medium.forgetsAfterFailedSync = true;
  const file = await medium.open('/f', 'write');
  await file.write(0, text('12'));
  medium.fate = ({ kind }) => (kind === 'sync' ? { errno: 'EIO' } : 'done');
  await assert.rejects(file.sync());
  assert.equal((await file.read(0, 2)).toString(), 'x\0');
});

test('the power goes at a call: that call and all after it throw, reads too', async () => {
  for (const when of ['power loss before', 'power loss during'] as const) {
    const medium = SimulatedMedium.holding({ '/f': Buffer.from('old.') });
    const file = await medium.open('/f', 'write');
    medium.fate = ({ number }) => (number === 2 ? when : 'done');
    await file.write(0, text('1'));
    await assert.rejects(file.write(1, text('23')), /power/);
    await assert.rejects(file.read(0, 1), /power/);
    await assert.rejects(medium.open('/g', 'create'), /power/);
    assert.equal(medium.powerless, true);
    const torn = ['/f=12d.', '/f=o2d.'];
    assert.deepEqual(
      statesOf(medium),
      [...(when === 'power loss during' ? torn : []), '/f=1ld.', '/f=old.'].sort(),
    );
  }
});

test('a write that fails may have written a part, and the errno is told', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('....') });
  const file = await medium.open('/f', 'write');
  medium.fate = () => ({ errno: 'ENOSPC' });
  await assert.rejects(file.write(0, text('1234')), (error: MlfsError) => error.errno === 'ENOSPC');
  assert.equal((await file.read(0, 4)).toString(), '12..');
});

test('it refuses what a file system refuses', async () => {
  const medium = SimulatedMedium.holding({ '/d/f': Buffer.from('f') });
  await assert.rejects(medium.open('/d/g', 'read'), { code: 'ERR_MLFS_NOT_FOUND' });
  await assert.rejects(medium.open('/d/f', 'create'), { errno: 'EEXIST' });
  await assert.rejects(medium.remove('/d'), { errno: 'ENOTEMPTY' });
  const file = await medium.open('/d/f', 'read');
  await assert.rejects(file.read(0, 2), { code: 'ERR_MLFS_TRUNCATED' });
  await assert.rejects(file.write(0, text('x')), { code: 'ERR_MLFS_ACCESS' });
  assert.deepEqual(await medium.list('/nowhere'), []);
});

test('too many states are sampled, the same ones for the same seed', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.alloc(0) });
  const file = await medium.open('/f', 'write');
  for (let at = 0; at < 20; at++)
    await file.write(at * 1024, text(String.fromCharCode(97 + at).repeat(1024)));
  const states = statesOf(medium, 200);
  assert.equal(new Set(states).size, 200);
  assert.deepEqual(states, statesOf(medium, 200));
});

test('a copy has the same bytes, names and doubts, and goes its own way', async () => {
  const medium = SimulatedMedium.holding({ '/f': Buffer.from('x') });
  const file = await medium.open('/f', 'write');
  await file.write(0, text('y'));
  await medium.rename('/f', '/g');
  const copy = medium.copy();
  assert.deepEqual(statesOf(copy), statesOf(medium));
  await (await copy.open('/g', 'write')).sync();
  await copy.syncDirectory('/');
  assert.deepEqual(statesOf(copy), ['/g=y']);
  assert.deepEqual(statesOf(medium), ['/f=x', '/f=y', '/g=x', '/g=y']);
});
