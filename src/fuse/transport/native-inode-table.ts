import type { Image } from '../../storage/image.ts';
import type { NativeSession } from '../../storage/native.ts';
import type { NativeInodes } from '../native-inodes.ts';
import type { NativeRooms } from './native-rooms.ts';
import type { PublishedImages } from './published-images.ts';
import type { TransportOptions } from './transport.ts';

/**
 * If set to `off`, every request about names and attributes goes through JavaScript. If set to `compare`, too, and each answer is compared with
 * what the table says: differences are warnings at the end of the mount.
 */
const SWITCH = 'MLFS_INODE_TABLE';

/** kCapacity of native/inode_table.h. */
const FIRST_UNPUBLISHED_NODEID = 2 ** 28;

/** Who wants to hear of every request hears nothing of those that the table answers: then it answers none. */
export function inodeTableMode({ trace }: Pick<TransportOptions, 'trace'>): 'on' | 'off' | 'compare' {
  if (process.env[SWITCH] === 'compare') return 'compare';
  return trace !== undefined || process.env[SWITCH] === 'off' ? 'off' : 'on';
}

/** The addon's inode table. After the end of the session it does nothing. */
export class NativeInodeTableOfSession implements NativeInodes {
  readonly limit = FIRST_UNPUBLISHED_NODEID;
  readonly #native: NativeSession;
  readonly #images: PublishedImages;
  readonly #rooms: NativeRooms;
  #defaults: Parameters<NativeInodes['setDefaults']>[0] | undefined;
  #ended = false;

  constructor(native: NativeSession, images: PublishedImages, rooms: NativeRooms) {
    this.#native = native;
    this.#images = images;
    this.#rooms = rooms;
  }

  end(): void {
    this.#ended = true;
  }

  setDefaults(defaults: Parameters<NativeInodes['setDefaults']>[0]): void {
    this.#defaults = defaults;
    this.#native.setTreeDefaults(defaults);
  }

  /** INIT was answered: whether the kernel opens directories without a handle. */
  agreed(noOpendir: boolean): void {
    if (this.#defaults !== undefined) this.#native.setTreeDefaults({ ...this.#defaults, noOpendir });
  }

  setStatfs(body: Uint8Array | undefined): void {
    if (!this.#ended) this.#native.setStatfs(body);
  }

  roomNumber(room: string): number {
    return this.#rooms.numberOfRoom(room);
  }

  fileOf(image: Image): number {
    return this.#ended ? -1 : this.#images.indexOf(image);
  }

  hold(owner: object, images: ReadonlySet<Image>): void {
    if (!this.#ended) this.#images.hold(owner, images);
  }

  addInodes(rows: Float64Array): void {
    if (!this.#ended) this.#native.addInodes(rows);
  }

  changeInode(...change: Parameters<NativeInodes['changeInode']>): boolean {
    return !this.#ended && this.#native.changeInode(...change);
  }

  withdrawInodes(nodeids: Float64Array): void {
    if (!this.#ended) this.#native.withdrawInodes(nodeids);
  }

  publishListings(folders: Float64Array, names: Uint8Array): void {
    if (!this.#ended) this.#native.publishListings(folders, names);
  }

  withdrawListing(nodeid: number): void {
    if (!this.#ended) this.#native.withdrawListing(nodeid);
  }

  withdrawAll(firstNodeid: number, count: number): void {
    if (!this.#ended) this.#native.withdrawAll(firstNodeid, count);
  }

  addReference(nodeid: number): boolean {
    return !this.#ended && this.#native.addReference(nodeid);
  }

  dropReferences(nodeid: number, count: number): boolean {
    return !this.#ended && this.#native.dropReferences(nodeid, count);
  }

  references(nodeid: number): number {
    return this.#ended ? 0 : this.#native.references(nodeid);
  }

  takeRemembered(): Float64Array {
    return this.#ended ? NOBODY : this.#native.takeRemembered();
  }
}

const NOBODY = new Float64Array(0);
