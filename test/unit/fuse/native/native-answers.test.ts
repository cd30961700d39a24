/**
 * Session threads and the Dispatcher answer the same: thousands of seeded requests, valid and broken, go to both over the same tree, and
 * every reply that the session gives itself is compared byte for byte.
 */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { openCheckpoint } from '../../../../src/checkpoint/open.ts';
import { Dispatcher } from '../../../../src/fuse/dispatcher.ts';
import type { Filesystem } from '../../../../src/fuse/filesystem.ts';
import { OPCODES, type OpcodeName, opcodeName } from '../../../../src/fuse/protocol/opcodes.ts';
import { Request } from '../../../../src/fuse/protocol/request.ts';
import { encodeStatfs } from '../../../../src/fuse/protocol/statfs.ts';
import { TreeFilesystem } from '../../../../src/fuse/tree-filesystem.ts';
import { RenderedPages } from '../../../../src/storage/rendered-pages.ts';
import { Log } from '../../../../src/telemetry/log.ts';
import { buildTree } from '../../../../src/tree/build-tree.ts';
import { readFixtures } from '../../../support/fixtures.ts';
import { bodyOf, initBody, message } from '../message.ts';
import { FakeKernel } from './fake-kernel.ts';
import { type PublishedTree, publishFilesystem } from './publish-filesystem.ts';
import { RandomRequests } from './random-requests.ts';

const OWNER = { uid: 7, gid: 8 };
const KEEP_MS = 24 * 60 * 60 * 1000;
const CONTEXT = new Request(message('GETATTR', { uid: 0, gid: 0 }));
const ROUNDS = 60;
const REQUESTS_A_ROUND = 200;

/** The same tree behind a Dispatcher. */
class JavaScriptSide {
  readonly #replies = new Map<bigint, Buffer>();
  readonly #dispatcher: Dispatcher;

  constructor(filesystem: Filesystem) {
    this.#dispatcher = new Dispatcher(filesystem, {
      reply: (reply) => this.#replies.set(reply.readBigUInt64LE(8), Buffer.from(reply)),
      publish: () => undefined,
      withdraw: () => undefined,
      initialized: () => undefined,
      log: () => undefined,
      limits: { maxWriteBytes: 1 << 20, maxPages: 256, maxReadaheadBytes: 4 << 20, maxBackground: 64 },
    });
    this.#dispatcher.handle(message('INIT', { unique: 1n, body: initBody() }));
  }

  async serve(messages: readonly Buffer[]): Promise<(Buffer | undefined)[]> {
    this.#replies.clear();
    for (const one of messages) this.#dispatcher.handle(Buffer.from(one));
    while (this.#dispatcher.counters().requests_pending !== 0) await setImmediate();
    return messages.map((one) => this.#replies.get(one.readBigUInt64LE(8)));
  }
}

/** The references that replies of a session give and FORGETs take, by what the messages say. */
class ExpectedReferences {
  readonly #held = new Map<number, number>();

  note(
    request: Buffer,
    reply: Buffer | undefined,
    forwarded: Buffer | undefined,
    has: (nodeid: number) => boolean,
  ): void {
    const opcode = request.readUInt32LE(4);
    if (opcode === OPCODES.LOOKUP && reply !== undefined && reply.length > 16) this.#add(bodyOf(reply), 0);
    if (opcode === OPCODES.READDIRPLUS && reply !== undefined) this.#addListed(bodyOf(reply));
    if (opcode === OPCODES.FORGET && forwarded === undefined) {
      this.#drop(Number(request.readBigUInt64LE(16)), request.readBigUInt64LE(40));
    }
    if (opcode !== OPCODES.BATCH_FORGET || forwarded?.equals(request)) return;
    for (let at = 48; at + 16 <= request.length; at += 16) {
      const nodeid = Number(request.readBigUInt64LE(at));
      if (has(nodeid)) this.#drop(nodeid, request.readBigUInt64LE(at + 8));
    }
  }

  get nodeids(): Iterable<readonly [nodeid: number, count: number]> {
    return this.#held;
  }

  #addListed(body: Buffer): void {
    for (let at = 0; at < body.length; at += 152 + Math.ceil(body.readUInt32LE(at + 128 + 16) / 8) * 8) {
      this.#add(body, at);
    }
  }

  #add(body: Buffer, at: number): void {
    const nodeid = Number(body.readBigUInt64LE(at));
    if (nodeid !== 0) this.#held.set(nodeid, (this.#held.get(nodeid) ?? 0) + 1);
  }

  #drop(nodeid: number, count: bigint): void {
    const held = this.#held.get(nodeid) ?? 0;
    this.#held.set(nodeid, BigInt(held) > count ? held - Number(count) : 0);
  }
}

async function realTree(t: TestContext): Promise<Filesystem> {
  const fixture = readFixtures().find(({ name }) => name.endsWith('module.pt')) ?? readFixtures()[0];
  assert.ok(fixture);
  const checkpoint = await openCheckpoint(fixture.path);
  t.after(() => checkpoint.close());
  const { tree } = buildTree(checkpoint, {
    cache: new RenderedPages(1 << 20),
    version: 'test',
    log: new Log({ level: 'error' }),
    status: () => Promise.resolve({}),
    metrics: () => '',
  });
  const filesystem = new TreeFilesystem(tree, { readOnly: true, ...OWNER });
  filesystem.connect({ invalidate: () => Promise.resolve() });
  return filesystem;
}

