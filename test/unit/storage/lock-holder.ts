/** A process that takes locks for a test: `lock-holder.ts file|state PATH [MOUNTPOINT]`. Says `locked`, and ends when its input does. */
import { diskMedium } from '../../../src/storage/disk-medium.ts';
import { lockFile, takeLock } from '../../../src/storage/lock.ts';

const [kind, path, mountpoint] = process.argv.slice(2);
if (path === undefined) throw new Error('a path is needed');
if (kind === 'file') await lockFile(path);
else await takeLock(diskMedium, path, mountpoint);
process.stdout.write('locked\n');
process.stdin.resume().on('end', () => process.exit(0));
