import type { Graft } from '../fuse/joined-filesystem.ts';
import { RpcFilesystem, type RpcFilesystemOptions } from './rpc-filesystem.ts';

/** /rpc: inference by files. */
export function rpcRoom(options: RpcFilesystemOptions): Graft {
  const filesystem = new RpcFilesystem(options);
  return { name: 'rpc', filesystem, close: () => filesystem.close(), metrics: () => metricsOf(filesystem) };
}

function metricsOf(filesystem: RpcFilesystem) {
  const { workers, queued, running, done, failed } = filesystem.counters();
  const answered = { name: 'rpc_calls_total', help: 'Calls in /rpc that were answered, or failed.' };
  return [
    { name: 'rpc_workers', help: 'Workers that wait for a call or compute one.', value: workers },
    { name: 'rpc_queued_calls', help: 'Calls that wait for a worker.', value: queued },
    { name: 'rpc_running_calls', help: 'Calls that a worker has taken.', value: running },
    { ...answered, labels: { result: 'done' }, value: done },
    { ...answered, labels: { result: 'failed' }, value: failed },
  ];
}
