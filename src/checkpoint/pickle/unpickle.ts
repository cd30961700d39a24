import { dispatch } from './dispatch.ts';
import { PICKLE_LIMITS, type PickleLimits } from './limits.ts';
import { Machine, type PickleHooks } from './machine.ts';
import { OP, opcodeName } from './opcodes.ts';
import { PickleFault, type PicklePlace, pickleError } from './refusal.ts';
import type { PyGlobal, Value } from './values.ts';

export interface PickleOptions extends PicklePlace, PickleHooks {
  /** Where in the buffer the pickle starts; 0 by default. */
  readonly start?: number;
  readonly limits?: Partial<PickleLimits> | undefined;
}

export interface Unpickled {
  readonly value: Value;
  /** Up to and including STOP, counted from `start`. */
  readonly bytesConsumed: number;
  /** Every global that was named, in the order of its first mention. */
  readonly globals: readonly PyGlobal[];
  readonly persistentIds: number;
}

/** Interprets one pickle. Throws ERR_MLFS_PICKLE or ERR_MLFS_LIMIT, and what the hooks throw. */
export function readPickle(bytes: Buffer, options: PickleOptions): Unpickled {
  const start = options.start ?? 0;
  const machine = new Machine(bytes, start, { ...PICKLE_LIMITS, ...options.limits }, options);
  const { account, input, stack } = machine;
  let at = start;
  let opcode: number | undefined;
  try {
    for (;;) {
      at = input.position;
      opcode = undefined;
      opcode = input.u8();
      account.steps(1);
      if (opcode === OP.STOP) break;
      if (opcode === OP.MARK && bytes[input.position] === OP.MARK && options.shortcut?.(machine, at))
        continue;
      dispatch(machine, opcode);
    }
    return {
      value: stack.pop(),
      bytesConsumed: input.position - start,
      globals: [...machine.globals.values()],
      persistentIds: machine.persistentIds,
    };
  } catch (cause) {
    if (!(cause instanceof PickleFault)) throw cause;
    throw pickleError(options, at, opcode === undefined ? 'the next opcode' : opcodeName(opcode), cause);
  }
}
