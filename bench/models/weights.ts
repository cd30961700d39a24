/** Numbers like those of a layer: normal, with a standard deviation of 0.02. */
import { DTYPES, type DType } from '../../src/checkpoint/tensor.ts';
import { parseElements, type TextLayout } from '../../src/numbers/element-text.ts';

const STANDARD_DEVIATION = 0.02;
const ROWS: TextLayout = { columns: 1, separator: ' ' };

/** The bytes of `count` elements, other ones in each call. */
export async function weights(dtype: DType, count: number): Promise<Buffer> {
  const normal = Float64Array.from(
    { length: count },
    () =>
      STANDARD_DEVIATION *
      Math.sqrt(-2 * Math.log(1 - Math.random())) *
      Math.cos(2 * Math.PI * Math.random()),
  );
  if (dtype === 'float64') return Buffer.from(normal.buffer);
  if (dtype === 'float32') return Buffer.from(Float32Array.from(normal).buffer);
  const bytes = Buffer.alloc(count * DTYPES[dtype]);
  await parseElements(dtype, Buffer.from(normal.join('\n')), bytes, ROWS);
  return bytes;
}
