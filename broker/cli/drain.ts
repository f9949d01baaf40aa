// `oriole drain`: sends a node's clients and sessions to the other nodes, and ends it.
import { askBroker } from '../admin/control.ts'
import type { Command } from './command.ts'
import { dataPath } from './data-path.ts'
import { CommandError } from './fail.ts'

const perSMax = 1_000_000

/** What the broker answers. */
interface Drained {
  readonly clients: number
  readonly sessions: number
  readonly sessionsLeft: number
  readonly messagesLeft: number
}

export const command: Command = {
  summary: 'send the clients and sessions of a node to the others, and end it',
  usage: '[--rate N] [--data DATA]',
  details: `
For an upgrade, or before a node goes for good. The node takes no new connections, /ready says no, and its clients are
told to go elsewhere: MQTT 5 clients with 0x9C and a server reference, where the other nodes have one in their config.
Then it hands its sessions with all that waits for them to other nodes, and ends with exit code 0. This command returns
when the node has ended. Interrupt it (Ctrl-C) and the node serves again.`,
  options: {
    rate: { value: 'N', help: 'clients a second; default 500' },
    data: { value: 'DATA', short: 'd', help: 'the data folder of the node; without it the one of the config' },
    config: { value: 'FILE', short: 'c', help: 'the config file, when --data is not given' },
  },
  positionalsMax: 0,

  async run(input) {
    const perS = input.number('rate', 1, perSMax)
    const path = await dataPath(input.text('data'), input.text('config'))
    const stopping = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort())
    const request = { do: 'drain', ...(perS === undefined ? {} : { perS }) }
    const answer = askBroker(path, request, stopping.signal).catch((error: unknown) => {
      if (stopping.signal.aborted) throw new CommandError('interrupted: the node serves again')
      throw error
    })
    const drained = (await answer) as Drained | undefined
    if (drained === undefined) throw new CommandError(`no broker runs on ${path}`)
    process.stdout.write(`${drainedText(drained)}\n`)
    return 0
  },
}

function drainedText({ clients, sessions, sessionsLeft, messagesLeft }: Drained): string {
  const lines = [`${clients} clients were sent away, ${sessions} sessions went to other nodes; the node has ended`]
  if (sessionsLeft > 0) lines.push(`${sessionsLeft} sessions stay on its disk until it starts again: nobody took them`)
  if (messagesLeft > 0) lines.push(`${messagesLeft} messages for other nodes stay on its disk until it starts again`)
  return lines.join('\n')
}
