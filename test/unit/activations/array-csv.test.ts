import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrayCsv, MOST_ELEMENTS } from '../../../src/activations/array-csv.ts';

/** A numpy file in memory. */
function npy(descr: string, shape: string, elements: Uint8Array, order = 'False'): Buffer {
  const text = Buffer.from(`{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }\n`);
  const lead = Buffer.alloc(10);
  lead.write('\x93NUMPY\x01\x00', 'latin1');
  lead.writeUInt16LE(text.length, 8);
  return Buffer.concat([lead, text, elements]);
}

async function csv(file: Buffer): Promise<string> {
  const pieces: Uint8Array[] = [];
  let most = 0;
  const read = async (offset: number, length: number) => {
    most = Math.max(most, length);
    return file.subarray(offset, offset + length);
  };
  for await (const piece of arrayCsv('x.npy', file.length, read)) pieces.push(piece);
  assert.ok(most <= 16 * MOST_ELEMENTS, 'reads are bounded');
  return Buffer.concat(pieces).toString();
}

const bytesOf = (array: { buffer: ArrayBufferLike }) => new Uint8Array(array.buffer);
const floats = (count: number) => bytesOf(Float32Array.from({ length: count }, (_, index) => index));

test('a vector is a value a line, and so is a single number', async () => {
  assert.equal(await csv(npy('<f4', '(3,)', floats(3))), '0\n1\n2\n');
  assert.equal(await csv(npy('<f4', '()', floats(1))), '0\n');
});

test('a matrix is a row a line, and so is each row of what has more dimensions', async () => {
  assert.equal(await csv(npy('<f4', '(2, 3)', floats(6))), '0,1,2\n3,4,5\n');
  assert.equal(await csv(npy('<f4', '(2, 2, 2)', floats(8))), '0,1\n2,3\n4,5\n6,7\n');
});

test('nothing is nothing', async () => {
  assert.equal(await csv(npy('<f4', '(0,)', floats(0))), '');
  assert.equal(await csv(npy('<f4', '(4, 0)', floats(0))), '');
});

test('bytes in the other order are turned', async () => {
  const one = Buffer.alloc(8);
  one.writeFloatBE(1.5, 0);
  one.writeFloatBE(-2, 4);
  assert.equal(await csv(npy('>f4', '(2,)', one)), '1.5\n-2\n');
});

test('an array in Fortran’s order has its rows in lines', async () => {
  // [[0, 2, 4], [1, 3, 5]] as it lies in memory.
  assert.equal(await csv(npy('<f4', '(2, 3)', floats(6), 'True')), '0,2,4\n1,3,5\n');
  assert.equal(await csv(npy('<f4', '(2, 2, 2)', floats(8), 'True')), '0,4\n2,6\n1,5\n3,7\n');
});

test('an array in Fortran’s order of more than one slice has its rows in lines', async () => {
  const [rows, columns] = [300, 1000];
  const elements = new Int32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) elements[column * rows + row] = row * columns + column;
  }
  const text = await csv(npy('<i4', `(${rows}, ${columns})`, bytesOf(elements), 'True'));
  assert.deepEqual(text.trim().split(/[,\n]/).map(Number), Array.from(elements.keys()));
});

test('of a large array the first rows are shown, and how many elements are missing', async () => {
  const count = MOST_ELEMENTS + 2_000;
  const text = await csv(npy('|u1', `(${count / 1000}, 1000)`, new Uint8Array(count).fill(7)));
  const lines = text.split('\n');
  assert.equal(lines.length, 1000 + 2);
  assert.equal(lines[999]?.split(',').length, 1000);
  assert.equal(lines[1000], `# x.npy: 2000 of ${count} elements are not shown`);
});

test('of a row that is too long the beginning is shown', async () => {
  const count = MOST_ELEMENTS + 5;
  const [row = '', note] = (await csv(npy('|u1', `(1, ${count})`, new Uint8Array(count)))).split('\n');
  assert.equal(row.split(',').length, MOST_ELEMENTS);
  assert.equal(note, `# x.npy: 5 of ${count} elements are not shown`);
});

test('what cannot be shown says why', async () => {
  assert.match(
    await csv(Buffer.from('hello')),
    /^# x\.npy is not a \.npy file: it does not begin with \\x93NUMPY\n$/,
  );
  assert.match(await csv(npy('|O', '(1,)', floats(2))), /^# x\.npy holds pickled Python objects, which/);
  assert.match(
    await csv(npy('<f4', '(4,)', floats(3))),
    /^# x\.npy has 12 of the 16 bytes of its elements\n$/,
  );
});
