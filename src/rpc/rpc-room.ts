import type { Graft } from '../fuse/joined-filesystem.ts';

export interface RpcOptions {
  /** How long a read waits for an answer. */
  readonly timeoutMs: number;
  readonly log: (message: string) => void;
}

/** /rpc: inference by files. */
export interface RpcRoom extends Graft {
  close(): Promise<void>;
}

/** Nothing yet. */
export function rpcRoom(_options: RpcOptions): RpcRoom | undefined {
  return undefined;
}
