/** /ir of mounted archives, read by the programs that people read it with: unzip, Python, Graphviz. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Fixture, readFixtures } from '../support/fixtures.ts';
import { DEBIAN_PYTHON } from '../support/requires.ts';
import { output } from '../support/run.ts';
import { mountable, Server, TRANSPORTS } from '../support/served.ts';

function fixture(name: string): Fixture {
  const found = readFixtures().find((one) => one.name === name);
  assert.ok(found, name);
  return found;
}

const DOCUMENTS = `
import glob, json, os, sys
for path in sorted(glob.glob(sys.argv[1] + '/ir/*.*')):
    size = os.stat(path).st_size
    with open(path, 'rb') as file:
        content = file.read()
    assert len(content) == size == os.stat(path).st_size, path
    content.decode()
    if path.endswith('.json'):
        json.loads(content)
    print(os.path.basename(path))
`;

for (const transport of TRANSPORTS) {
  describe(`through ${transport}`, mountable(transport, 'unzip', 'dot', 'python3'), () => {
    let server: Server;
    before(async () => {
      server = await Server.start();
    });
    after(() => server.stop());

    const mounted = async (name: string) => {
      const { path } = fixture(name);
      const mount = await server.mount(path, { transport, readOnly: true });
      return { archive: path, mountpoint: mount.path };
    };

    test('code is byte for byte what unzip inflates', async () => {
      for (const name of ['torch-1.13/scripted.pt', 'torch-2.13/scripted.pt', 'torch-2.13/scripted-net.pt']) {
        const { archive, mountpoint } = await mounted(name);
        const code = join(mountpoint, 'ir/code');
        const listed = await output('unzip', ['-Z1', archive]);
        const entries = listed.split('\n').filter((entry) => /\/code\/.*\.py$/.test(entry));
        const files = await readdir(code, { recursive: true });
        assert.deepEqual(
          files.filter((file) => file.endsWith('.py')).sort(),
          entries.map((entry) => entry.replace(/^[^/]+\/code\//, '')).sort(),
        );
        for (const entry of entries) {
          const path = join(code, entry.replace(/^[^/]+\/code\//, ''));
          assert.equal(await output('cat', [path]), await output('unzip', ['-p', archive, entry]), entry);
        }
      }
    });

    test("Python's own parser takes the code", async () => {
      const { mountpoint } = await mounted('torch-2.13/scripted-net.pt');
      const script = 'import ast, sys\nfor path in sys.argv[1:]: ast.parse(open(path).read())';
      const found = await output('find', [join(mountpoint, 'ir/code'), '-name', '*.py']);
      const files = found.trim().split('\n');
      assert.equal(files.length, 8);
      await output(DEBIAN_PYTHON, ['-c', script, ...files]);
    });

    test('documents have the size that stat says, and Graphviz lays the graphs out', async () => {
      const wanted = {
        'torch-2.13/scripted-net.pt': ['graph', 'module_tree'],
        'torch-2.13/exported.pt2': ['graph', 'module_tree'],
        'torch-2.13/resnet18-meta.pt': ['module_tree'],
        'torch-2.13/weird-names.pt': ['module_tree'],
      };
      for (const [name, stems] of Object.entries(wanted)) {
        const { mountpoint } = await mounted(name);
        const names = await output(DEBIAN_PYTHON, ['-c', DOCUMENTS, mountpoint]);
        const files = stems.flatMap((stem) => [`${stem}.dot`, `${stem}.json`, `${stem}.txt`]);
        assert.deepEqual(names.trim().split('\n'), files, name);
        for (const stem of stems) {
          const svg = await output('dot', ['-Tsvg', join(mountpoint, `ir/${stem}.dot`)]);
          assert.match(svg, /<svg [\s\S]*<g id="node1"/, `${name} ${stem}`);
        }
      }
    });

    test('the tensors of both are files of /model', async () => {
      const scripted = await mounted('torch-2.13/scripted-net.pt');
      const conv = await output('ls', [join(scripted.mountpoint, 'model/blocks/0/conv')]);
      assert.match(conv, /^bias\.bin\n(bias\.grad\n)?weight\.bin\n/);
      const exported = await mounted('torch-2.13/exported.pt2');
      const fc = await output('ls', [join(exported.mountpoint, 'model/fc')]);
      assert.match(fc, /^bias\.bin\nbias\.grad\nweight\.bin\n/);
    });
  });
}
