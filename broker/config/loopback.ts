// Which addresses never leave this machine.
import { isIP } from 'node:net'

/** `localhost` counts: what it resolves to is the system's word, and every system says loopback. */
export function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  if (isIP(bare) === 4) return bare.startsWith('127.')
  if (isIP(bare) === 6) return bare === '::1' || bare === '0:0:0:0:0:0:0:1' || /^::ffff:127\./.test(bare)
  return bare === 'localhost'
}
