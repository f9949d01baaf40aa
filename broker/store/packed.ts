// Many short records in a few large buffers: a buffer of its own costs each of them more than its content.

const slabBytes = 262_144

export class Packed {
  #slab = Buffer.alloc(0)
  #used = 0

  /** Copies the record and tells where it lies. */
  add(record: Uint8Array): { buffer: Buffer; start: number } {
    if (this.#used + record.length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, record.length))
      this.#used = 0
    }
    const start = this.#used
    this.#slab.set(record, start)
    this.#used += record.length
    return { buffer: this.#slab, start }
  }
}
