// When do several filters together cover another one? Answered exactly, by looking at a few topics.
import type { MatchTree } from './filters.ts'

/** A level that no filter names: U+0000 stands in none. */
const unnamed = '\0'

/**
 * The topics that tell whether filters of up to `depth` levels cover `filter`: they do when each of these is matched by
 * one of them.
 *
 * Why so few suffice. Take a topic that `filter` matches, and write `unnamed` wherever `filter` has a wildcard. Only `+`
 * and `#` match there, and they match the name that stood there as well; so whatever matches the second topic matches
 * the first. The one exception of the standard, that a wildcard at the first level matches no name that begins with `$`
 * [MQTT-4.7.2-1], holds for `filter` too: it matches no such topic. What `#` stands for may have any length, and longer
 * than all of the filters they are alike: only a `#` reaches there. `a/#` matches `a` as well (4.7.1.2), `#` alone
 * matches topics of one level or more.
 */
export function witnesses(filter: string, depth: number): string[][] {
  const levels = filter.split('/').map((level) => (level === '+' ? unnamed : level))
  if (levels.at(-1) !== '#') return [levels]
  const prefix = levels.slice(0, -1)
  const topics: string[][] = []
  const longest = Math.max(depth, prefix.length) + 1
  for (let length = Math.max(prefix.length, 1); length <= longest; length++) {
    topics.push([...prefix, ...new Array<string>(length - prefix.length).fill(unnamed)])
  }
  return topics
}

/** True when every topic that `filter` matches is matched by a filter of the tree. */
export function covers(tree: MatchTree<unknown>, filter: string): boolean {
  return witnesses(filter, tree.depth).every((topic) => tree.matchesLevels(topic))
}
