/** Mount points that this process serves: it must not ask them anything by their paths. */
export const ownMounts = new Set<string>();
