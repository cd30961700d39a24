import { resolve } from 'node:path';
import { unmountPath } from '../fuse/transport/unmount.ts';
import { Log } from '../telemetry/log.ts';
import { chooseTransport } from './choose-transport.ts';
import type { MountOptions } from './mount-options.ts';
import { MountServer } from './mount-server.ts';
import type { Mounted } from './mounted.ts';
import { prepareMountpoint } from './mountpoint.ts';

/** Mounts a checkpoint file; resolves when the mount point answers. */
export async function mount(
  checkpointPath: string,
  mountpoint: string,
  options: MountOptions = {},
): Promise<Mounted> {
  const startedMs = Date.now();
  const log = new Log({ level: options.logLevel, sink: options.logSink });
  const notice = (message: string) => {
    log.warn(message);
    options.onNotice?.(message);
  };
  const transport = await chooseTransport(options.transport ?? 'auto');
  const directory = await prepareMountpoint(mountpoint, {
    checkpointPath: resolve(checkpointPath),
    nonEmpty: options.nonEmpty ?? false,
    onNotice: notice,
    detach: (path) => unmountPath(path, true),
  });
  return MountServer.start(options, {
    checkpointPath: resolve(checkpointPath),
    mountpoint: directory,
    transport,
    log,
    notice,
    startedMs,
  });
}
