import type { Machine } from './machine.ts';
import type { LeftOut } from './memo.ts';
import { OP } from './opcodes.ts';
import { PickleFault } from './refusal.ts';
import type { Value } from './values.ts';

type Handler = (machine: Machine) => void;

/** Does what one opcode does. STOP is the caller's. */
export function dispatch(machine: Machine, opcode: number): void {
  const handler = HANDLERS[opcode];
  if (handler === undefined) throw new PickleFault('is not an opcode');
  handler(machine);
}

/** An opcode that pushes one value. */
function pushes(make: (machine: Machine) => Value): Handler {
  return (machine) => machine.stack.push(make(machine));
}

function callWithArgs(machine: Machine): Value {
  const args = machine.stack.pop();
  return machine.call(machine.stack.pop(), args);
}

/** A value of the memo; the opcodes of one that was left out are run now. */
function recall(machine: Machine, index: number): Value {
  const leftOut = machine.memo.leftOutAt(index);
  if (leftOut !== undefined) replay(machine, leftOut);
  return machine.memo.get(index);
}

function memoise(machine: Machine, index: number): void {
  const { memo, stack } = machine;
  const value = stack.top();
  if (memo.isReplacing(index)) for (const leftOut of memo.takeLeftOut()) replay(machine, leftOut);
  memo.set(index, value);
}

/**
 * Runs opcodes that were read in one step, from the MARK to the call, and puts the values that they memoise into the memo. They were charged then. What
 * the call returned is not made again: it is there.
 */
function replay(machine: Machine, { position, first }: LeftOut): void {
  const { input, stack, memo, account, persistentIds } = machine;
  const back = input.position;
  const { openMarks } = stack;
  let index = first;
  account.paid(() => {
    let opcode: number;
    input.position = position;
    stack.push(null);
    do {
      opcode = input.u8();
      if (opcode === OP.BINPUT || opcode === OP.LONG_BINPUT || opcode === OP.MEMOIZE) {
        input.take(PUT_BYTES[opcode]);
        memo.fill(index++, stack.top());
      } else {
        dispatch(machine, opcode);
      }
    } while (opcode !== OP.REDUCE || stack.openMarks > openMarks);
    stack.pop();
  });
  input.position = back;
  machine.persistentIds = persistentIds;
}

/** Bytes behind the opcodes that memoise. */
const PUT_BYTES = { [OP.BINPUT]: 1, [OP.LONG_BINPUT]: 4, [OP.MEMOIZE]: 0 } as const;

function outOfBand(): never {
  throw new PickleFault('out-of-band buffers are not in the file');
}

