import { setImmediate } from 'node:timers/promises';
import { Dispatcher, type DispatcherHooks } from '../../../src/fuse/dispatcher.ts';
import type { Filesystem } from '../../../src/fuse/filesystem.ts';
import type { OpcodeName } from '../../../src/fuse/protocol/opcodes.ts';
import type { Trace } from '../../../src/fuse/request-trace.ts';
import { TreeFilesystem } from '../../../src/fuse/tree-filesystem.ts';
import { type MessageFields, message } from './message.ts';
import { type SampleTree, sampleTree } from './sample-tree.ts';

export interface Desk extends SampleTree {
  readonly dispatcher: Dispatcher;
  readonly replies: Buffer[];
  /** What the hooks were told, in order: `publish 4`, `reply`, `withdraw 4`, `initialized 45`. */
  readonly events: string[];
  readonly logLines: string[];
  /** Sends a request and returns its reply, which must be there when `handle` returns. */
  ask(opcode: OpcodeName | number, fields?: MessageFields): Buffer;
  /** The same for a request that is answered later. */
  askLater(opcode: OpcodeName | number, fields?: MessageFields): Promise<Buffer>;
}

/** A dispatcher over the sample tree whose replies are kept. */
export function desk(options: { readOnly?: boolean; filesystem?: Filesystem; trace?: Trace } = {}): Desk {
  const sample = sampleTree();
  const filesystem =
    options.filesystem ??
    new TreeFilesystem(sample.tree, { readOnly: options.readOnly ?? false, uid: 7, gid: 8 });
  filesystem.connect({ invalidate: () => Promise.resolve() });
  const replies: Buffer[] = [];
  const events: string[] = [];
  const lines: string[] = [];
  const hooks: DispatcherHooks = {
    reply: (reply) => {
      events.push('reply');
      replies.push(reply);
    },
    publish: (nodeid) => events.push(`publish ${nodeid}`),
    withdraw: (nodeid) => events.push(`withdraw ${nodeid}`),
    initialized: (negotiated) => events.push(`initialized ${negotiated.minor}`),
    log: (_level, line) => lines.push(line),
    ...(options.trace === undefined ? {} : { trace: options.trace }),
    limits: {
      maxWriteBytes: 1 << 20,
      maxPages: 256,
      maxReadaheadBytes: 4 << 20,
      maxBackground: 64,
    },
  };
  const dispatcher = new Dispatcher(filesystem, hooks);
  const ask = (opcode: OpcodeName | number, fields?: MessageFields): Buffer => {
    const before = replies.length;
    dispatcher.handle(message(opcode, fields));
    const reply = replies[before];
    if (reply === undefined) throw new Error(`${opcode} was not answered at once`);
    return reply;
  };
  const askLater = async (opcode: OpcodeName | number, fields?: MessageFields): Promise<Buffer> => {
    const before = replies.length;
    dispatcher.handle(message(opcode, fields));
    for (let turn = 0; turn < 50 && replies.length === before; turn++) await setImmediate();
    const reply = replies[before];
    if (reply === undefined) throw new Error(`${opcode} was not answered`);
    return reply;
  };
  return { ...sample, dispatcher, replies, events, logLines: lines, ask, askLater };
}
