// The placeholders of rules: {user}, {group}, {client} and {attr.NAME}, filled in literally, never as wildcards.

export interface PlaceholderValues {
  readonly user: string
  readonly client: string
  /** "" when the filter is not read for one group. */
  readonly group: string
  readonly attributes: Readonly<Record<string, string>>
}

const anyBraces = /\{([^{}/]*)\}/g
const known = /^(?:user|group|client|attr\.[A-Za-z0-9_-]+)$/

/** Why the placeholders of a filter are wrong; undefined when they are right. */
export function placeholderMistake(filter: string): string | undefined {
  for (const [written, name] of filter.matchAll(anyBraces)) {
    if (known.test(name!)) continue
    return `"${written}" is not known; there are {user}, {group}, {client} and {attr.NAME}`
  }
  return undefined
}

/** The filter as the checker of filters should see it: a name in the place of each placeholder. */
export function withoutPlaceholders(filter: string): string {
  return filter.replace(anyBraces, 'x')
}

export function hasPlaceholder(filter: string): boolean {
  return filter.includes('{')
}

export function namesGroup(filter: string): boolean {
  return filter.includes('{group}')
}

/**
 * Undefined when a value would be more than a part of one level: an allow is void then. A deny passes `wide`, and gets
 * a `+` there, as wide as it could be meant.
 */
export function expand(filter: string, values: PlaceholderValues, wide: boolean): string | undefined {
  if (!hasPlaceholder(filter)) return filter
  const levels: string[] = []
  for (const level of filter.split('/')) {
    let literal = true
    const expanded = level.replace(anyBraces, (_, name: string) => {
      const value = placeholderValue(name, values)
      literal &&= isLiteral(value)
      return value
    })
    if (!literal && !wide) return undefined
    levels.push(literal ? expanded : '+')
  }
  return levels.join('/')
}

function placeholderValue(name: string, values: PlaceholderValues): string {
  if (name === 'user' || name === 'client' || name === 'group') return values[name]
  const attribute = name.slice('attr.'.length)
  return Object.hasOwn(values.attributes, attribute) ? values.attributes[attribute]! : ''
}

function isLiteral(value: string): boolean {
  return value !== '' && !/[+#/\p{Cc}]|^\$/u.test(value)
}
