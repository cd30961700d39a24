/**
 * Editors on a mount: on scratch files, on gradients and on tensors, with every way they have of saving. What an editor cannot do is
 * an error that it shows, and no byte is changed.
 */
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { requires } from '../support/requires.ts';
import { type Outcome, run } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';
import { WritableMount } from '../support/writable-mount.ts';

const DRIVE_TERMINAL = fileURLToPath(new URL('../support/drive-terminal.py', import.meta.url));

/** Several pages of lines, all of the same length: editors read and write it in more than one piece. */
const LINES = 2000;
const TEXT = Array.from(
  { length: LINES },
  (_, index) => `line ${String(index + 1).padStart(5, '0')} of the notes\n`,
).join('');
const EDITED = TEXT.replace('line 01234', 'LINE 01234');

/** How vim may save: it renames the file away, or copies it and writes in place. The default skips backups below /tmp. */
const BACKUPS = [
  'nobackup nowritebackup',
  'nobackup writebackup backupcopy=auto',
  'backup writebackup backupcopy=auto',
  'backup writebackup backupcopy=yes',
  'backup writebackup backupcopy=no',
];

function vim(path: string, settings: string, ...commands: string[]): Promise<Outcome> {
  const all = [`set backupskip= ${settings}`, ...commands].flatMap((command) => ['-c', command]);
  return run('vim', ['-b', '-es', '-u', 'NONE', '-i', 'NONE', ...all, path]);
}

/** Replaces a program's keystrokes: each is typed when what stands before it was shown. */
function inTerminal(
  steps: readonly (readonly [awaited: string, typed: string])[],
  program: string,
  args: string[],
) {
  return run('python3', [DRIVE_TERMINAL, JSON.stringify(steps), program, ...args]);
}

const nano = (path: string, keys: string) =>
  inTerminal(
    [
      ['line', `${keys}\x0f`],
      ['File Name to Write', '\r'],
      ['Wrote', '\x18'],
    ],
    'nano',
    ['--ignorercfiles', path],
  );

/** Editors that replace a line of TEXT by another of the same length, as their users call them. */
const LINE_EDITORS: Readonly<Record<string, (path: string) => Promise<Outcome>>> = {
  'sed -i': (path) => run('sed', ['-i', 's/line 01234/LINE 01234/', path]),
  'perl -i': (path) => run('perl', ['-pi', '-e', 's/line 01234/LINE 01234/', path]),
  ed: (path) => run('ed', ['-s', path], { input: '1234s/line/LINE/\nw\nq\n' }),
  ex: (path) => run('ex', ['-s', '-u', 'NONE', path], { input: '1234s/line/LINE/\nwq\n' }),
};

