import type { Transport } from '../fuse/transport/transport.ts';

export type TransportChoice = 'auto' | Transport['name'];

/** `auto` is the kernel transport where its addon was built, otherwise fuse-native. Only the chosen one is loaded. */
export async function chooseTransport(choice: TransportChoice): Promise<Transport> {
  if (choice === 'fuse-native') return fuseNative();
  if (choice === 'auto') {
    const { loadNative } = await import('../storage/native.ts');
    if (loadNative() === undefined) return fuseNative();
  }
  const { kernelTransport } = await import('../fuse/transport/kernel.ts');
  return kernelTransport;
}

async function fuseNative(): Promise<Transport> {
  const { fuseNativeTransport } = await import('../fuse/transport/fuse-native.ts');
  return fuseNativeTransport;
}
