// Topic names and topic filters (MQTT 5.0, 4.7 and 4.8.2): syntax, matching, limits. Pure functions.

const slash = 0x2f
const plus = 0x2b
const hash = 0x23
const dollar = 0x24
/** Longer strings cannot stand in a packet (1.5.4). */
const maxBytes = 65_535
const sharePrefix = '$share/'

/** A topic to publish to: at least one character, no wildcard, no U+0000 [MQTT-4.7.1-1], [MQTT-4.7.3-1], [MQTT-4.7.3-2]. */
export function isValidTopicName(topic: string): boolean {
  for (let index = 0; index < topic.length; index++) {
    const code = topic.charCodeAt(index)
    if (code === plus || code === hash || code === 0) return false
  }
  return topic.length > 0 && fits(topic)
}

/** What is wrong with the syntax of a filter, `$share/NAME/` included; undefined: nothing. */
export function filterProblem(filter: string): string | undefined {
  if (!filter.startsWith(sharePrefix)) return plainFilterProblem(filter)
  const end = filter.indexOf('/', sharePrefix.length)
  if (end < 0) return 'has no filter after the name of the shared subscription'
  if (end === sharePrefix.length) return 'has an empty name of a shared subscription'
  for (let index = sharePrefix.length; index < end; index++) {
    const code = filter.charCodeAt(index)
    if (code === plus || code === hash) return 'has a wildcard in the name of a shared subscription'
  }
  if (end + 1 === filter.length) return 'has no filter after the name of the shared subscription'
  return plainFilterProblem(filter.slice(end + 1)) ?? (fits(filter) ? undefined : tooLong)
}

/**
 * The parts of `$share/NAME/filter`, or undefined for an ordinary filter. The filter must have passed `filterProblem`.
 * The prefix means the same before MQTT 5, as in the brokers that 3.1.1 clients know.
 */
export function parseShare(filter: string): { readonly share: string; readonly filter: string } | undefined {
  if (!filter.startsWith(sharePrefix)) return undefined
  const end = filter.indexOf('/', sharePrefix.length)
  return { share: filter.slice(sharePrefix.length, end), filter: filter.slice(end + 1) }
}

/**
 * Does the filter, which is valid and without `$share/NAME/`, match the topic? A leading wildcard does not match a
 * topic that begins with `$` [MQTT-4.7.2-1]; `sport/#` matches `sport` too (4.7.1.2).
 */
export function topicMatches(filter: string, topic: string): boolean {
  const filterEnd = filter.length
  const topicEnd = topic.length
  let f = 0
  let t = 0
  if (topic.charCodeAt(0) === dollar) {
    const first = filter.charCodeAt(0)
    if (first === plus || first === hash) return false
  }
  for (;;) {
    // Both stand at the beginning of a level.
    const code = filter.charCodeAt(f)
    if (code === hash) return true
    if (code === plus) {
      f++
      while (t < topicEnd && topic.charCodeAt(t) !== slash) t++
    } else {
      while (f < filterEnd && filter.charCodeAt(f) !== slash) {
        if (t >= topicEnd || filter.charCodeAt(f) !== topic.charCodeAt(t)) return false
        f++
        t++
      }
      if (t < topicEnd && topic.charCodeAt(t) !== slash) return false
    }
    // Both stand at a slash or at the end.
    if (f === filterEnd) return t === topicEnd
    if (t === topicEnd) return f + 2 === filterEnd && filter.charCodeAt(f + 1) === hash
    f++
    t++
  }
}

/** `a/b/c` has three levels; an empty one counts. */
export function levelCount(topic: string): number {
  let count = 1
  for (let index = 0; index < topic.length; index++) {
    if (topic.charCodeAt(index) === slash) count++
  }
  return count
}

export interface TopicLimits {
  /** UTF-8 bytes. */
  readonly topicMaxBytes: number
  readonly topicMaxLevels: number
}

/** Which limit a topic or filter breaks; undefined: none. Over it the packet is refused, by the connection. */
export function checkTopicLimits(topic: string, limits: TopicLimits): string | undefined {
  // No character has more than three bytes for each UTF-16 unit, so short strings need not be measured.
  if (topic.length * 3 > limits.topicMaxBytes && Buffer.byteLength(topic) > limits.topicMaxBytes) {
    return `is longer than ${limits.topicMaxBytes} bytes`
  }
  if (levelCount(topic) > limits.topicMaxLevels) return `has more than ${limits.topicMaxLevels} levels`
  return undefined
}

const tooLong = `is longer than ${maxBytes} bytes`

function plainFilterProblem(filter: string): string | undefined {
  if (filter.length === 0) return 'is empty'
  for (let index = 0; index < filter.length; index++) {
    const code = filter.charCodeAt(index)
    if (code === 0) return 'contains U+0000'
    if (code !== plus && code !== hash) continue
    // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
    if (index > 0 && filter.charCodeAt(index - 1) !== slash)
      return 'has a wildcard beside other characters of its level'
    if (index + 1 === filter.length) continue
    if (code === hash) return 'has # before its end'
    if (filter.charCodeAt(index + 1) !== slash) return 'has a wildcard beside other characters of its level'
  }
  return fits(filter) ? undefined : tooLong
}

function fits(text: string): boolean {
  return text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes
}
