import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeElement } from '../../../src/checkpoint/element-encoding.ts';
import { DTYPES, type DType } from '../../../src/checkpoint/tensor.ts';

const hex = (text: string, dtype: DType) => encodeElement(text, dtype)?.toString('hex');

/** What torch 2.13 has in memory for `torch.tensor(float(text)).to(dtype)`. */
const TORCH: Readonly<Partial<Record<DType, Readonly<Record<string, string>>>>> = {
  float64: {
    '0.0': '0000000000000000',
    '-0.0': '0000000000000080',
    '1': '000000000000f03f',
    '-1e-3': 'fca9f1d24d6250bf',
    '0.1': '9a9999999999b93f',
    '-2.5': '00000000000004c0',
    '3.14159': '6e861bf0f9210940',
    '448': '0000000000007c40',
    '464': '0000000000007d40',
    '465': '0000000000107d40',
    '240': '0000000000006e40',
    '248': '0000000000006f40',
    '57344': '000000000000ec40',
    '61439': '00000000e0ffed40',
    '61440': '000000000000ee40',
    '65504': '0000000000fcef40',
    '65519': '00000000e0fdef40',
    '65520': '0000000000feef40',
    '1e-45': 'b96a37ad01d69636',
    '6e-8': '2b69a4292b1b703e',
    '2.98e-8': 'db2295935cff5f3e',
    '1e-7': '48afbc9af2d77a3e',
    '1e39': '1d4a9cf487820748',
    inf: '000000000000f07f',
    '-inf': '000000000000f0ff',
    nan: '000000000000f87f',
    '0.00390625': '000000000000703f',
    '0.0009765625': '000000000000503f',
    '0.001953125': '000000000000603f',
    '0.0029296875': '000000000000683f',
    '1.0625': '000000000000f13f',
    '1.1875': '000000000000f33f',
    '17': '0000000000003140',
    '19': '0000000000003340',
    '3e38': '8af221bf3c36ec47',
    '3.4e38': 'addf8cc733f9ef47',
    '1.5': '000000000000f83f',
    '0.75': '000000000000e83f',
    '1e-40': '9c577727266ca137',
    '5.9e-39': 'c404622cb30f0038',
  },
  float32: {
    '0.0': '00000000',
    '-0.0': '00000080',
    '1': '0000803f',
    '-1e-3': '6f1283ba',
    '0.1': 'cdcccc3d',
    '-2.5': '000020c0',
    '3.14159': 'd00f4940',
    '448': '0000e043',
    '464': '0000e843',
    '465': '0080e843',
    '240': '00007043',
    '248': '00007843',
    '57344': '00006047',
    '61439': '00ff6f47',
    '61440': '00007047',
    '65504': '00e07f47',
    '65519': '00ef7f47',
    '65520': '00f07f47',
    '1e-45': '01000000',
    '6e-8': '59d98033',
    '2.98e-8': 'e5faff32',
    '1e-7': '95bfd633',
    '1e39': '0000807f',
    inf: '0000807f',
    '-inf': '000080ff',
    nan: '0000c07f',
    '0.00390625': '0000803b',
    '0.0009765625': '0000803a',
    '0.001953125': '0000003b',
    '0.0029296875': '0000403b',
    '1.0625': '0000883f',
    '1.1875': '0000983f',
    '17': '00008841',
    '19': '00009841',
    '3e38': 'e6b1617f',
    '3.4e38': '9ec97f7f',
    '1.5': '0000c03f',
    '0.75': '0000403f',
    '1e-40': 'c2160100',
    '5.9e-39': 'cd3e4000',
  },
  float16: {
    '0.0': '0000',
    '-0.0': '0080',
    '1': '003c',
    '-1e-3': '1994',
    '0.1': '662e',
    '-2.5': '00c1',
    '3.14159': '4842',
    '448': '005f',
    '464': '405f',
    '465': '445f',
    '240': '805b',
    '248': 'c05b',
    '57344': '007b',
    '61439': '807b',
    '61440': '807b',
    '65504': 'ff7b',
    '65519': 'ff7b',
    '65520': '007c',
    '1e-45': '0000',
    '6e-8': '0100',
    '2.98e-8': '0000',
    '1e-7': '0200',
    '1e39': '007c',
    inf: '007c',
    '-inf': '00fc',
    nan: '007e',
    '0.00390625': '001c',
    '0.0009765625': '0014',
    '0.001953125': '0018',
    '0.0029296875': '001a',
    '1.0625': '403c',
    '1.1875': 'c03c',
    '17': '404c',
    '19': 'c04c',
    '3e38': '007c',
    '3.4e38': '007c',
    '1.5': '003e',
    '0.75': '003a',
    '1e-40': '0000',
    '5.9e-39': '0000',
  },
  bfloat16: {
    '0.0': '0000',
    '-0.0': '0080',
    '1': '803f',
    '-1e-3': '83ba',
    '0.1': 'cd3d',
    '-2.5': '20c0',
    '3.14159': '4940',
    '448': 'e043',
    '464': 'e843',
    '465': 'e843',
    '240': '7043',
    '248': '7843',
    '57344': '6047',
    '61439': '7047',
    '61440': '7047',
    '65504': '8047',
    '65519': '8047',
    '65520': '8047',
    '1e-45': '0000',
    '6e-8': '8133',
    '2.98e-8': '0033',
    '1e-7': 'd733',
    '1e39': '807f',
    inf: '807f',
    '-inf': '80ff',
    nan: 'c07f',
    '0.00390625': '803b',
    '0.0009765625': '803a',
    '0.001953125': '003b',
    '0.0029296875': '403b',
    '1.0625': '883f',
    '1.1875': '983f',
    '17': '8841',
    '19': '9841',
    '3e38': '627f',
    '3.4e38': '807f',
    '1.5': 'c03f',
    '0.75': '403f',
    '1e-40': '0100',
    '5.9e-39': '4000',
  },
  float8_e5m2: {
    '0.0': '00',
    '-0.0': '80',
    '1': '3c',
    '-1e-3': '94',
    '0.1': '2e',
    '-2.5': 'c1',
    '3.14159': '42',
    '448': '5f',
    '464': '5f',
    '465': '5f',
    '240': '5c',
    '248': '5c',
    '57344': '7b',
    '61439': '7b',
    '61440': '7c',
    '65504': '7c',
    '65519': '7c',
    '65520': '7c',
    '1e-45': '00',
    '6e-8': '00',
    '2.98e-8': '00',
    '1e-7': '00',
    '1e39': '7c',
    inf: '7c',
    '-inf': 'fc',
    nan: '7f',
    '0.00390625': '1c',
    '0.0009765625': '14',
    '0.001953125': '18',
    '0.0029296875': '1a',
    '1.0625': '3c',
    '1.1875': '3d',
    '17': '4c',
    '19': '4d',
    '3e38': '7c',
    '3.4e38': '7c',
    '1.5': '3e',
    '0.75': '3a',
    '1e-40': '00',
    '5.9e-39': '00',
  },
  float8_e4m3fn: {
    '0.0': '00',
    '-0.0': '80',
    '1': '38',
    '-1e-3': '81',
    '0.1': '1d',
    '-2.5': 'c2',
    '3.14159': '45',
    '448': '7e',
    '464': '7e',
    '240': '77',
    '248': '78',
    '1e-45': '00',
    '6e-8': '00',
    '2.98e-8': '00',
    '1e-7': '00',
    nan: '7f',
    '0.00390625': '02',
    '0.0009765625': '00',
    '0.001953125': '01',
    '0.0029296875': '02',
    '1.0625': '38',
    '1.1875': '3a',
    '17': '58',
    '19': '5a',
    '1.5': '3c',
    '0.75': '34',
    '1e-40': '00',
    '5.9e-39': '00',
  },
  float8_e4m3fnuz: {
    '0.0': '00',
    '-0.0': '00',
    '1': '40',
    '-1e-3': '81',
    '0.1': '25',
    '-2.5': 'ca',
    '3.14159': '4d',
    '240': '7f',
    '1e-45': '00',
    '6e-8': '00',
    '2.98e-8': '00',
    '1e-7': '00',
    nan: '80',
    '0.00390625': '04',
    '0.0009765625': '01',
    '0.001953125': '02',
    '0.0029296875': '03',
    '1.0625': '40',
    '1.1875': '42',
    '17': '60',
    '19': '62',
    '1.5': '44',
    '0.75': '3c',
    '1e-40': '00',
    '5.9e-39': '00',
  },
  float8_e5m2fnuz: {
    '0.0': '00',
    '-0.0': '00',
    '1': '40',
    '-1e-3': '98',
    '0.1': '32',
    '-2.5': 'c5',
    '3.14159': '46',
    '448': '63',
    '464': '63',
    '465': '63',
    '240': '60',
    '248': '60',
    '57344': '7f',
    '61439': '7f',
    '1e-45': '00',
    '6e-8': '00',
    '2.98e-8': '00',
    '1e-7': '00',
    nan: '80',
    '0.00390625': '20',
    '0.0009765625': '18',
    '0.001953125': '1c',
    '0.0029296875': '1e',
    '1.0625': '40',
    '1.1875': '41',
    '17': '50',
    '19': '51',
    '1.5': '42',
    '0.75': '3e',
    '1e-40': '00',
    '5.9e-39': '00',
  },
  float8_e8m0fnu: {
    '1': '7f',
    '0.1': '7c',
    '3.14159': '81',
    '448': '88',
    '464': '88',
    '465': '88',
    '240': '87',
    '248': '87',
    '57344': '8f',
    '61439': '8f',
    '61440': '8f',
    '65504': '8f',
    '65519': '8f',
    '65520': '8f',
    '6e-8': '67',
    '2.98e-8': '66',
    '1e-7': '68',
    nan: 'ff',
    '0.00390625': '77',
    '0.0009765625': '75',
    '0.001953125': '76',
    '0.0029296875': '77',
    '1.0625': '7f',
    '1.1875': '7f',
    '17': '83',
    '19': '83',
    '1.5': '80',
    '0.75': '7f',
  },
};