const TABLE: readonly [opcode: number, handler: Handler][] = [
  // Constants and numbers
  [OP.NONE, pushes(() => null)],
  [OP.NEWTRUE, pushes(() => true)],
  [OP.NEWFALSE, pushes(() => false)],
  [OP.BININT, pushes(({ input }) => input.i32())],
  [OP.BININT1, pushes(({ input }) => input.u8())],
  [OP.BININT2, pushes(({ input }) => input.u16())],
  [OP.LONG1, pushes(({ input }) => input.long(input.u8()))],
  [OP.LONG4, pushes(({ input }) => input.long(input.i32()))],
  [OP.INT, pushes(({ input }) => input.intLine())],
  [OP.LONG, pushes(({ input }) => input.longLine())],
  [OP.BINFLOAT, pushes(({ input }) => input.float())],
  [OP.FLOAT, pushes(({ input }) => input.floatLine())],

  // Texts and bytes
  [OP.BINUNICODE, pushes((machine) => machine.text(machine.input.u32()))],
  [OP.SHORT_BINUNICODE, pushes(({ input }) => input.unicode(input.u8()))],
  [OP.BINUNICODE8, pushes(({ input }) => input.unicode(input.u64()))],
  [OP.UNICODE, pushes(({ input }) => input.unicodeLine())],
  [OP.SHORT_BINSTRING, pushes(({ input }) => input.legacyString(input.u8()))],
  [OP.BINSTRING, pushes(({ input }) => input.legacyString(input.i32()))],
  [OP.STRING, pushes(({ input }) => input.legacyStringLine())],
  [OP.SHORT_BINBYTES, pushes(({ input }) => input.bytesValue(input.u8()))],
  [OP.BINBYTES, pushes(({ input }) => input.bytesValue(input.u32()))],
  [OP.BINBYTES8, pushes(({ input }) => input.bytesValue(input.u64()))],
  [OP.BYTEARRAY8, pushes(({ input }) => input.bytesValue(input.u64(), true))],
  [OP.NEXT_BUFFER, outOfBand],
  [OP.READONLY_BUFFER, outOfBand],

  // The stack and the memo
  [OP.MARK, ({ stack }) => stack.mark()],
  [OP.POP, ({ stack }) => stack.drop()],
  [OP.POP_MARK, ({ stack }) => void stack.popItems()],
  [OP.DUP, ({ stack }) => stack.push(stack.top())],
  [OP.BINGET, pushes((machine) => recall(machine, machine.input.u8()))],
  [OP.LONG_BINGET, pushes((machine) => recall(machine, machine.input.u32()))],
  [OP.GET, pushes((machine) => recall(machine, machine.input.memoIndexLine()))],
  [OP.BINPUT, (machine) => memoise(machine, machine.input.u8())],
  [OP.LONG_BINPUT, (machine) => memoise(machine, machine.input.u32())],
  [OP.PUT, (machine) => memoise(machine, machine.input.memoIndexLine())],
  [OP.MEMOIZE, (machine) => memoise(machine, machine.memo.size)],

  // Containers
  [OP.EMPTY_TUPLE, pushes((machine) => machine.tuple([]))],
  [OP.TUPLE1, pushes((machine) => machine.tuple([machine.stack.pop()]))],
  [
    OP.TUPLE2,
    pushes((machine) => {
      const second = machine.stack.pop();
      return machine.tuple([machine.stack.pop(), second]);
    }),
  ],
  [
    OP.TUPLE3,
    pushes((machine) => {
      const third = machine.stack.pop();
      const second = machine.stack.pop();
      return machine.tuple([machine.stack.pop(), second, third]);
    }),
  ],
  [OP.TUPLE, pushes((machine) => machine.tuple(machine.stack.popItems()))],
  [OP.EMPTY_LIST, pushes((machine) => machine.list())],
  [
    OP.LIST,
    pushes((machine) => {
      const list = machine.list();
      machine.append(list, machine.stack.popItems());
      return list;
    }),
  ],
  [OP.EMPTY_DICT, pushes((machine) => machine.dict())],
  [
    OP.DICT,
    pushes((machine) => {
      const dict = machine.dict();
      machine.setItems(dict, machine.stack.popItems());
      return dict;
    }),
  ],
  [OP.EMPTY_SET, pushes((machine) => machine.set([], false))],
  [OP.FROZENSET, pushes((machine) => machine.set(machine.stack.popItems(), true))],
  [
    OP.APPEND,
    (machine) => {
      const item = machine.stack.pop();
      machine.append(machine.stack.top(), [item]);
    },
  ],
  [
    OP.APPENDS,
    (machine) => {
      const items = machine.stack.popItems();
      machine.append(machine.stack.top(), items);
    },
  ],
  [
    OP.SETITEM,
    (machine) => {
      const value = machine.stack.pop();
      const key = machine.stack.pop();
      machine.setItems(machine.stack.top(), [key, value]);
    },
  ],
  [
    OP.SETITEMS,
    (machine) => {
      const items = machine.stack.popItems();
      machine.setItems(machine.stack.top(), items);
    },
  ],
  [
    OP.ADDITEMS,
    (machine) => {
      const items = machine.stack.popItems();
      machine.addItems(machine.stack.top(), items);
    },
  ],

  // Names, calls and state
  [OP.GLOBAL, pushes((machine) => machine.global(machine.input.nameLine(), machine.input.nameLine()))],
  [
    OP.STACK_GLOBAL,
    pushes((machine) => {
      const name = machine.stack.pop();
      const module = machine.stack.pop();
      if (typeof name !== 'string' || typeof module !== 'string') {
        throw new PickleFault('the name of a global is not a string');
      }
      return machine.global(module, name);
    }),
  ],
  [OP.EXT1, pushes((machine) => machine.extension(machine.input.u8()))],
  [OP.EXT2, pushes((machine) => machine.extension(machine.input.u16()))],
  [OP.EXT4, pushes((machine) => machine.extension(machine.input.i32()))],
  [OP.PERSID, pushes((machine) => machine.persistent(machine.input.nameLine()))],
  [OP.BINPERSID, pushes((machine) => machine.persistent(machine.stack.pop()))],
  [OP.REDUCE, pushes(callWithArgs)],
  [OP.NEWOBJ, pushes(callWithArgs)],
  [
    OP.NEWOBJ_EX,
    pushes((machine) => {
      const kwargs = machine.stack.pop();
      const args = machine.stack.pop();
      return machine.call(machine.stack.pop(), args, kwargs);
    }),
  ],
  [
    OP.INST,
    pushes((machine) => {
      const callable = machine.global(machine.input.nameLine(), machine.input.nameLine());
      return machine.call(callable, machine.tuple(machine.stack.popItems()));
    }),
  ],
  [
    OP.OBJ,
    pushes((machine) => {
      const [callable, ...args] = machine.stack.popItems();
      if (callable === undefined) throw new PickleFault('there is no class to make an object of');
      return machine.call(callable, machine.tuple(args));
    }),
  ],
  [OP.BUILD, (machine) => machine.build(machine.stack.pop())],

  // Framing
  [
    OP.PROTO,
    ({ input }) => {
      const protocol = input.u8();
      if (protocol > 5) throw new PickleFault(`protocol ${protocol} is not known; 0 to 5 are`);
    },
  ],
  [OP.FRAME, ({ input }) => input.frame()],
];

const HANDLERS: (Handler | undefined)[] = new Array(256).fill(undefined);
for (const [opcode, handler] of TABLE) HANDLERS[opcode] = handler;
