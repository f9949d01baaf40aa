// What only the broker says: topics below `$SYS` and `$oriole`, and user properties whose name begins with `oriole-`.
import type { MessageProperties } from '../message.ts'
import type { Decision } from '../plugin.ts'

const sysRefused: Decision = Object.freeze({ allow: false, because: 'nobody publishes to $SYS' })
const ownRefused: Decision = Object.freeze({ allow: false, because: 'nobody publishes to $oriole' })
const propertyPrefix = 'oriole-'

/** The refusal of a client's message to this topic, whatever the rules say; undefined: the rules are asked. */
export function reservedTopic(topic: string): Decision | undefined {
  if (topic.charCodeAt(0) !== 0x24) return undefined
  if (isBelow('$SYS', topic)) return sysRefused
  return isBelow('$oriole', topic) ? ownRefused : undefined
}

/** What a client sends without the user properties that a receiver takes for the broker's. */
export function withoutReserved(properties: MessageProperties | undefined): MessageProperties | undefined {
  const list = properties?.userProperties
  if (list?.some(isReserved) !== true) return properties
  const { userProperties: _, ...others } = properties!
  const kept = list.filter((property) => !isReserved(property))
  if (kept.length > 0) return { ...others, userProperties: kept }
  return Object.keys(others).length > 0 ? others : undefined
}

function isReserved([name]: readonly [name: string, value: string]): boolean {
  return name.startsWith(propertyPrefix)
}

function isBelow(first: string, topic: string): boolean {
  return topic.startsWith(first) && (topic.length === first.length || topic.charCodeAt(first.length) === 0x2f)
}
