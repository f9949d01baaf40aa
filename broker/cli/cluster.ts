// `oriole cluster`: how the nodes are, and to forget one that is gone for good.
import { askBroker } from '../admin/control.ts'
import type { ClusterStatus, Forgotten } from '../cluster/cluster-status.ts'
import { statusText } from './cluster-table.ts'
import { type Command, UsageError } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'

const help = 'oriole cluster --help'

export const command: Command = {
  summary: 'show the nodes of the cluster, or forget one that is gone',
  usage: 'status [--json] | forget NODE',
  details: `
A node that runs on this machine is asked, over the socket in its data folder.

status   the nodes with their sessions, what waits for each of them, and how Redis is. Exit code 1 when something needs
         a look: Redis or a node is away, or what it says of itself is worrying.
forget   takes a node that is away for good out of the cluster. What waited for it on other nodes is dropped; if it comes
         back it is a new node.`,
  options: {
    json: { help: 'status as JSON' },
    data: { value: 'DATA', short: 'd', help: 'the data folder of the node; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 2,

  async run(input) {
    const [word, node] = input.positionals
    if (word !== 'status' && word !== 'forget') throw new UsageError('say what: status, or forget NODE', help)
    if (word === 'forget' && node === undefined) throw new UsageError('name the node to forget', help)
    if (word === 'status' && node !== undefined) throw new UsageError(`"${node}" is one argument too many`, help)
    const path = await dataPath(input.text('data'), input.text('config'), { any: true })
    const answer = await askBroker(path, { do: `cluster ${word}`, ...(node === undefined ? {} : { node }) })
    if (answer === undefined) throw new CommandError(`no broker runs on ${path}`)
    if (word === 'forget') {
      const { messages } = answer as Forgotten
      process.stdout.write(`${node} is forgotten; ${messages} messages that waited for it here were dropped\n`)
      return 0
    }
    const status = answer as ClusterStatus
    process.stdout.write(input.isSet('json') ? `${JSON.stringify(status, null, 2)}\n` : statusText(status))
    return isWell(status) ? 0 : 1
  },
}

function isWell({ redis, nodes }: ClusterStatus): boolean {
  const isAway = nodes.some(({ state }) => state === 'away' || state === 'unknown')
  return redis.isUp && redis.warnings.length === 0 && !isAway
}
