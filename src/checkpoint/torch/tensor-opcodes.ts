/**
 * Reads in one step the opcodes that torch.save writes for a tensor, behind the name of `_rebuild_tensor_v2`:
 *
 *     MARK
 *       MARK 'storage' CLASS KEY LOCATION NUMEL TUPLE BINPERSID     the storage
 *       OFFSET  SHAPE  STRIDE  REQUIRES_GRAD
 *       OrderedDict EMPTY_TUPLE REDUCE                              hooks
 *     TUPLE REDUCE
 *
 * One by one they make five containers that nothing looks at afterwards, but that the memo keeps: half of the time and memory of opening a large
 * checkpoint. Here only the storage and the tensor are made. The account is charged as if all had been made. The memo is told where the opcodes are:
 * if the pickle refers to one of the containers after all, the machine runs them one by one (`replay` in pickle/dispatch.ts).
 *
 * Whatever does not look exactly like this is left to the machine, and so is everything that would exceed a limit.
 */

import { NumberLists } from '../number-lists.ts';
import { HEAP_COST } from '../pickle/limits.ts';
import type { Machine } from '../pickle/machine.ts';
import { OP } from '../pickle/opcodes.ts';
import { PyGlobal, type Value } from '../pickle/values.ts';
import type { TorchReconstructors } from './reconstructors.ts';
import { type StorageTable, TorchStorage } from './storage-table.ts';

const REBUILD = 'torch._utils._rebuild_tensor_v2';
const ORDERED_DICT = 'collections.OrderedDict';
/** Values that are on the stack at the same time, and MARKs that are open. */
const HEIGHT = 16;
const MARKS = 3;
/** Longer keys cost more steps. */
const KEY_BYTES = 63;
const ARGUMENTS = 6;
const ID_PARTS = 5;

export class TensorOpcodes {
  readonly #storages: StorageTable;
  readonly #torch: TorchReconstructors;
  readonly #lists = new NumberLists();
  // What is found; valid after #scan has returned true.
  #machine!: Machine;
  #bytes!: Buffer;
  #at = 0;
  #class: Value | undefined;
  #key: Value | undefined;
  #location: Value | undefined;
  #numel = 0;
  #offset = 0;
  #shape: readonly number[] = [];
  #stride: readonly number[] = [];
  #requiresGrad = false;
  /** What the opcodes would have cost. */
  #steps = 0;
  #heap = 0;
  /** How many values they put into the memo, at which index the first. */
  #puts = 0;
  #firstPut = 0;

  constructor(storages: StorageTable, torch: TorchReconstructors) {
    this.#storages = storages;
    this.#torch = torch;
  }

