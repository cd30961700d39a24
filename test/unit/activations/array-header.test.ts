import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrayHeader } from '../../../src/activations/array-header.ts';
import { NPY_HEADER_BYTES, NpyRefusal } from '../../../src/numbers/npy-header.ts';

/** A numpy file's beginning with this literal in its header. */
function header(literal: string, major = 1): Buffer {
  const text = Buffer.from(`${literal}\n`);
  const lead = Buffer.alloc(major === 1 ? 10 : 12);
  lead.write('\x93NUMPY', 'latin1');
  lead[6] = major;
  if (major === 1) lead.writeUInt16LE(text.length, 8);
  else lead.writeUInt32LE(text.length, 8);
  return Buffer.concat([lead, text]);
}

const literal = (descr: string, order = 'False', shape = '(2, 3)') =>
  `{'descr': ${descr}, 'fortran_order': ${order}, 'shape': ${shape}, }`;

function refused(start: Buffer, reason: RegExp): void {
  assert.throws(
    () => arrayHeader(start),
    (cause) => cause instanceof NpyRefusal && reason.test(cause.message),
  );
}

test('a header says type, order, shape and where the elements begin', () => {
  for (const major of [1, 2, 3]) {
    const start = header(literal("'<f4'"), major);
    assert.deepEqual(arrayHeader(start), {
      dtype: 'float32',
      bigEndian: false,
      shape: [2, 3],
      fortranOrder: false,
      dataOffset: start.length,
      count: 6,
    });
  }
});

test('every type of numpy that torch has is known', () => {
  const types = {
    "'|b1'": 'bool',
    "'|u1'": 'uint8',
    "'<u2'": 'uint16',
    "'<u4'": 'uint32',
    "'<u8'": 'uint64',
    "'|i1'": 'int8',
    "'<i2'": 'int16',
    "'<i4'": 'int32',
    "'<i8'": 'int64',
    "'<f2'": 'float16',
    "'<f8'": 'float64',
    "'<c8'": 'complex64',
    "'<c16'": 'complex128',
  };
  for (const [descr, dtype] of Object.entries(types)) {
    assert.equal(arrayHeader(header(literal(descr))).dtype, dtype);
  }
});

test('the order of bytes and of dimensions is told', () => {
  const found = arrayHeader(header(literal("'>f8'", 'True', '(5,)')));
  assert.equal(found.bigEndian, true);
  assert.equal(found.fortranOrder, true);
  assert.deepEqual(found.shape, [5]);
  assert.deepEqual(arrayHeader(header(literal("'<f4'", 'False', '()'))).shape, []);
  assert.equal(arrayHeader(header(literal("'<f4'", 'False', '()'))).count, 1);
  assert.equal(arrayHeader(header(literal("'<f4'", 'False', '(0, 7)'))).count, 0);
});

test('pickled objects are refused by name', () => {
  refused(header(literal("'|O'")), /pickled Python objects/);
  refused(header(literal("'O'")), /pickled Python objects/);
});

test('what is not an array of numbers is refused', () => {
  refused(Buffer.from('PK\x03\x04 and so on'), /not a \.npy file/);
  refused(Buffer.alloc(0), /not a \.npy file/);
  refused(header(literal("'<f4'"), 9), /format 9\.0/);
  refused(header(literal("[('a', '<f4')]")), /records/);
  refused(header(literal("'<M8[ns]'")), /'<M8\[ns\]'/);
  refused(header(literal("'|S5'")), /'\|S5'/);
  refused(header(literal("'constructor'")), /constructor/);
  refused(header('print("hello")'), /not a literal/);
  refused(header("{'descr': '<f4'}"), /without descr/);
  refused(header(literal("'<f4'", 'False', '(9999999999, 9999999999)')), /shape/);
});

test('a header that is cut short or too long is refused', () => {
  const whole = header(literal("'<f4'"));
  for (let length = 0; length < whole.length; length++) {
    assert.throws(() => arrayHeader(whole.subarray(0, length)), NpyRefusal);
  }
  const long = header(literal("'<f4'"), 2);
  long.writeUInt32LE(NPY_HEADER_BYTES, 8);
  refused(long, /header of 65536 bytes/);
  long.writeUInt32LE(0xffff_ffff, 8);
  refused(long, /header of 4294967295 bytes/);
});