for (const [dtype, values] of Object.entries(TORCH)) {
  test(`${dtype} has torch's bytes for a number`, () => {
    const ours = Object.fromEntries(Object.keys(values).map((text) => [text, hex(text, dtype as DType)]));
    assert.deepEqual(ours, values);
  });
}

/** Mantissa bits and bias; what the codes with the highest exponent are is left out by `finite`. */
const SMALL_FLOATS = {
  float8_e4m3fn: { mantissa: 3, bias: 7, finite: (code: number) => code < 0x7f },
  float8_e5m2: { mantissa: 2, bias: 15, finite: (code: number) => code < 0x7c },
  float8_e4m3fnuz: { mantissa: 3, bias: 8, finite: () => true },
  float8_e5m2fnuz: { mantissa: 2, bias: 16, finite: () => true },
} as const;

test('every finite value of the 8-bit floats encodes to its own code, and what lies between to the nearer, ties to even', () => {
  for (const [name, { mantissa, bias, finite }] of Object.entries(SMALL_FLOATS)) {
    const dtype = name as DType;
    const decode = (code: number): number => {
      const exponent = code >> mantissa;
      const fraction = (code & (2 ** mantissa - 1)) / 2 ** mantissa;
      return exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
    };
    const codes = Array.from({ length: 128 }, (_, code) => code).filter(finite);
    const encode = (value: number) => encodeElement(String(value), dtype)?.[0];
    for (const code of codes) {
      assert.equal(encode(decode(code)), code, `${name} ${decode(code)}`);
      if (code > 0) assert.equal(encode(-decode(code)), code + 128);
      if (!codes.includes(code + 1)) continue;
      const middle = (decode(code) + decode(code + 1)) / 2;
      assert.equal(encode(middle), code % 2 === 0 ? code : code + 1, `${name}: the tie ${middle}`);
      assert.equal(encode(middle * (1 - 1e-12)), code);
      assert.equal(encode(middle * (1 + 1e-12)), code + 1);
    }
  }
});