for (const transport of TRANSPORTS) {
  describe(`editors on a mount by ${transport}`, mountable(transport), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    interface Scene {
      readonly mount: WritableMount;
      readonly room: string;
      readonly tensor: string;
      /** What is in the folder apart from the tensors' own files. */
      strays(): Promise<string[]>;
      /** The tensor is what it was, and nothing was journalled. */
      untouched(): Promise<void>;
    }

    async function scene(t: TestContext): Promise<Scene> {
      const mount = await WritableMount.create(t, server, transport, [
        { name: 'fc.notes', dtype: 'float32', shape: [TEXT.length / 4], fill: Buffer.from(TEXT) },
      ]);
      const room = mount.model('fc');
      const tensor = join(room, 'notes.bin');
      return {
        mount,
        room,
        tensor,
        strays: async () => (await readdir(room)).filter((name) => !/^notes\.(bin|grad)$/.test(name)),
        untouched: async () => {
          assert.equal(await readFile(tensor, 'utf8'), TEXT);
          assert.equal((await mount.status()).dirty_bytes, 0);
        },
      };
    }

    for (const settings of BACKUPS) {
      test(`vim with ${settings} writes a scratch file and leaves no rubbish`, requires('vim'), async (t) => {
        const { room, strays } = await scene(t);
        const notes = join(room, 'notes.txt');
        await writeFile(notes, 'one\ntwo\n');
        const saved = await vim(notes, settings, '%s/two/three/', 'wq');
        assert.equal(saved.code, 0, saved.stdout + saved.stderr);
        assert.equal(await readFile(notes, 'utf8'), 'one\nthree\n');
        const wanted = settings.startsWith('backup') ? ['notes.txt', 'notes.txt~'] : ['notes.txt'];
        assert.deepEqual((await strays()).sort(), wanted);
      });

      test(`vim -b with ${settings} edits a tensor`, requires('vim'), async (t) => {
        const { mount, tensor, strays } = await scene(t);
        const saved = await vim(tensor, settings, '1234s/line/LINE/', 'w', 'q!');
        assert.equal(saved.code, 0, saved.stdout + saved.stderr);
        assert.equal(await readFile(tensor, 'utf8'), EDITED);
        assert.equal((await mount.status()).dirty_bytes, 4);
        assert.deepEqual(await strays(), settings.startsWith('backup') ? ['notes.bin~'] : []);
      });

      test(`vim with ${settings} cannot make a tensor longer`, requires('vim'), async (t) => {
        const { tensor, untouched } = await scene(t);
        const saved = await vim(tensor, settings, '1234s/line/another line/', 'w', 'q!');
        assert.notEqual(saved.code, 0);
        await untouched();
      });
    }

    test(
      'vim in a terminal, with its swap file and its own settings, edits a tensor',
      requires('vim', 'python3'),
      async (t) => {
        const { mount, tensor, strays } = await scene(t);
        const typed = await inTerminal(
          [
            ['line 00001', ':set backupskip=\r:1234s/line/LINE/\r:w\r'],
            ['written', ':q\r'],
          ],
          'vim',
          ['-b', '-N', '-u', 'NONE', '-i', 'NONE', tensor],
        );
        assert.equal(typed.code, 0, typed.stderr);
        assert.equal(await readFile(tensor, 'utf8'), EDITED);
        assert.equal((await mount.status()).dirty_bytes, 4);
        assert.deepEqual(await strays(), []);
      },
    );

    test(
      'vim in a terminal says that a longer tensor was not written',
      requires('vim', 'python3'),
      async (t) => {
        const { tensor, untouched, mount } = await scene(t);
        const typed = await inTerminal(
          [
            ['line 00001', ':set backupskip=\r:1234s/line/another line/\r:w\r'],
            ['E512', ':q!\r'],
          ],
          'vim',
          ['-b', '-N', '-u', 'NONE', '-i', 'NONE', tensor],
        );
        assert.notEqual(typed.code, 99, typed.stdout + typed.stderr);
        await untouched();
        assert.match(await mount.log(), /level=warn[^\n]*notes\.bin/);
      },
    );

    test(
      'nano edits a tensor, and a scratch file with its backup',
      requires('nano', 'python3'),
      async (t) => {
        const { mount, room, tensor, strays } = await scene(t);
        const saved = await nano(tensor, 'L\x04');
        assert.equal(saved.code, 0, saved.stdout + saved.stderr);
        assert.equal(await readFile(tensor, 'utf8'), TEXT.replace('line', 'Line'));
        assert.equal((await mount.status()).dirty_bytes, 1);
        assert.deepEqual(await strays(), []);

        const notes = join(room, 'notes.txt');
        await writeFile(notes, 'line one\n');
        const backed = await inTerminal(
          [
            ['line one', 'my \x0f'],
            ['File Name to Write', '\r'],
            ['Wrote', '\x18'],
          ],
          'nano',
          ['--ignorercfiles', '--backup', notes],
        );
        assert.equal(backed.code, 0, backed.stdout + backed.stderr);
        assert.equal(await readFile(notes, 'utf8'), 'my line one\n');
        assert.equal(await readFile(`${notes}~`, 'utf8'), 'line one\n');
      },
    );

    test('nano says that a longer tensor was not written', requires('nano', 'python3'), async (t) => {
      const { tensor, untouched } = await scene(t);
      const refused = await inTerminal(
        [
          ['line', 'longer\x0f'],
          ['File Name to Write', '\r'],
          ['Error writing', '\x18'],
          ['Save modified buffer', 'n'],
        ],
        'nano',
        ['--ignorercfiles', tensor],
      );
      assert.equal(refused.code, 0, refused.stdout + refused.stderr);
      await untouched();
    });

    for (const [name, edit] of Object.entries(LINE_EDITORS)) {
      // It renames over a file that it still has open; libfuse moves that away first, which a tensor refuses.
      if (name === 'perl -i' && transport === 'fuse-native') continue;
      const program = name.split(' ')[0] as string;
      test(`${name} edits a tensor and leaves nothing beside it`, requires(program), async (t) => {
        const { mount, tensor, strays } = await scene(t);
        const saved = await edit(tensor);
        assert.equal(saved.code, 0, saved.stdout + saved.stderr);
        assert.equal(await readFile(tensor, 'utf8'), EDITED);
        assert.equal((await mount.status()).dirty_bytes, 4);
        assert.deepEqual(await strays(), []);
      });

      test(`${name} edits a scratch file and a gradient, of any size`, requires(program), async (t) => {
        const { mount, room, strays } = await scene(t);
        for (const file of ['notes.txt', 'notes.grad']) {
          const path = join(room, file);
          const text = TEXT.slice(0, TEXT.indexOf('line 01500'));
          await writeFile(path, text);
          const saved = await edit(path);
          assert.equal(saved.code, 0, `${file}: ${saved.stdout}${saved.stderr}`);
          assert.equal(await readFile(path, 'utf8'), text.replace('line 01234', 'LINE 01234'), file);
        }
        assert.deepEqual(await strays(), ['notes.txt']);
        assert.equal((await mount.status()).dirty_bytes, 0, 'a gradient is no edit of the checkpoint');
      });
    }

    const LENGTHENING: Readonly<Record<string, (path: string) => Promise<Outcome>>> = {
      'sed -i': (path) => run('sed', ['-i', 's/line 01234/& and more/', path]),
      'perl -i': (path) => run('perl', ['-pi', '-e', 's/line 01234/$& and more/', path]),
      ed: (path) => run('ed', ['-s', path], { input: '1234s/line/another line/\nw\nq\n' }),
      ex: (path) => run('ex', ['-s', '-u', 'NONE', path], { input: '1234s/line/another line/\nw\nq!\n' }),
    };
    for (const [name, lengthen] of Object.entries(LENGTHENING)) {
      test(
        `${name} cannot make a tensor longer, and says so`,
        requires(name.split(' ')[0] as string),
        async (t) => {
          const { tensor, untouched } = await scene(t);
          const refused = await lengthen(tensor);
          await untouched();
          assert.notEqual(refused.code, 0, refused.stdout + refused.stderr);
        },
      );
    }

    test('perl -i.orig cannot keep the old tensor under another name', requires('perl'), async (t) => {
      const { tensor, untouched } = await scene(t);
      const refused = await run('perl', ['-pi.orig', '-e', 's/line 01234/LINE 01234/', tensor]);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /Operation not permitted/);
      await untouched();
    });

    test('sed -i.orig cannot either', requires('sed'), async (t) => {
      const { tensor, untouched, strays } = await scene(t);
      const refused = await run('sed', ['-i.orig', 's/line 01234/LINE 01234/', tensor]);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /Operation not permitted/);
      await untouched();
      assert.deepEqual(await strays(), []);
    });

    test('sed -i.orig keeps the old bytes of a scratch file', requires('sed'), async (t) => {
      const { room, strays } = await scene(t);
      const notes = join(room, 'notes.txt');
      await writeFile(notes, 'one\ntwo\n');
      const saved = await run('sed', ['-i.orig', 's/two/three/', notes]);
      assert.equal(saved.code, 0, saved.stderr);
      assert.equal(await readFile(notes, 'utf8'), 'one\nthree\n');
      assert.equal(await readFile(`${notes}.orig`, 'utf8'), 'one\ntwo\n');
      assert.deepEqual((await strays()).sort(), ['notes.txt', 'notes.txt.orig']);
    });

    test(
      'vim writes a gradient, and cannot write more than its tensor has bytes',
      requires('vim'),
      async (t) => {
        const { mount, room } = await scene(t);
        const gradient = join(room, 'notes.grad');
        await writeFile(gradient, 'one\ntwo\n');
        const saved = await vim(gradient, 'nobackup nowritebackup', '%s/two/three/', 'wq');
        assert.equal(saved.code, 0, saved.stdout + saved.stderr);
        assert.equal(await readFile(gradient, 'utf8'), 'one\nthree\n');
        const tooLong = await vim(
          gradient,
          'nobackup writebackup backupcopy=yes',
          `put =repeat('x', ${TEXT.length})`,
          'w',
          'q!',
        );
        assert.notEqual(tooLong.code, 0);
        assert.ok((await readFile(gradient)).length <= TEXT.length);
        assert.equal((await mount.status()).dirty_bytes, 0);
      },
    );

    test('what an editor wrote is there after the next mount', requires('sed'), async (t) => {
      const { mount, tensor } = await scene(t);
      assert.equal((await run('sed', ['-i', 's/line 01234/LINE 01234/', tensor])).code, 0);
      const next = await mount.again(transport);
      assert.equal(await readFile(next.model('fc/notes.bin'), 'utf8'), EDITED);
      assert.deepEqual((await readdir(next.model('fc'))).sort(), ['notes.bin', 'notes.grad']);
    });
  });
}
