/** Checkpoints that claim what no file can be: their view is refused or right, and the kernel has nothing to complain about. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { PyDict } from '../../src/checkpoint/pickle/values.ts';
import { type TensorToWrite, writeTorchZip } from '../../src/checkpoint/torch/writer.ts';
import { erofsImage } from '../../src/kernel-view/erofs-image.ts';
import { LIMITS, selectRanges } from '../../src/kernel-view/select-ranges.ts';
import { atOnce } from '../../src/storage/in-slices.ts';
import { complaints, decided, viewable } from '../support/kernel-view.ts';
import { output, run } from '../support/run.ts';
import { Server } from '../support/served.ts';
import { temporaryDirectory } from '../support/tmp.ts';
import { fileRanges, type Range } from '../unit/kernel-view/images.ts';

const MIB = 2 ** 20;

/** A safetensors file of uint8 tensors at these places of its data, with a hole for the data. */
async function safetensors(
  path: string,
  dataBytes: number,
  tensors: ReadonlyMap<string, readonly [number, number]>,
) {
  const header: Record<string, object> = {};
  for (const [name, [from, to]] of tensors) {
    header[name] = { dtype: 'U8', shape: [to - from], data_offsets: [from, to] };
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = await open(path, 'w');
  await file.write(Buffer.concat([length, Buffer.from(text)]));
  await file.truncate(8 + text.length + dataBytes);
  await file.close();
}

test(
  'what a hostile checkpoint claims is refused or served, and the kernel does not complain',
  viewable('dmesg'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const before = await complaints();
    const server = await Server.start();
    t.after(() => server.stop());
    const claims: Record<string, [number, Map<string, [number, number]>]> = {
      empty: [
        4 * MIB,
        new Map([
          ['a', [0, 4 * MIB]],
          ['b', [4 * MIB, 4 * MIB]],
        ]),
      ],
      overlapping: [
        4 * MIB,
        new Map([
          ['a', [0, 3 * MIB]],
          ['b', [MIB, 4 * MIB]],
        ]),
      ],
      huge: [4 * MIB, new Map([['a', [0, Number.MAX_SAFE_INTEGER]]])],
      beyond: [4 * MIB, new Map([['a', [0, 4 * MIB + 1]]])],
      odd: [
        8 * MIB + 7,
        new Map([
          ['a', [0, MIB * 5 + 1]],
          ['b', [MIB * 5 + 1, 8 * MIB + 7]],
        ]),
      ],
    };
    for (const [name, [bytes, tensors]] of Object.entries(claims)) {
      const path = join(folder, `${name}.safetensors`);
      await safetensors(path, bytes, tensors);
      const mounted = await server
        .mount(path, { transport: 'kernel', readOnly: true })
        .catch((refusal: Error) => refusal);
      if (mounted instanceof Error) continue;
      await decided(mounted.path);
      await run('sh', ['-c', 'cat "$1"/model/*.bin | cmp - /dev/zero', 'sh', mounted.path]);
      await output('cmp', [path, join(mounted.path, 'export/model.safetensors')]);
      await server.unmount(mounted.path);
    }
    assert.deepEqual((await complaints()).slice(before.length), []);
  },
);

test(
  'ranges that overlap in every way, and a thousand that reach the end, make an image that the kernel takes',
  viewable('dmesg'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const before = await complaints();
    const path = join(folder, 'file');
    const fileBytes = 2 * MIB + 13;
    const file = Buffer.alloc(fileBytes, 'not all the same. ');
    writeFileSync(path, file);
    const ranges: Range[] = [];
    for (let i = 0; i < 1000; i++) {
      const offset = (i * 7919) % MIB;
      ranges.push([i * 5 + 2, offset, fileBytes - offset - (i % 3)]);
    }
    ranges.push(
      [10_000, 2 ** 62, 5],
      [10_001, 5, 2 ** 62],
      [10_002, fileBytes, 0],
      [10_003, fileBytes - 1, 2],
    );
    const selected = atOnce(
      selectRanges(fileRanges(ranges), fileBytes, { ...LIMITS, leastFileBytes: 1, endBytes: 100 * MIB }),
    );
    assert.ok(selected.nodeids.length > 50);
    assert.ok(selected.nodeids.every((nodeid) => nodeid < 10_000));
    const { bytes, copies, begins } = atOnce(erofsImage(selected, fileBytes));
    const { loadNative } = await import('../../src/storage/native.ts');
    const descriptor = openSync(path, 'r');
    const root = await loadNative()?.mountView(descriptor, fileBytes, bytes, copies, begins);
    closeSync(descriptor);
    assert.ok(root !== undefined);
    try {
      for (let i = 0; i < selected.nodeids.length; i += 13) {
        const name = (selected.nodeids[i] as number).toString(16).padStart(8, '0');
        const read = execFileSync('cat', [`/proc/${process.pid}/fd/${root}/${name}`], { maxBuffer: 4 * MIB });
        const offset = selected.offsets[i] as number;
        assert.ok(read.equals(file.subarray(offset, offset + (selected.lengths[i] as number))), name);
      }
    } finally {
      closeSync(root);
    }
    assert.deepEqual((await complaints()).slice(before.length), []);
  },
);

/** A .pt with one storage, which is a hole but for the last bytes, and 8,000 tensors that are views of it up to its end. */
async function viewsToTheEnd(path: string, nbytes: number, end: Buffer): Promise<void> {
  const fill = { ranges: [{ offset: nbytes - end.length, bytes: end }] };
  const storage = { type: 'storage', dtype: 'uint8', nbytes, fill } as const;
  const root = new PyDict();
  for (let i = 0; i < 8000; i++) {
    const view: TensorToWrite = {
      type: 'tensor',
      dtype: 'uint8',
      shape: [nbytes - i * 512],
      storage,
      storageOffset: i * 512,
    };
    root.set(`t${i}`, view);
  }
  await writeTorchZip(path, { root });
}

test(
  'a .pt with 8,000 tensors that reach its end has a small view, and the server stays small',
  viewable('dmesg'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const before = await complaints();
    const end = randomBytes(5000);
    const expected = join(folder, 'end');
    writeFileSync(expected, end);
    for (const nbytes of [256 * MIB, 2 ** 40]) {
      const path = join(folder, `views-${nbytes}.pt`);
      await viewsToTheEnd(path, nbytes, end);
      const server = await Server.start();
      t.after(() => server.stop());
      const plain = await server.mount(path, { transport: 'kernel', readOnly: true, kernelView: 'off' });
      await server.unmount(plain.path);
      const memory = await server.memory('VmHWM');
      const { path: mount } = await server.mount(path, { transport: 'kernel', readOnly: true });
      const { kernel_view: view } = await decided(mount);
      assert.equal(view.state, 'in use', view.reason ?? '');
      assert.ok(view.files > 1 && view.files < 1500, `${view.files} files`);
      const grown = (await server.memory('VmHWM')) - memory;
      assert.ok(grown < 150 * MIB, `${grown} bytes`);
      for (const tensor of ['t0', 't1', 't7999']) {
        const tail = `tail -c 5000 "$1" | cmp - "$2"`;
        await output('sh', ['-c', tail, 'sh', join(mount, `model/${tensor}.bin`), expected]);
      }
      await server.unmount(mount);
      await server.stop();
    }
    assert.deepEqual((await complaints()).slice(before.length), []);
  },
);

test(
  '130,000 names of 250 bytes, of tensors of 1 MiB, are served from the view, whose names are numbers',
  viewable('dmesg'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const before = await complaints();
    const path = join(folder, 'many.safetensors');
    const tensors = new Map<string, [number, number]>();
    for (let i = 0; i < 130_000; i++)
      tensors.set(`${'n'.repeat(240)}${String(i).padStart(10, '0')}`, [i * MIB, (i + 1) * MIB]);
    await safetensors(path, 130_000 * MIB, tensors);
    const server = await Server.start();
    t.after(() => server.stop());
    const { path: mount } = await server.mount(path, { transport: 'kernel', readOnly: true });
    const { kernel_view: view } = await decided(mount);
    assert.equal(view.state, 'in use');
    const last = `${'n'.repeat(240)}${String(129_999).padStart(10, '0')}.bin`;
    assert.equal(view.files, 130_001, 'all of them and the exported file');
    await output('cmp', ['--bytes', String(MIB), join(mount, 'model', last), '/dev/zero']);
    assert.ok(statSync(path).size > 130_000 * 300);
    await server.unmount(mount);
    assert.deepEqual((await complaints()).slice(before.length), []);
  },
);

test(
  'without descriptors left, attaching is refused with a sentence and leaves no device',
  viewable('losetup', 'prlimit'),
  async (t) => {
    const folder = await temporaryDirectory(t);
    const path = join(folder, 'file');
    writeFileSync(path, Buffer.alloc(300_000));
    const program = `
    const { loadNative } = await import('${new URL('../../src/storage/native.ts', import.meta.url)}');
    const { imageOf } = await import('${new URL('../unit/kernel-view/images.ts', import.meta.url)}');
    const { openSync } = await import('node:fs');
    const ranges = Array.from({ length: 64 }, (_, i) => [i + 2, i * 8, 1000]);
    const { bytes, copies, begins } = imageOf(ranges, 300000);
    const file = openSync(process.argv[1], 'r');
    for (let i = 0; i < 400; i++) try { openSync('/dev/null') } catch { break }
    await loadNative().mountView(file, 300000, bytes, copies, begins).then(() => console.log('mounted'), (e) => console.log(e.message, e.errno));
  `;
    const outcome = await run('prlimit', [
      ...[
        '--nofile=440',
        process.execPath,
        '--import',
        import.meta.resolve('tsx'),
        '--input-type=module',
        '-e',
        program,
        path,
      ],
    ]);
    assert.match(outcome.stdout, /: Too many open files 24\n$/, outcome.stderr);
    assert.equal(
      (await output('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])).includes(path),
      false,
    );
  },
);
