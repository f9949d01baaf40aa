// The password file and the acl_file of mosquitto.
import { parseMosquittoHash } from '../mosquitto-hash.ts'
import type { Imported, ImportedRule } from './imported.ts'

/** `name:$7$101$salt$hash`, a line for each user. */
export function importPasswords(text: string, file: string, into: Imported): void {
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue
    const place = `${file}:${index + 1}`
    const end = line.lastIndexOf(':')
    const [name, hash] = [line.slice(0, end), line.slice(end + 1)]
    if (end < 1 || parseMosquittoHash(hash) === undefined) {
      // Never the text: it may be a password that was not hashed yet.
      into.notes.push(`${place}: left out, it is no user with a hash that mosquitto_passwd made`)
      continue
    }
    if (into.users.has(name)) into.notes.push(`${place}: the user ${name} stands there twice, the last one counts`)
    into.users.set(name, { password: hash })
  }
}

/** Access words and what they allow. `read` is what comes to a client, `write` what it sends. */
const accesses: Readonly<Record<string, readonly ('publish' | 'subscribe')[]>> = {
  read: ['subscribe'],
  write: ['publish'],
  readwrite: ['subscribe', 'publish'],
  deny: ['subscribe', 'publish'],
}

/** `user NAME`, `topic [read|write|readwrite|deny] FILTER`, `pattern … FILTER` with %u and %c. */
export function importRules(text: string, file: string, into: Imported): void {
  let user: string | undefined
  let general = 0
  for (const [index, written] of text.split(/\r?\n/).entries()) {
    const line = written.trim()
    if (line === '' || line.startsWith('#')) continue
    const place = `${file}:${index + 1}`
    const [word = '', rest = ''] = split(line)
    if (word === 'user') {
      user = rest
      continue
    }
    if (word !== 'topic' && word !== 'pattern') {
      into.notes.push(`${place}: left out, "${word}" is not known`)
      continue
    }
    const [first, remaining] = split(rest)
    const hasAccess = Object.hasOwn(accesses, first) && remaining !== ''
    const access = hasAccess ? first : 'readwrite'
    const topic = hasAccess ? remaining : rest
    if (/[{}]/.test(topic)) {
      into.notes.push(`${place}: left out, braces in a filter are placeholders here: ${topic}`)
      continue
    }
    if (word === 'topic' && user === undefined) {
      general += 1
      continue
    }
    const filter = word === 'pattern' ? topic.replaceAll('%u', '{user}').replaceAll('%c', '{client}') : topic
    into.rules.push(ruleOf(access, filter, word === 'topic' ? user : undefined))
  }
  if (general > 0) {
    into.notes.push(`${file}: ${general} topics before the first user left out: they are for clients without a name`)
  }
  into.notes.push(
    `${file}: mosquitto accepts every SUBSCRIBE and filters what is delivered; here a filter that is not covered by the rules is refused`,
  )
}

function ruleOf(access: string, filter: string, user: string | undefined): ImportedRule {
  const may = accesses[access]!
  return {
    effect: access === 'deny' ? 'deny' : 'allow',
    ...(user === undefined ? {} : { users: user }),
    ...(may.includes('subscribe') ? { subscribe: [filter] } : {}),
    ...(may.includes('publish') ? { publish: [filter] } : {}),
  }
}

/** The first word, and the rest, in which spaces count. */
function split(line: string): [first: string, rest: string] {
  const match = /^(\S+)(?:\s+(.*))?$/.exec(line)
  return match === null ? ['', ''] : [match[1]!, match[2] ?? '']
}