  /** `start` is where the opcode of the outer MARK is. Returns whether a tensor was read; otherwise nothing has happened. */
  read(machine: Machine, start: number): boolean {
    const { stack, account, memo } = machine;
    const rebuild = stack.last();
    if (!(rebuild instanceof PyGlobal) || rebuild.path !== REBUILD) return false;
    this.#machine = machine;
    this.#bytes = machine.input.bytes;
    this.#at = start;
    // The machine has charged the first.
    this.#steps = -1;
    this.#heap = 0;
    this.#puts = 0;
    this.#firstPut = memo.nextDense;
    if (!this.#scan() || !stack.hasRoom(HEIGHT, MARKS)) return false;
    if (!memo.hasRoom(this.#puts) || !account.affords(this.#steps, this.#heap)) return false;
    const storage = this.#storages.request(this.#class, this.#key, this.#location, this.#numel);
    if (!(storage instanceof TorchStorage)) return false;
    machine.persistentIds++;
    account.steps(this.#steps);
    account.heap(this.#heap);
    memo.putLater(this.#puts, start);
    machine.input.position = this.#at;
    stack.pop();
    stack.push(this.#torch.tensorOver(storage, this.#offset, this.#shape, this.#stride, this.#requiresGrad));
    return true;
  }

  #scan(): boolean {
    return (
      this.#is(OP.MARK) &&
      this.#readStorage() &&
      this.#readOffset() &&
      this.#readShape() &&
      this.#readStride() &&
      this.#readRequiresGrad() &&
      isOrderedDict(this.#get()) &&
      this.#is(OP.EMPTY_TUPLE) &&
      this.#is(OP.REDUCE) &&
      this.#put(HEAP_COST.dict) &&
      this.#is(OP.TUPLE) &&
      this.#put(HEAP_COST.tuple + HEAP_COST.slot * ARGUMENTS + HEAP_COST.storage + HEAP_COST.tensor) &&
      this.#is(OP.REDUCE)
    );
  }

  #readStorage(): boolean {
    if (!this.#is(OP.MARK) || this.#get() !== 'storage') return false;
    this.#class = this.#get();
    if (!(this.#class instanceof PyGlobal) || !this.#readKey()) return false;
    this.#location = this.#get();
    this.#numel = this.#integer();
    return (
      typeof this.#location === 'string' &&
      this.#numel >= 0 &&
      this.#is(OP.TUPLE) &&
      this.#put(HEAP_COST.tuple + HEAP_COST.slot * ID_PARTS) &&
      this.#is(OP.BINPERSID)
    );
  }

  #is(opcode: number): boolean {
    this.#steps++;
    return this.#bytes[this.#at++] === opcode;
  }

  /** What a BINGET or LONG_BINGET gets, if it is no container that was not made. */
  #get(): Value | undefined {
    this.#steps++;
    const opcode = this.#bytes[this.#at];
    if (opcode === OP.BINGET) {
      this.#at += 2;
      return this.#machine.memo.made(this.#bytes[this.#at - 1] as number);
    }
    if (opcode !== OP.LONG_BINGET) return undefined;
    this.#at += 5;
    return this.#machine.memo.made(this.#uint32(this.#at - 4));
  }

  /** A value that was made, and an opcode that memoises it under the next index, if there is one. */
  #put(heap: number): boolean {
    this.#heap += heap;
    const opcode = this.#bytes[this.#at];
    let index = this.#firstPut + this.#puts;
    if (opcode === OP.LONG_BINPUT) {
      index = this.#uint32(this.#at + 1);
      this.#at += 5;
    } else if (opcode === OP.BINPUT) {
      index = this.#bytes[this.#at + 1] as number;
      this.#at += 2;
    } else if (opcode === OP.MEMOIZE) {
      if (this.#machine.memo.size !== this.#firstPut) return false;
      this.#at += 1;
    } else return true;
    this.#steps++;
    this.#heap += HEAP_COST.memo;
    return index === this.#firstPut + this.#puts++;
  }

  #readKey(): boolean {
    const opcode = this.#bytes[this.#at];
    const isShort = opcode === OP.SHORT_BINUNICODE;
    if (!isShort && opcode !== OP.BINUNICODE) {
      this.#key = this.#get();
      return typeof this.#key === 'string';
    }
    const start = this.#at + (isShort ? 2 : 5);
    const length = isShort ? (this.#bytes[this.#at + 1] as number) : this.#uint32(this.#at + 1);
    if (!(length <= KEY_BYTES) || start + length > this.#bytes.length) return false;
    for (let at = start; at < start + length; at++) if ((this.#bytes[at] as number) >= 0x80) return false;
    this.#key = this.#bytes.toString('latin1', start, start + length);
    this.#at = start + length;
    this.#steps++;
    return this.#put(HEAP_COST.string + length);
  }

  /** A non-negative integer; -1 if there is none. */
  #integer(): number {
    this.#steps++;
    const at = this.#at + 1;
    switch (this.#bytes[this.#at]) {
      case OP.BININT1:
        this.#at += 2;
        return this.#bytes[at] as number;
      case OP.BININT2:
        this.#at += 3;
        return (this.#bytes[at] as number) | ((this.#bytes[at + 1] as number) << 8);
      case OP.BININT:
        this.#at += 5;
        return this.#uint32(at) | 0;
      default:
        return -1;
    }
  }

  #readOffset(): boolean {
    this.#offset = this.#integer();
    return this.#offset >= 0;
  }

  #readShape(): boolean {
    const shape = this.#tuple();
    this.#shape = shape ?? [];
    return shape !== undefined;
  }

  #readStride(): boolean {
    const stride = this.#tuple();
    this.#stride = stride ?? [];
    return stride?.length === this.#shape.length;
  }

  /** A tuple of non-negative integers. */
  #tuple(): readonly number[] | undefined {
    if (this.#bytes[this.#at] === OP.EMPTY_TUPLE) {
      this.#at++;
      this.#steps++;
      return this.#lists.end();
    }
    const marked = this.#bytes[this.#at] === OP.MARK;
    if (marked) {
      this.#at++;
      this.#steps++;
    }
    let count = 0;
    for (; count <= NumberLists.LENGTH; count++) {
      const ending = this.#bytes[this.#at];
      const isEnd = marked
        ? ending === OP.TUPLE
        : (ending === OP.TUPLE1 && count === 1) ||
          (ending === OP.TUPLE2 && count === 2) ||
          (ending === OP.TUPLE3 && count === 3);
      if (isEnd) break;
      const number = this.#integer();
      if (number < 0 || !this.#lists.add(number)) return this.#lists.drop();
    }
    this.#at++;
    this.#steps++;
    const list = this.#lists.end();
    return this.#put(HEAP_COST.tuple + HEAP_COST.slot * count) ? list : undefined;
  }

  #readRequiresGrad(): boolean {
    const opcode = this.#bytes[this.#at++];
    this.#steps++;
    this.#requiresGrad = opcode === OP.NEWTRUE;
    return opcode === OP.NEWTRUE || opcode === OP.NEWFALSE;
  }

  #uint32(at: number): number {
    const bytes = this.#bytes;
    const high = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
    return ((bytes[at] as number) | ((bytes[at + 1] as number) << 8) | (high << 16)) >>> 0;
  }
}

function isOrderedDict(value: Value | undefined): boolean {
  return value instanceof PyGlobal && value.path === ORDERED_DICT;
}
