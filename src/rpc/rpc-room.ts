import type { Graft } from '../fuse/joined-filesystem.ts';
import { RpcFilesystem, type RpcFilesystemOptions } from './rpc-filesystem.ts';

/** /rpc: inference by files. */
export function rpcRoom(options: RpcFilesystemOptions): Graft {
  const filesystem = new RpcFilesystem(options);
  return { name: 'rpc', filesystem, close: () => filesystem.close() };
}
