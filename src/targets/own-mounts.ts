/** Mount points that this process serves. It must not access them by path. */
export const ownMounts = new Set<string>();
