// `oriole kick`: ends connections of a client or of a user, at once.
import { askBroker } from '../admin/control.ts'
import { type Command, UsageError } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'
import { connectionsEnded, endedOnAll, type Outcome, warnOfUntold } from './told-nodes.ts'

export const command: Command = {
  summary: 'end the connection of a client, or all of a user',
  usage: 'CLIENT | --user USER [--data DATA]',
  details: `
The client is told why (MQTT 5: 0x98) and may come back: oriole ban keeps somebody out. Sessions and what waits in them
stay. Exit code 1 when nobody was connected. In a cluster any node may be asked: it tells the others.`,
  options: {
    user: { value: 'USER', short: 'u', help: 'all clients of this user' },
    data: { value: 'DATA', short: 'd', help: 'the data folder of the broker; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 1,

  async run(input) {
    const [client] = input.positionals
    const user = input.text('user')
    if ((client === undefined) === (user === undefined)) {
      throw new UsageError('name a client, or a user with --user', 'oriole kick --help')
    }
    const path = await dataPath(input.text('data'), input.text('config'))
    const answer = await askBroker(path, { do: 'kick', ...(user === undefined ? { client } : { user }) })
    if (answer === undefined) throw new CommandError(`no broker runs on ${path}`)
    const outcome = answer as Outcome
    process.stdout.write(`${connectionsEnded(outcome)}\n`)
    warnOfUntold(outcome.others, 'and who is connected there stays')
    return endedOnAll(outcome) > 0 ? 0 : 1
  },
}
