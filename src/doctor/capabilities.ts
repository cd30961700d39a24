/** What the kernel lets this process do, from /proc/self/status: a container takes capabilities away from root, too. */
import { readFile } from 'node:fs/promises';

/** Bits of linux/capability.h. */
export const CAPABILITIES = { SYS_ADMIN: 21n, MKNOD: 27n } as const;

/**
 * Whether root has the capability here: this process, when it is root; otherwise one that a setuid program or sudo starts, which gets
 * no more than the bounding set. True when the kernel does not say.
 */
export async function rootHas(capability: keyof typeof CAPABILITIES): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const set = process.getuid?.() === 0 ? 'CapEff' : 'CapBnd';
  const mask = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
  return mask === undefined || ((BigInt(`0x${mask}`) >> CAPABILITIES[capability]) & 1n) === 1n;
}
