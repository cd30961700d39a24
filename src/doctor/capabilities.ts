/** The capabilities of this process, from /proc/self/status: a container takes capabilities away from root, too. */
import { readFile } from 'node:fs/promises';

/** Bit numbers from linux/capability.h. */
export const CAPABILITIES = { SYS_ADMIN: 21n, MKNOD: 27n } as const;

/**
 * Whether root has the capability here. When this process is root, its own set counts; otherwise the bounding set, which limits what a
 * setuid program or sudo gets. True when the kernel does not say.
 */
export async function rootHas(capability: keyof typeof CAPABILITIES): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const set = process.getuid?.() === 0 ? 'CapEff' : 'CapBnd';
  const mask = new RegExp(`^${set}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
  return mask === undefined || ((BigInt(`0x${mask}`) >> CAPABILITIES[capability]) & 1n) === 1n;
}
