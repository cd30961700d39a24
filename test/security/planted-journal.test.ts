/** Journals that somebody made who is not a mount: nothing of them reaches the checkpoint but the bytes of its tensors. */
import assert from 'node:assert/strict';
import { mkdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../../src/checkpoint/open.ts';
import { writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { MlfsError } from '../../src/errors.ts';
import { crc32 } from '../../src/storage/crc32.ts';
import { crc32c } from '../../src/storage/crc32c.ts';
import { Edits } from '../../src/storage/edits.ts';
import type { Medium } from '../../src/storage/medium.ts';
import { StateDirectory } from '../../src/storage/state-directory.ts';
import { UnmountedCheckpoint } from '../../src/targets/unmounted-checkpoint.ts';
import { WritableCheckpoint } from '../../src/targets/writable-checkpoint.ts';
import { changedMedium } from '../support/changed-medium.ts';
import { identityOfZip, noteFor, type PlantedRecord, plantJournal } from '../support/journal-builder.ts';
import { run } from '../support/run.ts';
import { temporaryDirectory } from '../support/tmp.ts';

const CONTENT = Buffer.alloc(4096, 1);

interface Planted {
  readonly folder: string;
  readonly path: string;
  readonly bytes: Buffer;
  /** Of the tensor's bytes. */
  readonly tensorAt: number;
}

async function sample(t: TestContext): Promise<Planted> {
  const folder = await temporaryDirectory(t);
  const path = join(folder, 'model.pt');
  await writeTorchZip(path, {
    tensors: [{ name: 'weight', dtype: 'float32', shape: [1024], fill: CONTENT }],
  });
  const bytes = await readFile(path);
  const checkpoint = await openCheckpoint(path);
  const [storage] = [...checkpoint.storages.values()];
  await checkpoint.close();
  assert.ok(storage?.bytes.kind === 'extent');
  return { folder, path, bytes, tensorAt: storage.bytes.offset };
}

const write = (offset: number, bytes: Uint8Array): PlantedRecord => ({ kind: 'write', offset, bytes });
const commit = (note: string): PlantedRecord => ({ kind: 'commit', note });

/** Opens for writing, as a mount does, and closes again. */
async function openOnce(path: string): Promise<{ finished: boolean; dirty: number }> {
  const opened = await WritableCheckpoint.open(path);
  const found = { finished: opened.finishedCommit, dirty: opened.edits.status.dirtyBytes };
  await opened.close();
  return found;
}

async function refused(path: string): Promise<MlfsError> {
  const error = await openOnce(path).then(
    () => assert.fail('the journal was accepted'),
    (cause: unknown) => cause,
  );
  assert.ok(error instanceof MlfsError, String(error));
  assert.equal(error.code, 'ERR_MLFS_RECOVERY', error.message);
  assert.match(`${error.advice}`, /mlfs discard|version of mlfs/);
  return error;
}

/** Where nothing but a tensor may be written: a name in the header, the pickle, a local header, the central directory, the end record. */
function forbiddenPlaces({ bytes, tensorAt }: Planted): [what: string, offset: number][] {
  return [
    ['the first header', 0],
    ['the pickle', bytes.indexOf('weight')],
    ["the tensor's own header", tensorAt - 1],
    ['what follows the tensor', tensorAt + CONTENT.length],
    ['the central directory', bytes.indexOf('PK\x01\x02') + 20],
    ['the end record', bytes.length - 1],
    ['the end of the file', bytes.length],
    ['far beyond it', 2 ** 40],
  ];
}

test('edits that lie anywhere but in a tensor are refused as a whole, and the file stays as it is', async (t) => {
  const planted = await sample(t);
  const { path, bytes, tensorAt } = planted;
  for (const [what, offset] of forbiddenPlaces(planted)) {
    await plantJournal(path, [write(tensorAt, Buffer.from([9])), write(offset, Buffer.from([0x5b]))]);
    await refused(path);
    assert.deepEqual(await readFile(path), bytes, what);
  }
  const report = await new UnmountedCheckpoint(path, {}).discard();
  assert.ok(report.bytes > 0);
  assert.deepEqual(await openOnce(path), { finished: false, dirty: 0 });
});

test('a commit mark writes nothing anywhere but in a tensor, not even its tensor then', async (t) => {
  const planted = await sample(t);
  const { path, bytes, tensorAt } = planted;
  for (const [what, offset] of forbiddenPlaces(planted)) {
    for (const fields of [{}, { identity: [], structure: '00000000' }]) {
      await plantJournal(path, [
        write(tensorAt, Buffer.from([9])),
        write(offset, Buffer.from([0x5b])),
        commit(await noteFor(path, fields)),
      ]);
      await refused(path);
      assert.deepEqual(await readFile(path), bytes, what);
    }
  }
});

test('a commit mark that does not say which file it is for is refused', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  await plantJournal(path, [
    write(tensorAt, Buffer.from('evil')),
    commit(await noteFor(path, { identity: [], structure: '00000000' })),
  ]);
  await refused(path);
  assert.deepEqual(await readFile(path), bytes);
});

test('a commit mark puts checksums only where those of its own entries are', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const pickle = bytes.indexOf('weight');
  const { offset } = await identityOfZip(path);
  for (const field of [0, pickle, tensorAt, offset + 16, bytes.length - 4]) {
    const changed = Buffer.from(bytes);
    changed.writeUInt32LE(0xdeadbeef, field);
    const structure = crc32c(changed.subarray(offset)).toString(16).padStart(8, '0');
    await plantJournal(path, [
      write(tensorAt, Buffer.from([9])),
      commit(await noteFor(path, { structure, checksums: [[field, 0xdeadbeef]] })),
    ]);
    await refused(path);
    assert.deepEqual(await readFile(path), bytes, `checksum at ${field}`);
  }
});

