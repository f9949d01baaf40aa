// The plainest form of an entry, `name: { key: value, key: [value, value] }` on one line, read without the YAML library.
// A file of 10,000 users is read in a tenth of the time; whatever is not as plain as this is left to the library.

const text = /[A-Za-z_/][A-Za-z0-9_/.@-]*/y
const number = /0|[1-9][0-9]{0,8}/y
const space = / */y
/** Printable, without escapes, and without `${`, where the environment would come in. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is kept out.
const inDoubleQuotes = /"((?:[^"\\$\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\uffff]|\$(?!\{))*)"/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is kept out.
const inSingleQuotes = /'((?:[^'$\u0000-\u001f\u007f-\u009f\ud800-\udfff\ufdd0-\uffff]|\$(?!\{))*)'(?!')/y
/** Nothing but comments and empty lines. */
const end = /(?: +#[ -~\u00a0-\ud7ff]*| *)(?:\n *(?:#[ -~\u00a0-\ud7ff]*)?)*$/y
/** Texts that YAML reads as something else. */
const special = /^(?:null|true|false)$/i

export interface PlainEntry {
  /** Of a map; undefined in a list. */
  readonly key: string | undefined
  readonly value: unknown
}

/** Undefined: it is not that plain, or wrong. What comes out is what the library would make of it. */
export function readPlainEntry(source: string, kind: 'list' | 'map'): PlainEntry | undefined {
  const reader = new PlainReader(source)
  if (kind === 'map') {
    const pair = reader.pair()
    return pair === undefined || !reader.isAtEnd() ? undefined : { key: pair.key, value: pair.value }
  }
  if (!source.startsWith('- ')) return undefined
  reader.at = 2
  const value = source[2] === '{' ? reader.value() : ofPair(reader.pair())
  return value === undefined || !reader.isAtEnd() ? undefined : { key: undefined, value }
}

interface Pair {
  readonly key: string
  readonly value: unknown
}

function ofPair(pair: Pair | undefined): unknown {
  return pair && { [pair.key]: pair.value }
}

/** How deep a plain entry goes. */
const depthMax = 8

class PlainReader {
  at = 0
  readonly #source: string
  #depth = 0

  constructor(source: string) {
    this.#source = source
  }

  isAtEnd(): boolean {
    return this.#take(end) !== undefined && this.at === this.#source.length
  }

  pair(): Pair | undefined {
    const key = this.#key()
    if (key === undefined || !this.#skip(': ')) return undefined
    this.#take(space)
    const value = this.value()
    return value === undefined ? undefined : { key, value }
  }

  value(): unknown {
    switch (this.#source[this.at]) {
      case '{':
        return this.#nested(() => this.#map())
      case '[':
        return this.#nested(() => this.#list())
      case '"':
        return this.#take(inDoubleQuotes)
      case "'":
        return this.#take(inSingleQuotes)
      default:
        return this.#plain()
    }
  }

  #plain(): unknown {
    const word = this.#take(text)
    if (word === undefined) {
      const digits = this.#take(number)
      return digits === undefined ? undefined : Number(digits)
    }
    if (word === 'true' || word === 'false') return word === 'true'
    return special.test(word) ? undefined : word
  }

  #key(): string | undefined {
    const first = this.#source[this.at]
    const key = this.#take(first === '"' ? inDoubleQuotes : first === "'" ? inSingleQuotes : text)
    return key === undefined || key === '__proto__' || special.test(key) ? undefined : key
  }

  #map(): Record<string, unknown> | undefined {
    const map: Record<string, unknown> = {}
    if (this.#close('}')) return map
    do {
      this.#take(space)
      const pair = this.pair()
      if (pair === undefined || Object.hasOwn(map, pair.key)) return undefined
      map[pair.key] = pair.value
    } while (this.#comma())
    return this.#close('}') ? map : undefined
  }

  #list(): unknown[] | undefined {
    const list: unknown[] = []
    if (this.#close(']')) return list
    do {
      this.#take(space)
      const value = this.value()
      if (value === undefined) return undefined
      list.push(value)
    } while (this.#comma())
    return this.#close(']') ? list : undefined
  }

  #nested<T>(read: () => T | undefined): T | undefined {
    if (this.#depth === depthMax) return undefined
    this.#depth += 1
    this.at += 1
    const value = read()
    this.#depth -= 1
    return value
  }

  #comma(): boolean {
    this.#take(space)
    return this.#skip(',')
  }

  #close(bracket: string): boolean {
    this.#take(space)
    return this.#skip(bracket)
  }

  #skip(expected: string): boolean {
    if (!this.#source.startsWith(expected, this.at)) return false
    this.at += expected.length
    return true
  }

  /** The group of the pattern, or all that it matched. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    const match = pattern.exec(this.#source)
    if (match === null) return undefined
    this.at = pattern.lastIndex
    return match[1] ?? match[0]
  }
}
