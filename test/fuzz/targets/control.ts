/** Lines of /sys/control: understood, and then the same when written again, or refused. */
import { isDeepStrictEqual } from 'node:util';
import { type ControlCommand, controlLine, parseControl } from '../../../src/targets/control-command.ts';
import { expect, OPENED, type Outcome, refusal } from '../judge.ts';
import { mutateBytes, mutateText, TEXTS } from '../mutate/bytes.ts';
import type { Random } from '../random.ts';
import type { Target } from '../target.ts';

export const controlTarget: Target = {
  name: 'control',
  weight: 3,
  make(random) {
    const line = mutate(random);
    return { label: 'control', bytes: Buffer.from(line), drive: async () => drive(line) };
  },
};

const WORDS = [
  'commit',
  'discard',
  'flush',
  'reload',
  'status',
  '--dry-run',
  '--force',
  '--to',
  '--to=/x',
  '/new.pt',
  '"/new.pt"',
  '"/a b\\u0000"',
  '"',
  "'",
  '--',
  '-',
];

function mutate(random: Random): string {
  const words = Array.from({ length: random.between(1, 6) }, () =>
    random.once(6) ? mutateText(random, random.pick(WORDS)) : random.pick(WORDS),
  );
  const line = words.join(random.pick([' ', ' ', '  ', '\t', '\n', '\u00a0', '']));
  if (random.once(5)) return mutateBytes(random, Buffer.from(line)).toString('utf8');
  return random.once(20) ? line + random.pick(TEXTS).repeat(2000) : line;
}

function drive(line: string): Outcome {
  let command: ControlCommand;
  try {
    command = parseControl(line);
  } catch (cause) {
    return refusal(cause);
  }
  expect(isDeepStrictEqual(parseControl(controlLine(command)), command), () => {
    return `${JSON.stringify(command)} is not what its own line says: ${JSON.stringify(controlLine(command))}`;
  });
  return OPENED;
}
