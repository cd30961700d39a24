/** /logs: the lines the mount writes, and what users append to them. */
import type { LiveContent } from '../storage/content.ts';
import type { DirectoryInode } from './inode.ts';
import type { InodeTable } from './inode-table.ts';

export function addLogsRoom(table: InodeTable, room: DirectoryInode, log: LiveContent): void {
  table.add(room, 'fuse.log', { content: () => log, mode: 0o644 });
}
