// `oriole ban`: keeps users, client ids and addresses out, for a while or until they are removed from the list.
import { join } from 'node:path'
import { askBroker } from '../admin/control.ts'
import { type Ban, type BanKind, Bans, bansFileName, checkBan } from '../bans.ts'
import { type Command, type Input, UsageError } from './command.ts'
import { dataPath } from './data-path.ts'
import { connectionsEnded, type Outcome, warnOfUntold } from './told-nodes.ts'

const helpCommand = 'oriole ban --help'
const kinds = ['user', 'client', 'address'] as const satisfies readonly BanKind[]
const seconds = { s: 1, m: 60, h: 3_600, d: 86_400 } as const

export const command: Command = {
  summary: 'keep users, clients and addresses out',
  usage: 'add | remove | list [--user USER | --client CLIENT | --address ADDRESS] [OPTIONS]',
  details: `
oriole ban add --user mallory            until it is removed
oriole ban add --address 203.0.113.0/24 --for 2d --because "scans"
oriole ban remove --user mallory
oriole ban list

Who is banned is refused with 0x8A, and its connections end at once. A running broker is asked over the socket in its
data folder; of a stopped one the list in that folder is changed. In a cluster all nodes have the same list, whichever of
them is asked; one that is away, or is stopped when its list is changed, and the others learn of it when it is back.`,
  options: {
    user: { value: 'USER', short: 'u', help: 'whoever logs in as this user' },
    client: { value: 'CLIENT', help: 'whoever comes with this client id' },
    address: { value: 'ADDRESS', short: 'a', help: 'an address, or a range: 10.0.0.0/8' },
    for: { value: 'TIME', help: 'how long: 90s, 15m, 2h, 7d; without it for good' },
    because: { value: 'TEXT', help: 'stands in the list and in the log' },
    data: { value: 'DATA', short: 'd', help: 'the data folder of the broker; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 1,

  async run(input) {
    const [what] = input.positionals
    if (what !== 'add' && what !== 'remove' && what !== 'list') {
      throw new UsageError('say add, remove or list', helpCommand)
    }
    const path = await dataPath(input.text('data'), input.text('config'))
    if (what === 'list') return list(path)
    const { kind, value } = target(input)
    return what === 'add' ? add(path, kind, value, input) : remove(path, kind, value)
  },
}

async function list(path: string): Promise<number> {
  const answer = (await askBroker(path, { do: 'ban list' })) as { bans: readonly Ban[] } | undefined
  const bans = answer?.bans ?? (await stopped(path)).list()
  for (const { kind, value, until, because } of bans) {
    const end = until === undefined ? 'for good' : `until ${new Date(until).toISOString()}`
    process.stdout.write(
      `${kind.padEnd(7)} ${JSON.stringify(value)} ${end}${because === undefined ? '' : `: ${because}`}\n`,
    )
  }
  return 0
}

async function add(path: string, kind: BanKind, value: string, input: Input): Promise<number> {
  const forS = durationS(input.text('for'))
  const because = input.text('because')
  const options = { ...(forS !== undefined && { forS }), ...(because !== undefined && { because }) }
  const answer = (await askBroker(path, { do: 'ban add', kind, value, ...options })) as Outcome | undefined
  if (answer === undefined) {
    const since = Date.now()
    const until = forS === undefined ? {} : { until: since + forS * 1000 }
    await (await stopped(path)).add({ kind, value, since, ...until, ...(because !== undefined && { because }) }).stored
  }
  const ended = answer === undefined ? 'no broker runs' : connectionsEnded(answer)
  process.stdout.write(`${kind} ${JSON.stringify(value)} is banned; ${ended}\n`)
  warnOfUntold(answer?.others ?? [], 'and learns of it when it is back')
  return 0
}

async function remove(path: string, kind: BanKind, value: string): Promise<number> {
  const answer = (await askBroker(path, { do: 'ban remove', kind, value })) as Removal | undefined
  const removed = answer?.removed ?? (await (await stopped(path)).remove(kind, value)) !== undefined
  process.stdout.write(`${kind} ${JSON.stringify(value)} ${removed ? 'is banned no longer' : 'was not banned'}\n`)
  warnOfUntold(answer?.others ?? [], 'and learns of it when it is back')
  return removed ? 0 : 1
}

interface Removal extends Pick<Outcome, 'others'> {
  readonly removed: boolean
}

function stopped(path: string): Promise<Bans> {
  return Bans.open(join(path, bansFileName))
}

function target(input: Input): { readonly kind: BanKind; readonly value: string } {
  const named = kinds.flatMap((kind) => {
    const value = input.text(kind)
    return value === undefined ? [] : [{ kind, value: checkBan(kind, value) }]
  })
  if (named.length !== 1) throw new UsageError('name one: --user, --client or --address', helpCommand)
  return named[0]!
}

function durationS(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const [, number, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (number === undefined || Number(number) === 0) {
    throw new UsageError(`--for: "${text}" is no time; write 90s, 15m, 2h or 7d`, helpCommand)
  }
  return Number(number) * seconds[unit as keyof typeof seconds]
}
