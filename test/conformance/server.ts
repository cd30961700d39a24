/**
 * Serves the synthetic tree: `server.ts TRANSPORT MOUNTPOINT IMAGE ro|rw [everybody]`, with `everybody` as allow_other. Prints READY when the mount answers, BLOCKED
 * when a request waits for what never comes, CLOSED when the mount is gone, `LOG …` for each line that the file system logs. Unmounts and
 * ends on SIGTERM. When its standard input ends, whoever started it is gone, and it takes the mount away whoever uses it.
 */

import { fuseNativeTransport } from '../../src/fuse/transport/fuse-native.ts';
import { kernelTransport } from '../../src/fuse/transport/kernel.ts';
import { unmountPath } from '../../src/fuse/transport/unmount.ts';
import { TreeFilesystem } from '../../src/fuse/tree-filesystem.ts';
import { FileSource } from '../../src/storage/file-source.ts';
import { Image } from '../../src/storage/image.ts';
import { editedTree } from './edited-tree.ts';
import { syntheticTree } from './synthetic.ts';

const [transportName, mountpoint, imagePath, access, users] = process.argv.slice(2);
if (mountpoint === undefined || imagePath === undefined) throw new Error('usage: see the head of this file');

const say = (line: string) => process.stdout.write(`${line}\n`);
const transport = [kernelTransport, fuseNativeTransport].find(({ name }) => name === transportName);
if (transport === undefined) throw new Error(`no transport ${transportName}`);

const image = new Image(await FileSource.open(imagePath));
const readOnly = access !== 'rw';
const onBlocked = () => say('BLOCKED');
const log = (message: string) => say(`LOG ${message}`);
const edited = readOnly ? undefined : await editedTree(image, imagePath, { onBlocked, log });
const filesystem =
  edited?.filesystem ??
  new TreeFilesystem(syntheticTree(image, { onBlocked, control: unheard() }), { readOnly });
const session = await transport.mount(filesystem, {
  mountpoint,
  fsname: 'conformance, with a comma',
  readOnly,
  allowOther: users === 'everybody',
  defaultPermissions: false,
  onWarning: (message) => process.stderr.write(`warning: ${message}\n`),
});

process.on('SIGTERM', () => {
  session.unmount().catch((error: unknown) => process.stderr.write(`unmount: ${error}\n`));
});
process.stdin
  .on('end', () => {
    unmountPath(mountpoint, true).then(
      () => process.exit(1),
      () => process.exit(2),
    );
  })
  .resume();
// Nobody may be reading any more.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
say('READY');
await session.closed;
await edited?.close();
say('CLOSED');
process.exit(0);

function unheard() {
  return { kind: 'command', perform: () => Promise.resolve(''), sync: () => Promise.resolve() } as const;
}
