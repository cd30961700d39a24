/** .npy files as the listing of /activations reads them: headers that lie about types, shapes and lengths. */
import { arrayCsv } from '../../../src/activations/array-csv.ts';
import { npyHeader } from '../../../src/numbers/npy-header.ts';
import { expect, OPENED, type Outcome } from '../judge.ts';
import { edge, mutateBytes, mutateText } from '../mutate/bytes.ts';
import type { Random } from '../random.ts';
import type { Scene, Target } from '../target.ts';

export const npyTarget: Target = {
  name: 'npy',
  weight: 6,
  make(random) {
    const bytes = mutate(random);
    return { label: 'array.npy', bytes, drive: (scene) => drive(scene, bytes) };
  },
};

const TYPES = [
  '<f4',
  '<f8',
  '<f2',
  '|b1',
  '<i8',
  '>i4',
  '|u1',
  '<c8',
  '>c16',
  '<U5',
  '|O',
  '|V2',
  '',
  'f4',
  "<f4', 'x': '",
];

function mutate(random: Random): Buffer {
  const shape = Array.from({ length: random.below(5) }, () =>
    random.once(6) ? Number(edge(random)) : random.below(9),
  );
  const header = Buffer.from(npyHeader({ descr: random.pick(TYPES), shape }));
  const body = random.bytes(random.pick([0, 7, 64, 400, 4000]));
  let text = header.toString('latin1', 10);
  for (let left = random.below(3); left > 0; left--) {
    const at = random.below(text.length);
    text = random.pick([
      text.replace('False', 'True'),
      text.replace('(', '(('),
      text.replace(/\d+/, random.pick(['-1', '1L', '01', '1.5', '9'.repeat(30), ''])),
      text.replace(/, /, `, 'shape': (${edge(random)},), `),
      text.slice(0, at) + mutateText(random, '') + text.slice(at),
      text.replace(/, }/, `${',1'.repeat(random.pick([1, 100, 20_000]))}}`),
    ]);
  }
  const changed = Buffer.from(text, 'utf8');
  const prefix = Buffer.from(header.subarray(0, 10));
  prefix.writeUInt16LE(random.once(8) ? random.below(65_536) : Math.min(changed.length, 65_535), 8);
  const file = Buffer.concat([prefix, changed, body]);
  return random.once(3) ? mutateBytes(random, file) : file;
}

/** A text of more than this would be no listing of the few bytes that a mutant has. */
const LONGEST_TEXT_BYTES = 4 << 20;

async function drive({ clock }: Scene, bytes: Buffer): Promise<Outcome> {
  let text = '';
  await clock.run('csv', async () => {
    const read = async (offset: number, length: number) => bytes.subarray(offset, offset + length);
    for await (const piece of arrayCsv('array.npy', bytes.length, read)) {
      text += Buffer.from(piece).toString('latin1');
      expect(text.length < LONGEST_TEXT_BYTES, () => `${text.length} bytes of text for ${bytes.length}`);
    }
  });
  return text.startsWith('# array.npy') ? { kind: 'refused', code: 'NpyRefusal' } : OPENED;
}