test('what a float type has no value for is no number of it', () => {
  for (const text of ['inf', '-inf', '1e39']) {
    assert.equal(hex(text, 'float8_e4m3fn'), undefined);
    assert.equal(hex(text, 'float8_e5m2fnuz'), undefined);
    assert.equal(hex(text, 'float4_e2m1fn_x2'), undefined);
  }
  assert.equal(hex('nan', 'float4_e2m1fn_x2'), undefined);
  for (const text of ['0', '-1', 'inf', '1e39']) assert.equal(hex(text, 'float8_e8m0fnu'), undefined, text);
  for (const text of ['', 'x', '1,5', '0x10', '1e', '--1', '1 2', 'nan1', 'true', '1j', 'NaN()']) {
    assert.equal(hex(text, 'float32'), undefined, JSON.stringify(text));
  }
});

test('numbers are written as Python prints and reads them', () => {
  for (const text of ['1', ' 1 ', '+1', '1.', '1.0', '1e0', '1E+0', '10e-1', '01']) {
    assert.equal(hex(text, 'float32'), '0000803f', JSON.stringify(text));
  }
  assert.equal(hex('.5', 'float32'), '0000003f');
  assert.equal(hex('Infinity', 'float32'), '0000807f');
  assert.equal(hex('-INF', 'float64'), '000000000000f0ff');
  assert.equal(hex('NaN', 'float64'), '000000000000f87f');
});

