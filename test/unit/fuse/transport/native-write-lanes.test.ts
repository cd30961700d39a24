/** What the data plane is told of files that it writes, when other files over the same bytes come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Filesystem } from '../../../../src/fuse/filesystem.ts';
import { NativeWriteLanes } from '../../../../src/fuse/transport/native-write-lanes.ts';
import { PublishedImages } from '../../../../src/fuse/transport/published-images.ts';
import { Image, type ImageBase } from '../../../../src/storage/image.ts';
import type { MediumFile } from '../../../../src/storage/medium.ts';
import type { NativeSession } from '../../../../src/storage/native.ts';

const NODEID = 7;
const HANDLE = 3;

/** A data plane that remembers which grants are alone and which files it has, and has carried out what `taken` says. */
function scene() {
  const alone = new Map<number, boolean>();
  const files = new Set<number>();
  const replies: number[] = [];
  const scene = { alone, files, replies, taken: undefined as Float64Array | undefined, idleAtOnce: true };
  let last = 0;
  const native = {
    addFile: () => {
      files.add(++last);
      return last;
    },
    removeFile: (index: number) => files.delete(index),
    switchOverlay: () => undefined,
    grantWrites: (handle: number, ...rest: readonly unknown[]) => alone.set(handle, rest.at(-1) as boolean),
    revokeWrites: (handle: number) => alone.delete(handle),
    noWritesAlone: () => {
      for (const handle of alone.keys()) alone.set(handle, false);
    },
    writesAlone: (handle: number) => alone.set(handle, true),
    openLane: () => undefined,
    closeLane: () => scene.idleAtOnce,
    takeWrites: () => {
      const { taken } = scene;
      scene.taken = undefined;
      return taken;
    },
    writesApplied: () => undefined,
    removeLane: () => undefined,
    reply: (message: Uint8Array) => replies.push(message.byteLength),
  } as unknown as NativeSession;
  return { native, ...scene, scene };
}

function imageOf(fd: number): Image {
  return new Image({ path: 'memory', size: 1000, fd } as unknown as ImageBase);
}

const inPlace = (image: Image) => ({ image, offset: 0, size: 1000, others: [] });

test('a file is not taken for alone if another one came while its open was under way', async () => {
  const { native, alone } = scene();
  let isAlone = true;
  const filesystem = { isWrittenAlone: () => isAlone } as unknown as Filesystem;
  const lanes = new NativeWriteLanes(native, new PublishedImages(native), filesystem);
  const writes = inPlace(imageOf(10));
  // The kernel gets a reference after the open has found out where the file lies, and before the transport is told.
  isAlone = false;
  lanes.noneAlone();
  lanes.grant(NODEID, HANDLE, writes);
  assert.equal(alone.get(HANDLE), false);
});

test('a written file is not taken for alone if another one came while the write was being settled', async () => {
  const { native, alone, replies } = scene();
  let isAlone = false;
  let settled: () => void = () => undefined;
  const filesystem = {
    isWrittenAlone: () => isAlone,
    settleWritten: () => new Promise<void>((resolve) => (settled = resolve)),
  } as unknown as Filesystem;
  const lanes = new NativeWriteLanes(native, new PublishedImages(native), filesystem);
  lanes.grant(NODEID, HANDLE, inPlace(imageOf(10)));
  isAlone = true;
  lanes.on('written', NODEID, Buffer.alloc(24));
  settled();
  // In the microtasks between the end of the wait and what follows it.
  isAlone = false;
  lanes.noneAlone();
  await setImmediate();
  assert.deepEqual(replies, [24]);
  assert.equal(alone.get(HANDLE), false);
  isAlone = true;
  lanes.on('written', NODEID, Buffer.alloc(24));
  settled();
  await setImmediate();
  assert.equal(alone.get(HANDLE), true);
});

test('a lane keeps its segment while it is open or has writes that were not taken, and not longer', async () => {
  const { native, scene: plane, files } = scene();
  const lanes = new NativeWriteLanes(native, new PublishedImages(native), {} as Filesystem);
  const image = imageOf(10);
  lanes.grant(NODEID, HANDLE, inPlace(image));
  const { lane } = image;
  assert.ok(lane !== undefined);
  const file = { fd: 20 } as unknown as MediumFile;
  const target = { file, place: {}, position: 24, sequence: 1, durable: 0, roomBytes: 1000 };
  lane.open(target);
  lane.take();
  assert.deepEqual([...files], [1, 2]);
  plane.idleAtOnce = false;
  const closed = lane.close();
  lane.take();
  assert.deepEqual([...files], [1, 2], 'a write is still running');
  lanes.on('idle', 1, Buffer.alloc(0));
  await closed;
  plane.taken = Float64Array.of(0, 1, NODEID, 5, 0, 1, 100, 105, 64, 12345);
  assert.equal(lane.take()?.writes.length, 1);
  assert.deepEqual([...files], [1, 2], 'its pieces are not published by JavaScript yet');
  lane.applied();
  assert.deepEqual([...files], [1]);
  lane.open(target);
  assert.deepEqual([...files], [1, 3]);
  plane.idleAtOnce = true;
  await lane.close();
  lane.take();
  assert.deepEqual([...files], [1]);
});
