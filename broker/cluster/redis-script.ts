// Runs a script in Redis by its hash; only a Redis that does not know it yet gets the text.
import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

export class RedisScript {
  readonly #text: string
  readonly #hash: string

  constructor(text: string) {
    this.#text = text
    this.#hash = createHash('sha1').update(text).digest('hex')
  }

  async run(redis: Redis, keys: readonly string[], values: readonly (string | Buffer)[]): Promise<unknown> {
    try {
      return await redis.evalsha(this.#hash, keys.length, ...keys, ...values)
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return this.runInOrder(redis, keys, values)
    }
  }

  /** With its text each time: what is sent after it is obeyed after it, also by a Redis that does not know it yet. */
  runInOrder(redis: Redis, keys: readonly string[], values: readonly (string | Buffer)[]): Promise<unknown> {
    return redis.eval(this.#text, keys.length, ...keys, ...values)
  }
}