test('two elements of float4_e2m1fn_x2 share a byte', () => {
  const codes: Record<string, string> = {
    '0': '00',
    '0.5': '11',
    '-0.5': '99',
    '1': '22',
    '6': '77',
    '-6': 'ff',
  };
  for (const [text, bytes] of Object.entries(codes)) assert.equal(hex(text, 'float4_e2m1fn_x2'), bytes);
  assert.equal(hex('2.5', 'float4_e2m1fn_x2'), '44');
  assert.equal(hex('7', 'float4_e2m1fn_x2'), undefined);
});

test('integers are checked for their range and have no fractions', () => {
  const ranges = [
    ['int8', -(2n ** 7n), 2n ** 7n - 1n],
    ['uint8', 0n, 255n],
    ['int16', -(2n ** 15n), 2n ** 15n - 1n],
    ['uint16', 0n, 2n ** 16n - 1n],
    ['int32', -(2n ** 31n), 2n ** 31n - 1n],
    ['uint32', 0n, 2n ** 32n - 1n],
    ['int64', -(2n ** 63n), 2n ** 63n - 1n],
    ['uint64', 0n, 2n ** 64n - 1n],
    ['qint8', -128n, 127n],
    ['quint8', 0n, 255n],
    ['qint32', -(2n ** 31n), 2n ** 31n - 1n],
  ] as const;
  for (const [dtype, least, greatest] of ranges) {
    const bits = DTYPES[dtype] * 8;
    for (const value of [least, greatest, 1n, 0n]) {
      const bytes = encodeElement(String(value), dtype) ?? assert.fail(`${dtype} ${value}`);
      assert.equal(bytes.length, DTYPES[dtype]);
      const read = BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
      assert.equal(read, BigInt.asUintN(bits, value));
    }
    assert.equal(hex(String(least - 1n), dtype), undefined, `${dtype} ${least - 1n}`);
    assert.equal(hex(String(greatest + 1n), dtype), undefined, `${dtype} ${greatest + 1n}`);
  }
  for (const text of ['0.5', '1e3', 'inf', 'nan', '3 4', '', 'true'])
    assert.equal(hex(text, 'int32'), undefined, text);
  assert.equal(hex('3.0', 'int32'), '03000000');
  assert.equal(hex('-0', 'int64'), '0000000000000000');
});

test('elements that share a byte fill it', () => {
  assert.equal(hex('10', 'quint4x2'), 'aa');
  assert.equal(hex('16', 'quint4x2'), undefined);
  assert.equal(hex('2', 'quint2x4'), 'aa');
  assert.equal(hex('4', 'quint2x4'), undefined);
});

test('a truth value is a word or a digit', () => {
  for (const text of ['true', 'True', 'TRUE', '1', '1.0']) assert.equal(hex(text, 'bool'), '01', text);
  for (const text of ['false', 'False', '0', '0.0']) assert.equal(hex(text, 'bool'), '00', text);
  for (const text of ['2', 'yes', '-1', '0.5', '']) assert.equal(hex(text, 'bool'), undefined, text);
});

test('complex numbers are a real one or as Python prints them', () => {
  const parts = (real: string, imaginary: string) => `${hex(real, 'float32')}${hex(imaginary, 'float32')}`;
  const same: [string, string, string][] = [
    ['1', '1', '0'],
    ['1.5', '1.5', '0'],
    ['2j', '0', '2'],
    ['-2j', '0', '-2'],
    ['1+2j', '1', '2'],
    ['(1+2j)', '1', '2'],
    ['-1e-3-2.5j', '-1e-3', '-2.5'],
    ['1+2e-3j', '1', '2e-3'],
    ['1e+3+2E-3J', '1000', '0.002'],
    ['2e-3j', '0', '2e-3'],
    ['nan+infj', 'nan', 'inf'],
    ['1-infj', '1', '-inf'],
    ['j', '0', '1'],
    ['3-j', '3', '-1'],
  ];
  for (const [text, real, imaginary] of same)
    assert.equal(hex(text, 'complex64'), parts(real, imaginary), text);
  for (const text of ['', '1+2', '1+2i', 'j1', '1++2j', '1+2j+3j', '(1+2j', 'ej']) {
    assert.equal(hex(text, 'complex64'), undefined, JSON.stringify(text));
  }
  assert.equal(hex('1-2j', 'complex32'), '003c00c0');
  assert.equal(hex('1-2j', 'complex128'), '000000000000f03f00000000000000c0');
});

test('types whose bits are no numbers have none', () => {
  for (const dtype of ['bits8', 'bits16', 'bits1x8', 'bits2x4', 'bits4x2'] as const)
    assert.equal(hex('0', dtype), undefined);
});