test('a commit that was interrupted anywhere is finished, however much of it is in the file already', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const change = Buffer.from('a commit that was cut short');
  const expected = Buffer.from(bytes);
  change.copy(expected, tensorAt);
  const old = crc32(CONTENT);
  const crc = crc32(expected.subarray(tensorAt, tensorAt + CONTENT.length));
  const fields: number[] = [];
  const pattern = Buffer.alloc(4);
  pattern.writeUInt32LE(old);
  for (let at = bytes.indexOf(pattern); at >= 0; at = bytes.indexOf(pattern, at + 1)) fields.push(at);
  assert.equal(fields.length, 2, 'the descriptor and the central directory');
  for (const field of fields) expected.writeUInt32LE(crc, field);
  const { offset } = await identityOfZip(path);
  const structure = crc32c(expected.subarray(offset)).toString(16).padStart(8, '0');
  const note = await noteFor(path, { structure, checksums: fields.map((field) => [field, crc]) });
  for (const done of [[], [fields[0]], [fields[1]], fields]) {
    const half = Buffer.from(bytes);
    change.copy(half, tensorAt, 0, done.length * 10);
    for (const field of done as number[]) half.writeUInt32LE(crc, field);
    await writeFile(path, bytes);
    await plantJournal(path, [write(tensorAt, change), commit(note)]);
    await writeFile(path, half);
    assert.deepEqual(await openOnce(path), { finished: true, dirty: 0 });
    assert.deepEqual(await readFile(path), expected);
    await assert.rejects(stat(`${path}.mlfs`), { code: 'ENOENT' });
  }
});

test('a commit note that no mlfs writes is one typed error, and the file keeps its size', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const notes = [
    'null',
    '[]',
    '"text"',
    '{',
    '',
    '{}',
    '{"version":1}',
    '{"version":"1"}',
    '{"version":2}',
    ...(await Promise.all(
      [
        { size: -1 },
        { size: 1.5 },
        { size: '100' },
        { size: 2 ** 60 },
        { size: null },
        { identity: null },
        { identity: [[0]] },
        { identity: [[0, 2 ** 52]] },
        { identity: [[-5, 2]] },
        { identity: { length: 1 } },
        { identity: [null] },
        { structure: 5 },
        { structure: 'zzzzzzzz' },
        { checksums: null },
        { checksums: [[10 ** 9, 5]] },
        { checksums: [[bytes.length - 2, 5]] },
        { checksums: [[4, 2 ** 32]] },
        { checksums: [[4, -1]] },
        { checksums: [['4', 1]] },
        { checksums: [[NaN, 1]] },
      ].map((fields) => noteFor(path, fields)),
    )),
  ];
  for (const note of notes) {
    await plantJournal(path, [write(tensorAt, Buffer.from('evil')), commit(note)]);
    await refused(path);
    assert.deepEqual(await readFile(path), bytes, note);
  }
});

test('a base.json that no mlfs writes is one typed error that does not repeat what it holds', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const records = [write(tensorAt, Buffer.from('evil'))];
  const texts = [
    'null',
    '[]',
    '{',
    'root:$6$secrethash',
    '{"version":3}',
    '{"version":2}',
    `"${'x'.repeat(100_000)}"`,
  ];
  for (const baseText of texts) {
    await plantJournal(path, records, { baseText });
    const { message } = await refused(path);
    assert.doesNotMatch(message, /secrethash/);
  }
  for (const base of [
    { size: -1 },
    { ino: 7 },
    { mtimeNs: '1e3' },
    { structure: 'UPPER---' },
    { uid: '0' },
    { uid: -1 },
    { dev: null },
  ]) {
    await plantJournal(path, records, { base });
    await refused(path);
  }
  assert.deepEqual(await readFile(path), bytes);
});

test('a journal that another user made is not replayed, committed or not; discard drops it', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const uid = (process.geteuid?.() ?? 0) + 1000;
  for (const records of [
    [write(tensorAt, Buffer.from('evil'))],
    [write(tensorAt, Buffer.from('evil')), commit(await noteFor(path))],
  ]) {
    await plantJournal(path, records, { base: { uid } });
    const { message } = await refused(path);
    assert.match(message, new RegExp(`user ${uid}`));
    assert.deepEqual(await readFile(path), bytes);
    await new UnmountedCheckpoint(path, {}).discard();
    assert.deepEqual(await openOnce(path), { finished: false, dirty: 0 });
  }
});

