// Addresses and CIDR ranges that a rule names.
import { BlockList, isIP } from 'node:net'

export type AddressTest = (address: string) => boolean

/** Why a text is neither an address nor a range; undefined when it is one. */
export function addressMistake(text: string): string | undefined {
  return parse(text) === undefined ? `"${text}" is neither an address nor a CIDR range such as 10.0.0.0/8` : undefined
}

/** Takes what `addressMistake` let through. An address that is not known ("", a Unix socket) lies in no range. */
export function addressTest(texts: readonly string[]): AddressTest {
  const list = new BlockList()
  for (const text of texts) {
    const { address, bits, family } = parse(text)!
    list.addSubnet(address, bits, family)
  }
  return (address) => {
    const plain = address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
    const kind = isIP(plain)
    return kind !== 0 && list.check(plain, kind === 4 ? 'ipv4' : 'ipv6')
  }
}

function parse(text: string): { address: string; bits: number; family: 'ipv4' | 'ipv6' } | undefined {
  const [address, written, ...more] = text.split('/') as [string, ...string[]]
  const kind = isIP(address)
  if (kind === 0 || more.length > 0 || address.includes('%')) return undefined
  const most = kind === 4 ? 32 : 128
  if (written !== undefined && !/^\d{1,3}$/.test(written)) return undefined
  const bits = written === undefined ? most : Number(written)
  return bits > most ? undefined : { address, bits, family: kind === 4 ? 'ipv4' : 'ipv6' }
}