async function publish(
  kernel: FakeKernel,
  filesystem: Filesystem,
  noOpendir: boolean,
): Promise<PublishedTree> {
  kernel.session.setTreeDefaults({ ...OWNER, readOnly: true, keepMs: KEEP_MS, noOpendir });
  kernel.session.setStatfs(bodyOf(encodeStatfs(CONTEXT, await filesystem.statfs(CONTEXT, 1))));
  return publishFilesystem(kernel.session, filesystem, CONTEXT);
}

test('session threads answer byte for byte what the Dispatcher answers', async (t) => {
  const filesystem = await realTree(t);
  const kernel = new FakeKernel();
  t.after(() => kernel.close());
  const published = await publish(kernel, filesystem, true);
  const javaScript = new JavaScriptSide(filesystem);
  const random = new RandomRequests(Number(process.env.MLFS_SEED ?? 1), published);
  const references = new ExpectedReferences();
  const rows = new Set(published.rows);
  const compared = new Map<string, number>();
  let forwardedCount = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const messages = Array.from({ length: REQUESTS_A_ROUND }, () => random.next());
    const served = await kernel.serve(messages);
    const expected = await javaScript.serve(messages);
    for (const [index, one] of served.entries()) {
      const request = messages[index] as Buffer;
      const name = opcodeName(request.readUInt32LE(4));
      const reply = one !== undefined && 'reply' in one ? one.reply : undefined;
      const forwarded = one !== undefined && 'forwarded' in one ? one.forwarded : undefined;
      references.note(request, reply, forwarded, (nodeid) => rows.has(nodeid));
      if (forwarded !== undefined) {
        forwardedCount++;
        continue;
      }
      assert.equal(
        reply?.toString('hex'),
        expected[index]?.toString('hex'),
        `${name} ${request.toString('hex')}`,
      );
      compared.set(name, (compared.get(name) ?? 0) + 1);
    }
  }
  for (const [nodeid, count] of references.nodeids) {
    assert.equal(kernel.session.references(nodeid), count, `references of ${nodeid}`);
  }
  const total = [...compared.values()].reduce((sum, count) => sum + count, 0);
  const counts = [...compared].map(([name, count]) => `${name} ${count}`).join(', ');
  t.diagnostic(`${total} operations compared, differences 0, ${forwardedCount} handed on: ${counts}`);
  for (const name of ANSWERED) assert.ok((compared.get(name) ?? 0) >= 20, `${name}: ${compared.get(name)}`);
});

test('an OPENDIR of a kernel that wants handles is answered the same, too', async (t) => {
  const filesystem = await realTree(t);
  const kernel = new FakeKernel();
  t.after(() => kernel.close());
  await publish(kernel, filesystem, false);
  const javaScript = new JavaScriptSide(filesystem);
  await javaScript.serve([message('INIT', { unique: 3n, body: initBody(31, 7, 0, 0) })]);
  const opendir = message('OPENDIR', { unique: 5n, body: Buffer.alloc(8) });
  const [served] = await kernel.serve([opendir]);
  const [expected] = await javaScript.serve([opendir]);
  assert.ok(served !== undefined && 'reply' in served);
  assert.equal(served.reply.toString('hex'), expected?.toString('hex'));
});

test('a session that compares leaves every answer to JavaScript, and reports each one that differs', async (t) => {
  const filesystem = await realTree(t);
  const kernel = new FakeKernel({ compare: true });
  t.after(() => kernel.close());
  const published = await publish(kernel, filesystem, true);
  const javaScript = new JavaScriptSide(filesystem);
  const random = new RandomRequests(2, published);
  const messages = Array.from({ length: 300 }, () => random.next());
  const served = await kernel.serve(messages);
  assert.ok(served.every((one) => one === undefined || 'forwarded' in one));
  for (const reply of await javaScript.serve(messages)) if (reply !== undefined) kernel.session.reply(reply);
  const { native_answers_compared_total: compared = 0, ...counters } = kernel.session.counters();
  assert.ok(compared > 100, `${compared} compared`);
  assert.equal(counters.native_answer_differences_total, 0);
  assert.deepEqual(kernel.session.takeDifferences(), []);

  const statfs = message('STATFS', { unique: 9001n, body: Buffer.alloc(0) });
  await kernel.serve([statfs]);
  const [reply] = await javaScript.serve([statfs]);
  assert.ok(reply);
  reply.writeUInt32LE(4095, 16 + 40);
  kernel.session.reply(reply);
  assert.equal(kernel.session.counters().native_answer_differences_total, 1);
  assert.match(
    kernel.session.takeDifferences().join(),
    /opcode 17: [0-9a-f]+ from the inode table, [0-9a-f]+ from JavaScript/,
  );
});

/** Answered natively whenever the question is a plain one. */
const ANSWERED: readonly OpcodeName[] = [
  'LOOKUP',
  'GETATTR',
  'STATX',
  'ACCESS',
  'OPEN',
  'RELEASE',
  'OPENDIR',
  'RELEASEDIR',
  'READDIR',
  'READDIRPLUS',
  'STATFS',
  'GETXATTR',
  'LISTXATTR',
  'FORGET',
  'BATCH_FORGET',
];