test('edits that version 1 of base.json names are brought back', async (t) => {
  const { path, tensorAt } = await sample(t);
  const { structure } = await identityOfZip(path);
  const { ino, size, mtimeNs } = await stat(path, { bigint: true });
  const baseText = JSON.stringify({
    version: 1,
    path,
    size: Number(size),
    ino: String(ino),
    mtimeNs: String(mtimeNs),
    structure,
  });
  await plantJournal(path, [write(tensorAt, Buffer.from('kept'))], { baseText });
  assert.deepEqual(await openOnce(path), { finished: false, dirty: 4 });
});

test('a dry run, status and a read-only look leave an interrupted commit as it is, and say so', async (t) => {
  const { path, bytes, tensorAt } = await sample(t);
  const directory = await plantJournal(path, [
    write(tensorAt, Buffer.from([1, 1, 1, 1])),
    commit(await noteFor(path)),
  ]);
  const log = join(directory, 'journal', '000001.log');
  const journal = await readFile(log);
  const before = await stat(path, { bigint: true });
  const notices: string[] = [];
  const edits = new UnmountedCheckpoint(path, { onNotice: (message) => notices.push(message) });
  const report = await edits.commit({ dryRun: true });
  assert.equal(report.bytes, 4);
  await edits.commit({ dryRun: true, to: join(directory, '..', 'new.pt') });
  assert.equal(notices.filter((message) => /was interrupted/.test(message)).length, 2, notices.join('\n'));
  assert.equal((await edits.status()).unfinished_commit, true);
  assert.deepEqual(await readFile(path), bytes);
  assert.equal((await stat(path, { bigint: true })).mtimeNs, before.mtimeNs);
  assert.deepEqual(await readFile(log), journal);
  await assert.rejects(stat(join(directory, 'lock')), { code: 'ENOENT' });
});

/** Puts a link to another file in the checkpoint's place as soon as anything is opened for replay. */
function swapping(path: string, victim: string): Medium {
  let swapped = false;
  return changedMedium((folder) => {
    const open = folder.open.bind(folder);
    folder.open = async (name, how) => {
      if (!swapped && name.endsWith('.log')) {
        swapped = true;
        await symlink(victim, `${path}.swap`);
        await rename(`${path}.swap`, path);
      }
      return open(name, how);
    };
  });
}

test('a link that takes the place of the checkpoint during recovery leads nothing to another file', async (t) => {
  const { folder, path, bytes, tensorAt } = await sample(t);
  const victim = join(folder, 'victim');
  await writeFile(victim, bytes);
  await plantJournal(path, [write(tensorAt, Buffer.from('evil')), commit(await noteFor(path))]);
  const checkpoint = await openCheckpoint(path);
  t.after(() => checkpoint.close());
  const medium = swapping(path, victim);
  const state = await StateDirectory.locate(medium, path, { directory: `${path}.mlfs` });
  const edits = await Edits.recover(medium, path, state);
  t.after(() => edits.close());
  assert.equal(edits.interruptedCommit, true);
  const { fileStructure } = await import('../../src/checkpoint/file-structure.ts');
  await assert.rejects(edits.finishInterrupted(checkpoint.image.base, fileStructure(checkpoint)), {
    code: 'ERR_MLFS_STALE',
  });
  assert.deepEqual(await readFile(victim), bytes);
});

const HOOK = fileURLToPath(new URL('../support/swap-after-open.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

for (const command of [
  ['mount', '--foreground'],
  ['commit'],
  ['commit', '--dry-run'],
  ['flush'],
  ['discard'],
]) {
  test(`mlfs ${command.join(' ')} goes by the file that it opened, when its name leads elsewhere a moment later`, async (t) => {
    const { folder, path, bytes, tensorAt } = await sample(t);
    const victim = join(folder, 'victim');
    await writeFile(victim, bytes, { mode: 0o600 });
    await plantJournal(path, [write(tensorAt, Buffer.from('evil')), commit(await noteFor(path))]);
    const mountpoint = join(folder, 'mount');
    await mkdir(mountpoint);
    // Only when something was mounted against expectation.
    t.after(() => run('umount', ['--lazy', mountpoint]));
    // The name would lead to another state directory, too.
    const args = [
      ...command,
      '--state',
      `${path}.mlfs`,
      path,
      ...(command[0] === 'mount' ? [mountpoint] : []),
    ];
    const outcome = await run(
      process.execPath,
      ['--import', import.meta.resolve('tsx'), '--import', HOOK, MAIN, ...args],
      { env: { ...process.env, SWAP_PATH: path, SWAP_VICTIM: victim } },
    );
    assert.match(outcome.stderr, /swapped/);
    if (command[1] !== '--dry-run') assert.match(outcome.stderr, /was replaced by another file/);
    assert.deepEqual(await readFile(victim), bytes, outcome.stderr);
  });
}
