// Addresses and CIDR ranges that a rule names.
import { addressList, plainAddress } from '../../broker/address.ts'

export type AddressTest = (address: string) => boolean

/** Why a text is neither an address nor a range; undefined when it is one. */
export function addressMistake(text: string): string | undefined {
  try {
    addressList([text])
    return undefined
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return `"${text}" is neither an address nor a CIDR range such as 10.0.0.0/8`
  }
}

/** Takes what `addressMistake` let through. An address that is not known ("", a Unix socket) lies in no range. */
export function addressTest(texts: readonly string[]): AddressTest {
  const isListed = addressList(texts)
  return (address) => isListed(plainAddress(address))
}
