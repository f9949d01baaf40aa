// On which other node the shadow of a session lies: each node finds the same one, and when a node comes or goes only the
// shadows that concern it move (rendezvous hashing).
import type { Member } from './meeting.ts'

/** The one with the highest number for this client; undefined: there is nobody. */
export function chooseHolder(clientId: string, nodes: readonly Member[]): Member | undefined {
  let chosen: Member | undefined
  let highest = -1
  for (const member of nodes) {
    const number = mixed(`${member.node} ${clientId}`)
    if (number <= highest) continue
    highest = number
    chosen = member
  }
  return chosen
}

/** FNV-1a with the last step of Murmur: also names that differ in one letter are spread. */
function mixed(text: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  hash ^= hash >>> 16
  hash = Math.imul(hash, 0x85ebca6b)
  hash ^= hash >>> 13
  hash = Math.imul(hash, 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
