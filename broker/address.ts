// One spelling for each address, so that a limit or a ban cannot be walked around by writing it otherwise; and lists of them.
import { BlockList, isIP, SocketAddress } from 'node:net'

const mappedPrefix = '::ffff:'

/** "::ffff:1.2.3.4" is "1.2.3.4"; an IPv6 address loses its zone; undefined is "". */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return ''
  if (!address.includes(':')) return address
  const zone = address.indexOf('%')
  const bare = zone === -1 ? address : address.slice(0, zone)
  return bare.startsWith(mappedPrefix) && bare.includes('.') ? bare.slice(mappedPrefix.length) : bare
}

/** The canonical text of an address that somebody wrote; undefined: it is none. */
export function canonicalAddress(text: string): string | undefined {
  const version = isIP(text)
  if (version === 0 || text.includes('%')) return undefined
  return plainAddress(new SocketAddress({ address: text, family: version === 4 ? 'ipv4' : 'ipv6' }).address)
}

/** A question "is it one of these": addresses and CIDR ranges. Throws RangeError with the entry that is neither. */
export function addressList(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  for (const entry of entries) addEntry(list, entry)
  return (address) => {
    const version = isIP(address)
    return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}

function addEntry(list: BlockList, entry: string): void {
  const [address = '', prefix, ...rest] = entry.split('/')
  const version = isIP(address)
  const bits = version === 4 ? 32 : 128
  if (version === 0 || address.includes('%') || rest.length > 0) throw new RangeError(entry)
  const family = version === 4 ? 'ipv4' : 'ipv6'
  if (prefix === undefined) {
    list.addAddress(address, family)
    return
  }
  if (!/^\d{1,3}$/.test(prefix) || Number(prefix) > bits) throw new RangeError(entry)
  list.addSubnet(address, Number(prefix), family)
}
