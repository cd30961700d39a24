import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readMessages } from '../../../bench/read-messages.ts';

/** A fuse_in_header as strace -xx shows it. */
function shown(opcode: number, nodeid: bigint): string {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(80, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(nodeid, 16);
  return `"${[...header].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"...`;
}

test('READ messages are told from others, whether strace saw them begin and end in one line or in two', () => {
  const log = [
    `100 read(21, ${shown(15, 7n)}, 1052672) = 80`,
    '101 read(21,  <unfinished ...>',
    `101 <... read resumed>${shown(15, 2n ** 40n)}, 1052672) = 80`,
    `100 read(21, ${shown(14, 7n)}, 1052672) = 48`,
    '100 read(21,  <detached ...>',
    '100 read(21, 0x7f00, 1052672) = -1 EAGAIN (Resource temporarily unavailable)',
    '',
  ].join('\n');
  assert.deepEqual(readMessages(log), [7, 2 ** 40]);
});
