import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NativeRooms } from '../../../../src/fuse/transport/native-rooms.ts';

test('reads that native code counts by number are told by name, and rooms beyond sixteen share the last', () => {
  const rooms = new NativeRooms({ roomOf: (nodeid) => `room ${nodeid % 20}` });
  assert.deepEqual([rooms.numberOf(3), rooms.numberOf(5), rooms.numberOf(23)], [0, 1, 0]);
  for (let nodeid = 0; nodeid < 20; nodeid++) assert.ok(rooms.numberOf(nodeid) < 16);
  assert.equal(rooms.numberOf(19), 15);
  const counted = (bytes: number) => ({ bytes, seconds: bytes / 10, durations: [bytes, 0] });
  const reads = rooms.reads({ bounds: [1], rooms: Array.from({ length: 16 }, (_, at) => counted(at)) });
  assert.equal(reads.size, 16);
  assert.deepEqual(reads.get('room 5'), { bytes: 1, seconds: { bounds: [1], counts: [1, 0], sum: 0.1 } });
});
