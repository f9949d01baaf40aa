// What a disk holds after a power cut, from the calls of the process that wrote to it.
//
// The model is that of file systems with one journal (ext4, xfs, btrfs), at its worst:
// - Of a file there is what was written before its last fsync or fdatasync began, and no byte more.
// - Names (a file made, renamed or deleted) change in the order of the calls. They are safe up to the last fsync of a
//   folder, and up to the making of a file that was synced itself; of the later ones only the first so many are there, or
//   none. So a deleted file may be back, and a rename undone: LevelDB does not sync the folder after it renames CURRENT.
import { basename, relative } from 'node:path'
import type { Random } from '../helpers/random.ts'
import { type Call, descriptorOf, type Step, stringsOf } from './strace.ts'

/** A file, whatever it is called. */
export class Inode {
  readonly #chunks: Buffer[] = []
  length = 0
  syncedBytes = 0
  /** What it was called first, without the folder. */
  readonly name: string
  /** Each sync: how many bytes it covered, and the number of the step at which it had returned. */
  readonly syncs: { readonly bytes: number; readonly at: number }[] = []

  constructor(name: string) {
    this.name = name
  }

  write(data: Buffer): void {
    this.#chunks.push(data)
    this.length += data.length
  }

  truncate(): void {
    this.#chunks.length = 0
    this.length = 0
    this.syncedBytes = 0
  }

  content(bytes = this.length): Buffer {
    return Buffer.concat(this.#chunks).subarray(0, bytes)
  }
}

interface NameChange {
  /** The new name of the inode; undefined: it is deleted. */
  readonly name: string | undefined
  readonly before: string | undefined
  readonly inode: Inode
}

export class DiskModel {
  readonly inodes: Inode[] = []
  readonly #path: string
  readonly #changes: NameChange[] = []
  readonly #names = new Map<string, Inode>()
  /** Of this process. */
  readonly #open = new Map<number, Inode | 'folder'>()
  /** How long a file was when the sync began. */
  readonly #syncing = new Map<Call, number>()
  #safeChanges = 0
  #step = 0

  /** `path`: the data folder; other files do not matter. */
  constructor(path: string) {
    this.#path = path
  }

  /** Another process goes on with the same files. */
  restart(): void {
    this.#open.clear()
  }

  /** `step.call` must have returned when it is the end of it. Throws for a call that it does not know. */
  take({ call, isEnd }: Step): void {
    this.#step += 1
    if (!isEnd) this.#begin(call)
    else if (call.result !== undefined && call.result >= 0) this.#end(call, call.result)
  }

  /** As the running system sees it: relative path to content. */
  whole(): Map<string, Buffer> {
    return new Map([...this.#names].map(([name, inode]) => [name, inode.content()]))
  }

  /** `random` decides how many of the changes of names that are not safe are there. */
  afterPowerCut(random: Random): Map<string, Buffer> {
    const unsafe = this.#changes.length - this.#safeChanges
    const kept = this.#safeChanges + random.pick([0, unsafe, random.below(unsafe + 1)])
    const names = new Map<string, Inode>()
    for (const { name, before, inode } of this.#changes.slice(0, kept)) {
      if (before !== undefined) names.delete(before)
      if (name !== undefined) names.set(name, inode)
    }
    return new Map([...names].map(([name, inode]) => [name, inode.content(inode.syncedBytes)]))
  }

  #begin(call: Call): void {
    const file = this.#open.get(descriptorOf(call))
    // Another thread may be given the number before the call returns.
    if (call.name === 'close') this.#open.delete(descriptorOf(call))
    if (call.name !== 'fsync' && call.name !== 'fdatasync') return
    if (file === 'folder') this.#syncing.set(call, this.#changes.length)
    else if (file !== undefined) this.#syncing.set(call, file.length)
  }

  #end(call: Call, result: number): void {
    const { name } = call
    if (name === 'openat' || name === 'open' || name === 'creat') this.#opened(call, result)
    else if (name === 'rename') this.#renamed(call)
    else if (name === 'unlink') this.#unlinked(call)
    else if (name === 'fsync' || name === 'fdatasync') this.#synced(call)
    else if (name === 'write') {
      const file = this.#open.get(descriptorOf(call))
      if (file instanceof Inode) file.write(stringsOf(call)[0]!.subarray(0, result))
    } else if (unknown.has(name) && this.#concerns(call)) throw new Error(`${name}(${call.args}) is not in the model`)
  }

  #concerns(call: Call): boolean {
    return this.#open.has(descriptorOf(call)) || call.args.includes(`"${this.#path}`)
  }

  #opened(call: Call, descriptor: number): void {
    const name = this.#nameOf(stringsOf(call)[0]!)
    this.#open.delete(descriptor)
    if (name === undefined) return
    const found = this.#names.get(name)
    if (found !== undefined) {
      if (call.args.includes('O_TRUNC')) found.truncate()
      this.#open.set(descriptor, found)
    } else if (call.args.includes('O_CREAT')) {
      const inode = new Inode(basename(name))
      this.inodes.push(inode)
      this.#change({ name, before: undefined, inode })
      this.#open.set(descriptor, inode)
    } else this.#open.set(descriptor, 'folder')
  }

  #renamed(call: Call): void {
    const [from, to] = stringsOf(call).map((path) => this.#nameOf(path))
    const inode = from === undefined ? undefined : this.#names.get(from)
    if (inode !== undefined) this.#change({ name: to, before: from, inode })
  }

  #unlinked(call: Call): void {
    const name = this.#nameOf(stringsOf(call)[0]!)
    const inode = name === undefined ? undefined : this.#names.get(name)
    if (inode !== undefined) this.#change({ name: undefined, before: name, inode })
  }

  #change(change: NameChange): void {
    this.#changes.push(change)
    if (change.before !== undefined) this.#names.delete(change.before)
    if (change.name !== undefined) this.#names.set(change.name, change.inode)
  }

  #synced(call: Call): void {
    const covered = this.#syncing.get(call)
    this.#syncing.delete(call)
    const file = this.#open.get(descriptorOf(call))
    if (covered === undefined || file === undefined) return
    if (file === 'folder') {
      this.#safeChanges = Math.max(this.#safeChanges, covered)
      return
    }
    file.syncedBytes = Math.max(file.syncedBytes, covered)
    file.syncs.push({ bytes: covered, at: this.#step })
    const made = this.#changes.findIndex(({ inode, before }) => inode === file && before === undefined)
    this.#safeChanges = Math.max(this.#safeChanges, made + 1)
  }

  /** Relative to the data folder; undefined: it is elsewhere. */
  #nameOf(path: Buffer): string | undefined {
    const name = relative(this.#path, path.toString())
    return name.startsWith('..') ? undefined : name
  }
}

/** Calls that would change a file in ways that are not in the model. */
const unknown = new Set([
  ...['writev', 'pwrite64', 'pwritev', 'sendto', 'ftruncate', 'truncate', 'fallocate', 'link', 'linkat'],
  ...['copy_file_range', 'renameat', 'renameat2', 'unlinkat'],
])
