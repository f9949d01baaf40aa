// `oriole sub`: prints the messages of some topics, one on each line.
import type { MqttClient } from 'mqtt'
import { errorText } from '../errors.ts'
import { type Command, UsageError } from './command.ts'
import { deadline } from './deadline.ts'
import { CommandError } from './fail.ts'
import { type Connected, connect, connectionOptions, reasonText } from './mqtt-client.ts'

const help = 'oriole sub --help'

export const command: Command = {
  summary: 'print the messages of topics',
  usage: '-t FILTER [-t FILTER ...] [OPTIONS]',
  details: `
Prints each message on a line of its own until it is interrupted.
With --count it ends after so many; a --timeout before that is a failure.

  oriole sub -u bob -t 'im/u/bob/#' -v -q 1 -c -i bob-laptop`,
  options: {
    topic: { short: 't', value: 'FILTER', multiple: true, help: 'a topic or a filter with + and #; several times' },
    qos: { short: 'q', value: 'QOS', help: '0, 1 or 2; default 0' },
    verbose: { short: 'v', help: 'the topic before each message' },
    count: { value: 'N', help: 'end after N messages' },
    ...connectionOptions,
  },
  positionalsMax: 0,

  async run(input) {
    const filters = input.texts('topic')
    if (filters.length === 0) throw new UsageError('name a topic or a filter: -t FILTER', help)
    const qos = (input.number('qos', 0, 2) ?? 0) as 0 | 1 | 2
    const count = input.number('count', 1, Number.MAX_SAFE_INTEGER)
    let printed: Promise<void> = Promise.resolve()
    const connected = await connect(input, 'sub', (client) => {
      printed = printMessages(client, input.isSet('verbose'), count)
    })
    const interrupted = new Promise<void>((resolve) => {
      process.once('SIGINT', resolve)
      process.once('SIGTERM', resolve)
    })
    const unanswered = deadline(input, 'the broker did not acknowledge the subscription')
    const overdue = deadline(input, count === 1 ? 'no message came' : `fewer than ${count} messages came`)
    // Without a number to wait for, the end of the time is what was asked for.
    const over = count === undefined ? overdue.catch(() => {}) : overdue
    try {
      await Promise.race([subscribe(connected, filters, qos), connected.lost, printed, interrupted, unanswered])
      await Promise.race([printed, connected.lost, interrupted, over])
    } finally {
      await connected.end()
    }
    return 0
  },
}

/** Resolves after `count` messages. What comes after that is not acknowledged: a kept session gets it next time. */
function printMessages(client: MqttClient, verbose: boolean, count = Number.POSITIVE_INFINITY): Promise<void> {
  let seen = 0
  return new Promise((resolve, reject) => {
    // `sub | head` closes our output: that is an end, not a failure.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => (error.code === 'EPIPE' ? resolve() : reject(error)))
    client.handleMessage = ({ topic, payload }, acknowledge) => {
      if (seen >= count) return
      seen++
      const last = seen >= count
      const head = verbose ? Buffer.from(`${topic} `) : Buffer.alloc(0)
      const line = Buffer.concat([head, Buffer.from(payload), Buffer.from('\n')])
      process.stdout.write(line, () => {
        acknowledge()
        if (last) resolve()
      })
    }
  })
}

function subscribe({ client }: Connected, filters: readonly string[], qos: 0 | 1 | 2): Promise<void> {
  return new Promise((resolve, reject) => {
    client.subscribe([...filters], { qos }, (error) => {
      if (error === null) return resolve()
      const { packet } = error as { packet?: { granted?: readonly number[] } }
      const denied = filters.flatMap((filter, index) => {
        const code = packet?.granted?.[index] ?? 0
        return code < 0x80 ? [] : [`${filter}: ${reasonText(code)}`]
      })
      // Without an answer of the broker it is the library that found the filter wrong.
      if (packet === undefined) return reject(new UsageError(`-t: ${errorText(error)}`, help))
      reject(new CommandError(`the broker refused the subscription to ${denied.join(', ')}`, { cause: error }))
    })
  })
}
