import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floatRepr, stringRepr, valueRepr } from '../../../../src/checkpoint/pickle/python-repr.ts';
import { PyBytes, PyFloat, PyTuple } from '../../../../src/checkpoint/pickle/values.ts';

/** As Python 3.11 prints them. */
const floats: [value: number, text: string][] = [
  [0.1, '0.1'],
  [1e-5, '1e-05'],
  [0.0001, '0.0001'],
  [123456789.125, '123456789.125'],
  [1e15, '1000000000000000.0'],
  [1e16, '1e+16'],
  [1.5e300, '1.5e+300'],
  [-2.5e-7, '-2.5e-07'],
  [5e-324, '5e-324'],
  [100, '100.0'],
  [-0, '-0.0'],
  [Number.POSITIVE_INFINITY, 'inf'],
  [Number.NaN, 'nan'],
];

for (const [value, text] of floats) {
  test(`the float ${text} is printed as Python prints it`, () => {
    assert.equal(floatRepr(value), text);
  });
}

test('strings choose their quotes as Python does', () => {
  assert.equal(stringRepr('a'), "'a'");
  assert.equal(stringRepr("it's"), '"it\'s"');
  assert.equal(stringRepr(`both ' and "`), `'both \\' and "'`);
  assert.equal(stringRepr('a\n\\\x01é'), "'a\\n\\\\\\x01é'");
});

test('tuples, sizes and bytes are printed as Python does', () => {
  assert.equal(valueRepr(new PyTuple([1])), '(1,)');
  assert.equal(valueRepr(new PyTuple([1, new PyFloat(2), null, true])), '(1, 2.0, None, True)');
  assert.equal(valueRepr(new PyTuple([2, 3], 'torch.Size')), 'torch.Size([2, 3])');
  assert.equal(valueRepr(new PyBytes(Buffer.from([0x61, 0xff]))), "b'a\\xff'");
});
